import type { ShardCoder } from '../../../erasure/coder/shard-coder.ts'
import { splitObject } from '../../../erasure/shards.ts'
import type { BlockMetrics } from '../../../interface/metrics.ts'
import type { Network, PeerId } from '../../../interface/network.ts'
import { shardPieceBytes } from '../../../limits.ts'
import type { AbortOptions } from '../../../std/signal.ts'
import { decodeShardAsk, type ShardAsk } from '../../../wire/block-messages.ts'
import { decodeManifest, rootOf, type StripeId } from '../../../wire/manifest.ts'
import { shardProtocol } from '../protocols.ts'
import type { ShardLedger } from '../shard-ledger.ts'
import type { HeldShards, ShardSource } from './held-shards.ts'
import type { Outgoing } from './outgoing.ts'
import type { LocalBlocks, OwnStripes } from './own-stripes.ts'
import { ServingBudget } from './serving-budget.ts'

export interface ShardServerComponents {
  readonly network: Network
  readonly held: HeldShards
  readonly own: OwnStripes
  readonly outgoing: Outgoing
  readonly localBlocks: LocalBlocks
  readonly coder: ShardCoder
  readonly ledger: ShardLedger
  readonly metrics: BlockMetrics
  readonly onMisbehaviour: (peer: PeerId) => void
}

const noRoot = new Uint8Array()

/**
 * Gives shards to members: those that are being placed, those held for others, and the data shards
 * of this node's own sealed blocks that have a manifest.
 */
export class ShardServer {
  readonly #parts: ShardServerComponents
  readonly #budget: ServingBudget
  /** Own blocks being read: several shards of one are often asked for together. */
  readonly #reading = new Map<StripeId, Promise<Uint8Array | undefined>>()

  constructor(components: ShardServerComponents) {
    this.#parts = components
    this.#budget = new ServingBudget(components.ledger)
  }

  /** Before the network starts. */
  register(): void {
    this.#parts.network.serveBytes(shardProtocol, (body, from, options) =>
      this.#serve(body, from, options),
    )
  }

  /** Nothing at all when the shard is not here. */
  async *#serve(
    body: Uint8Array,
    from: PeerId,
    options: AbortOptions,
  ): AsyncGenerator<Uint8Array, void, void> {
    const ask = this.#decode(body, from)
    // Whoever pulls what this node places does it a favour, and owes nothing for it.
    const isFavour = this.#parts.outgoing.get(ask.stripe) !== undefined
    const source = await this.#sourceOf(ask, options)
    if (source === undefined) return
    const giveBack = this.#budget.take(from, source.bytes)
    let sent = 0
    try {
      for await (const piece of source.pieces) {
        options.signal.throwIfAborted()
        sent += piece.length
        yield piece
      }
    } finally {
      giveBack()
      if (!isFavour) this.#parts.ledger.noteGiven(from, sent)
      this.#parts.metrics.shardServed(sent)
    }
  }

  async #sourceOf(
    { stripe, index }: ShardAsk,
    options: AbortOptions,
  ): Promise<ShardSource | undefined> {
    const { outgoing, held } = this.#parts
    const placing = outgoing.get(stripe)
    const shard = placing?.shards[index]
    const leafHashes = placing?.leafHashes[index]
    if (shard !== undefined && leafHashes !== undefined) return sourceOf(leafHashes, shard)
    return held.open(stripe, index, options) ?? (await this.#ownSource({ stripe, index }, options))
  }

  async #ownSource(
    { stripe, index }: ShardAsk,
    options: AbortOptions,
  ): Promise<ShardSource | undefined> {
    const { own } = this.#parts
    const key = own.keyOf(stripe)
    const manifestBytes = key === undefined ? undefined : own.manifestOf(key)
    if (key === undefined || manifestBytes === undefined) return undefined
    const { manifest } = decodeManifest(manifestBytes)
    if (index >= manifest.dataShards) return undefined
    const sealed = await this.#read(stripe, () => this.#parts.localBlocks.sealed(key))
    const shard =
      sealed?.length === manifest.objectBytes
        ? splitObject(sealed, manifest.dataShards)[index]
        : undefined
    const [tree] = shard === undefined ? [] : await this.#parts.coder.hash([shard], options)
    const isRight = Buffer.compare(tree?.root ?? noRoot, rootOf(manifest, index)) === 0
    if (shard !== undefined && tree !== undefined && isRight)
      return sourceOf(tree.leafHashes, shard)
    // Sealed anew, or gone: the manifest speaks of what is not here any more.
    await own.remove(key)
    return undefined
  }

  /** Whoever asks while the block is being read shares what is read. */
  #read(
    stripe: StripeId,
    read: () => Promise<Uint8Array | undefined>,
  ): Promise<Uint8Array | undefined> {
    const reading = this.#reading.get(stripe)
    if (reading !== undefined) return reading
    const begun = read().finally(() => this.#reading.delete(stripe))
    this.#reading.set(stripe, begun)
    return begun
  }

  #decode(body: Uint8Array, from: PeerId): ShardAsk {
    try {
      return decodeShardAsk(body)
    } catch (error) {
      this.#parts.onMisbehaviour(from)
      throw error
    }
  }
}

function sourceOf(leafHashes: readonly Uint8Array[], shard: Uint8Array): ShardSource {
  const head = Buffer.concat(leafHashes)
  return { bytes: head.length + shard.length, pieces: piecesOf(head, shard) }
}

async function* piecesOf(...parts: readonly Uint8Array[]): AsyncGenerator<Uint8Array, void, void> {
  for (const part of parts) {
    for (let start = 0; start < part.length; start += shardPieceBytes) {
      yield part.subarray(start, start + shardPieceBytes)
    }
  }
}
