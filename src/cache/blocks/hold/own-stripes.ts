import type { BlobStore, MemoryFor } from '../../../interface/blob-store.ts'
import type { LookupKey } from '../../../key/response-key.ts'
import type { SwarmTag } from '../../../key/scope.ts'
import { ownStripesMax } from '../../../limits.ts'
import type { Clock } from '../../../std/clock.ts'
import type { AbortOptions } from '../../../std/signal.ts'
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
  /**
   * The very bytes that were placed; undefined when it has them no more. In the memory that there
   * is for them, where that is possible (`ReadBlobOptions`).
   */
  sealed(key: LookupKey, memoryFor?: MemoryFor): Promise<Uint8Array | undefined>
}

/** A stripe, and the hashes of the leaves of its data shards, one behind the other. */
export interface CodedStripe {
  readonly stripe: Stripe
  readonly leafHashes: Uint8Array
}

export interface OwnStripe {
  readonly id: StripeId
  /** Whether shards of it were placed on peers. */
  readonly isPlaced: boolean
}

/** It saves coding the block again, in 1/2,048 of its bytes: nothing is worth less room. */
const costSeconds = 1

/**
 * Manifests of sealed blocks that this node itself has and may give away: what it computed, and
 * what it has audited. Nothing else of its own is ever given to a peer. So that they outlive a
 * restart they are kept as notes of blobs, which hold the hashes of the leaves of the data shards:
 * whoever is given a shard gets them first, and hashing the block again takes longer than sending.
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

  /**
   * The hashes of the leaves of its data shards, one behind the other, as they were when it was
   * coded; undefined when they are lost. @throws the signal's reason
   */
  async leafHashesOf(key: LookupKey, options: AbortOptions): Promise<Uint8Array | undefined> {
    return await this.#parts.store.read(ownName(key), options)
  }

  /** Adds or replaces. Past the maximum they are not kept. @throws store_failed */
  async put({ stripe, leafHashes }: CodedStripe, isPlaced: boolean): Promise<void> {
    const { store, clock, swarm } = this.#parts
    const { lookupKey, expiresAt } = stripe.manifest
    if (!this.#hasRoomFor(lookupKey)) return
    await store.put(ownName(lookupKey), {
      pieces: [leafHashes],
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
