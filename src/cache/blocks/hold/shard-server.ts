import type { BlockMetrics } from '../../../interface/metrics.ts'
import type { Network, PeerId } from '../../../interface/network.ts'
import type { AbortOptions } from '../../../std/signal.ts'
import { decodeShardAsk, type ShardAsk } from '../../../wire/block-messages.ts'
import { shardProtocol } from '../protocols.ts'
import type { ShardLedger } from '../shard-ledger.ts'
import type { HeldShards } from './held-shards.ts'
import type { Outgoing } from './outgoing.ts'
import { OwnShards, type OwnShardsComponents } from './own-shards.ts'
import { ServingBudget } from './serving-budget.ts'
import { type ShardSource, sourceOf } from './shard-source.ts'

export interface ShardServerComponents extends OwnShardsComponents {
  readonly network: Network
  readonly held: HeldShards
  readonly outgoing: Outgoing
  readonly ledger: ShardLedger
  readonly metrics: BlockMetrics
  readonly onMisbehaviour: (peer: PeerId) => void
}

/**
 * Gives shards to members: those that are being placed, those held for others, and the data shards
 * of this node's own sealed blocks that have a manifest.
 */
export class ShardServer {
  readonly #parts: ShardServerComponents
  readonly #budget: ServingBudget
  readonly #own: OwnShards

  constructor(components: ShardServerComponents) {
    this.#parts = components
    this.#budget = new ServingBudget(components.ledger)
    this.#own = new OwnShards(components)
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
    try {
      yield* this.#send(source, from, { isFavour, ...options })
    } finally {
      source.release?.()
    }
  }

  async *#send(
    { bytes, pieces }: ShardSource,
    to: PeerId,
    { isFavour, signal }: AbortOptions & { readonly isFavour: boolean },
  ): AsyncGenerator<Uint8Array, void, void> {
    const giveBack = this.#budget.take(to, bytes)
    let sent = 0
    try {
      for await (const piece of pieces) {
        signal.throwIfAborted()
        sent += piece.length
        yield piece
      }
    } finally {
      giveBack()
      if (!isFavour) this.#parts.ledger.noteGiven(to, sent)
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
    if (shard !== undefined && leafHashes !== undefined) {
      return sourceOf(Buffer.concat(leafHashes), shard)
    }
    return held.open(stripe, index, options) ?? (await this.#own.open({ stripe, index }, options))
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
