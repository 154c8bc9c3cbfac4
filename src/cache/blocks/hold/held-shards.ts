import type { BlobName, BlobStore } from '../../../interface/blob-store.ts'
import type { PeerId } from '../../../interface/network.ts'
import type { LookupKey } from '../../../key/response-key.ts'
import type { SwarmTag } from '../../../key/scope.ts'
import { shardPieceBytes } from '../../../limits.ts'
import type { Clock } from '../../../std/clock.ts'
import type { AbortOptions } from '../../../std/signal.ts'
import type { TaskScope } from '../../../std/task-scope.ts'
import type { StripeId } from '../../../wire/manifest.ts'
import { indicesOf, maskOf, noShards, type ShardMask, union, without } from '../shard-mask.ts'
import type { Stripe } from '../stripe.ts'
import { decodeNote, encodeNote, shardName } from './blob-notes.ts'
import type { KeyOffers } from './key-offers.ts'
import type { ShardSource } from './shard-source.ts'

export interface HeldShardsComponents {
  readonly store: BlobStore
  readonly offers: KeyOffers
  readonly clock: Clock
  readonly scope: TaskScope
  readonly swarm: SwarmTag
}

/** A shard that this node is to keep. */
export interface NewShard {
  readonly stripe: Stripe
  readonly index: number
  readonly heldFor: PeerId
  /** The hashes of its leaves, one behind the other. */
  readonly leafHashes: Uint8Array
  readonly bytes: Uint8Array
}

/** What this node holds of one stripe. */
export interface HeldStripe {
  readonly stripe: StripeId
  readonly shards: ShardMask
  readonly manifest: Uint8Array
}

interface Held {
  readonly key: LookupKey
  readonly stripe: StripeId
  readonly index: number
  readonly heldFor: PeerId
  /** Of the blob: the shard and the hashes of its leaves. */
  readonly bytes: number
  /** When its manifest ends, in milliseconds since 1970. */
  readonly endsAt: number
}

/** A shard is kept for so long after it was read last (DESIGN §6). */
export const shardLifeMs: number = 72 * 3_600_000
/** A later expiry is written when it is later by this much: not at every read. */
const renewalMs = 3_600_000
/**
 * What a shard saves nobody can check, so all of them save the same per byte: those that are read
 * stay longer, and nobody gains by claiming more.
 */
const secondsPerByte = 1e-8

/** Shards kept for others, in the shard store: what is announced follows what is there. */
export class HeldShards {
  readonly #parts: HeldShardsComponents
  readonly #byName = new Map<BlobName, Held>()
  readonly #byKey = new Map<LookupKey, Map<StripeId, ShardMask>>()
  readonly #bytesFor = new Map<PeerId, number>()
  #bytes = 0

  constructor(components: HeldShardsComponents) {
    this.#parts = components
  }

  get count(): number {
    return this.#byName.size
  }

  get bytes(): number {
    return this.#bytes
  }

  has(stripe: StripeId, index: number): boolean {
    return this.#byName.has(shardName(stripe, index))
  }

  /** Bytes that are kept because that peer asked for it. */
  bytesFor(peer: PeerId): number {
    return this.#bytesFor.get(peer) ?? 0
  }

  stripesOf(key: LookupKey): readonly HeldStripe[] {
    const stripes = [...(this.#byKey.get(key) ?? [])]
    return stripes.flatMap(([stripe, shards]) => {
      const manifest = this.#manifestOf(stripe, shards)
      return manifest === undefined ? [] : [{ stripe, shards, manifest }]
    })
  }

  /** Takes up a blob that an earlier run of the node left in the store. */
  adopt(stripe: Stripe, kept: Pick<Held, 'index' | 'heldFor' | 'bytes'>): void {
    this.#add(stripe, kept)
  }

  /** @throws store_failed */
  async put(shard: NewShard): Promise<void> {
    const { store, clock, swarm } = this.#parts
    const { stripe, index, heldFor, leafHashes, bytes } = shard
    const name = shardName(stripe.id, index)
    const blobBytes = leafHashes.length + bytes.length
    await store.put(name, {
      pieces: [leafHashes, bytes],
      costSeconds: blobBytes * secondsPerByte,
      createdAt: clock.now(),
      expiresAt: this.#expiryOf(stripe.manifest.expiresAt),
      note: encodeNote({ type: 'shard', swarm, index, heldFor, manifest: stripe.bytes }),
    })
    this.#add(stripe, { index, heldFor, bytes: blobBytes })
  }

  /** Whether there was one that was held for that peer. */
  async drop(stripe: StripeId, index: number, heldFor: PeerId): Promise<boolean> {
    const name = shardName(stripe, index)
    if (this.#byName.get(name)?.heldFor !== heldFor) return false
    this.forget(name)
    return await this.#parts.store.remove(name)
  }

  /** The hashes of the leaves and then the shard, in pieces; undefined when it is not here. */
  open(stripe: StripeId, index: number, options: AbortOptions): ShardSource | undefined {
    const { store } = this.#parts
    const name = shardName(stripe, index)
    const held = this.#byName.get(name)
    if (held === undefined) return undefined
    if (store.find(name) === undefined) {
      this.forget(name)
      return undefined
    }
    store.countUse(name)
    this.#renew(name, held)
    const range = { start: 0, end: held.bytes, pieceBytes: shardPieceBytes }
    return { bytes: held.bytes, pieces: store.readRange(name, range, options) }
  }

  /** The store has it no more. */
  forget(name: BlobName): void {
    const held = this.#byName.get(name)
    if (held === undefined) return
    const { key, stripe, index, heldFor, bytes } = held
    this.#byName.delete(name)
    this.#count(heldFor, -bytes)
    const stripes = this.#byKey.get(key)
    const shards = without(stripes?.get(stripe) ?? noShards, maskOf(index))
    if (shards !== noShards) stripes?.set(stripe, shards)
    else stripes?.delete(stripe)
    if (stripes?.size !== 0) return
    this.#byKey.delete(key)
    this.#parts.offers.remove(key, 'shards')
  }

  clear(): void {
    for (const name of [...this.#byName.keys()]) this.forget(name)
  }

  #add({ id, manifest }: Stripe, kept: Pick<Held, 'index' | 'heldFor' | 'bytes'>): void {
    const { lookupKey: key, expiresAt: endsAt } = manifest
    const { index, heldFor, bytes } = kept
    const name = shardName(id, index)
    this.forget(name)
    this.#byName.set(name, { key, stripe: id, index, heldFor, bytes, endsAt })
    this.#count(heldFor, bytes)
    const stripes = this.#byKey.get(key) ?? new Map<StripeId, ShardMask>()
    stripes.set(id, union(stripes.get(id) ?? noShards, maskOf(index)))
    this.#byKey.set(key, stripes)
    this.#parts.offers.add(key, 'shards')
  }

  #count(peer: PeerId, bytes: number): void {
    const after = this.bytesFor(peer) + bytes
    if (after > 0) this.#bytesFor.set(peer, after)
    else this.#bytesFor.delete(peer)
    this.#bytes += bytes
  }

  #manifestOf(stripe: StripeId, shards: ShardMask): Uint8Array | undefined {
    const name = shardName(stripe, indicesOf(shards)[0] ?? 0)
    const facts = this.#parts.store.find(name)
    const note = facts === undefined ? undefined : decodeNote(facts.note)
    if (note === undefined) this.forget(name)
    return note?.manifest
  }

  /** It is read: it stays for the full time from now on. */
  #renew(name: BlobName, { endsAt }: Held): void {
    const { store, scope } = this.#parts
    const facts = store.find(name)
    const expiresAt = this.#expiryOf(endsAt)
    if (facts === undefined || facts.expiresAt > expiresAt - renewalMs) return
    scope.spawn('keep a shard longer', async () => {
      await store.update(name, { expiresAt })
    })
  }

  #expiryOf(endsAt: number): number {
    return Math.min(this.#parts.clock.now() + shardLifeMs, endsAt)
  }
}
