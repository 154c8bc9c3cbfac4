import type { BlobStore } from '../../../interface/blob-store.ts'
import type { LookupKey } from '../../../key/response-key.ts'
import type { SwarmTag } from '../../../key/scope.ts'
import { ownStripesMax } from '../../../limits.ts'
import type { Clock } from '../../../std/clock.ts'
import type { StripeId } from '../../../wire/manifest.ts'
import type { Stripe } from '../stripe.ts'
import { decodeNote, encodeNote, ownName } from './blob-notes.ts'
import type { KeyOffers } from './key-offers.ts'

export interface OwnStripesComponents {
  readonly store: BlobStore
  readonly localBlocks: LocalBlocks
  readonly offers: KeyOffers
  readonly clock: Clock
  readonly swarm: SwarmTag
}

/** The sealed blocks that this node keeps for itself. */
export interface LocalBlocks {
  /** Cheap. */
  has(key: LookupKey): boolean
  /** The very bytes that were placed; undefined when it has them no more. */
  sealed(key: LookupKey): Promise<Uint8Array | undefined>
}

export interface OwnStripe {
  readonly id: StripeId
  /** Whether shards of it were placed on peers. */
  readonly isPlaced: boolean
}

/** It saves coding the block again, in one byte: nothing is worth less room. */
const costSeconds = 1

/**
 * Manifests of sealed blocks that this node itself has and may give away: what it computed, and
 * what it has audited. Nothing else of its own is ever given to a peer. They are kept as notes of
 * blobs of one byte, so that they outlive a restart.
 */
export class OwnStripes {
  readonly #parts: OwnStripesComponents
  readonly #byKey = new Map<LookupKey, OwnStripe>()
  readonly #keys = new Map<StripeId, LookupKey>()
  #placed = 0

  constructor(components: OwnStripesComponents) {
    this.#parts = components
  }

  /** How many were placed. */
  get placed(): number {
    return this.#placed
  }

  get(key: LookupKey): OwnStripe | undefined {
    return this.#byKey.get(key)
  }

  keyOf(stripe: StripeId): LookupKey | undefined {
    return this.#keys.get(stripe)
  }

  /** Its manifest; undefined when the block or what is kept of it is gone. */
  manifestOf(key: LookupKey): Uint8Array | undefined {
    if (!this.#byKey.has(key)) return undefined
    const { store, localBlocks } = this.#parts
    const facts = localBlocks.has(key) ? store.find(ownName(key)) : undefined
    const note = facts === undefined ? undefined : decodeNote(facts.note)
    if (note === undefined) this.forget(key)
    return note?.manifest
  }

  /** Takes up what an earlier run of the node left; false when the block itself is gone. */
  adopt({ id, manifest }: Stripe, isPlaced: boolean): boolean {
    const key = manifest.lookupKey
    if (!this.#parts.localBlocks.has(key) || !this.#hasRoomFor(key)) return false
    this.#add(key, { id, isPlaced })
    return true
  }

  /** Adds or replaces. Past the maximum they are not kept. @throws store_failed */
  async put(stripe: Stripe, isPlaced: boolean): Promise<void> {
    const { store, clock, swarm } = this.#parts
    const { lookupKey, expiresAt } = stripe.manifest
    if (!this.#hasRoomFor(lookupKey)) return
    await store.put(ownName(lookupKey), {
      pieces: [Uint8Array.of(0)],
      costSeconds,
      createdAt: clock.now(),
      expiresAt,
      note: encodeNote({ type: 'own', swarm, isPlaced, manifest: stripe.bytes }),
    })
    this.#add(lookupKey, { id: stripe.id, isPlaced })
  }

  /** The block is here no more. */
  async remove(key: LookupKey): Promise<void> {
    if (this.forget(key)) await this.#parts.store.remove(ownName(key))
  }

  /** Whether there was one. What is kept of it stays until it expires. */
  forget(key: LookupKey): boolean {
    const own = this.#byKey.get(key)
    if (own === undefined) return false
    this.#byKey.delete(key)
    this.#keys.delete(own.id)
    if (own.isPlaced) this.#placed -= 1
    this.#parts.offers.remove(key, 'whole')
    return true
  }

  clear(): void {
    for (const key of [...this.#byKey.keys()]) this.forget(key)
  }

  #hasRoomFor(key: LookupKey): boolean {
    return this.#byKey.has(key) || this.#byKey.size < ownStripesMax
  }

  #add(key: LookupKey, own: OwnStripe): void {
    const before = this.#byKey.get(key)
    if (before !== undefined) this.#keys.delete(before.id)
    if (before?.isPlaced === true) this.#placed -= 1
    this.#byKey.set(key, own)
    this.#keys.set(own.id, key)
    if (own.isPlaced) this.#placed += 1
    this.#parts.offers.add(key, 'whole')
  }
}
