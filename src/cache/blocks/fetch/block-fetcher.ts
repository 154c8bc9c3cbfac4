import type { ShardCoder } from '../../../erasure/coder/shard-coder.ts'
import type { PeerId } from '../../../interface/network.ts'
import { fetchAheadBytesMax } from '../../../limits.ts'
import { type AbortOptions, linkSignal } from '../../../std/signal.ts'
import { without } from '../shard-mask.ts'
import { decodeBlock } from '../stripe-coding.ts'
import type { FetchedBlock, FoundBlock, FoundRun } from '../swarm-blocks.ts'
import { type FetchStripeOptions, fetchStripe } from './fetch-stripe.ts'
import type { FoundStripe } from './found-stripe.ts'
import { inOrder } from './in-order.ts'
import type { ShardTransferComponents } from './shard-transfer.ts'

export interface BlockFetcherComponents extends ShardTransferComponents {
  readonly coder: ShardCoder
  readonly stripesOf: (block: FoundBlock) => readonly FoundStripe[]
  /** A block was fetched; of the stripe what is left of it now. */
  readonly onFetched: (found: FoundStripe, sealed: Uint8Array) => void
}

/** Where a fetched block came from: who answers for it when it is none. */
export interface Provenance {
  readonly found: FoundStripe
  readonly givers: ReadonlySet<PeerId>
}

/** Fetches the blocks of a run, several at a time, and hands them out in their order. */
export class BlockFetcher {
  readonly #parts: BlockFetcherComponents
  readonly #options: AbortOptions
  readonly #provenance = new WeakMap<FetchedBlock, Provenance>()

  /** The signal ends what is under way when the node stops. */
  constructor(components: BlockFetcherComponents, options: AbortOptions) {
    this.#parts = components
    this.#options = options
  }

  provenanceOf(block: FetchedBlock): Provenance | undefined {
    return this.#provenance.get(block)
  }

  /** @throws the signal's reason */
  async *fetch(run: FoundRun, { signal }: AbortOptions): AsyncGenerator<FetchedBlock, void, void> {
    const { clock, rates } = this.#parts
    const linked = linkSignal(clock, [signal, this.#options.signal])
    const isOnly = run.blocks.length === 1
    let bytes = 0
    let waitedMs = 0
    let sinceMs = clock.monotonicMs()
    try {
      const blocks = inOrder(
        run.blocks,
        (block, ended) => this.#fetch(block, { signal: ended, isOnly }),
        {
          weightOf: block => block.bytes,
          weightMax: fetchAheadBytesMax,
          signal: linked.signal,
        },
      )
      for await (const block of blocks) {
        bytes += block.bytes
        waitedMs += clock.monotonicMs() - sinceMs
        yield block
        sinceMs = clock.monotonicMs()
      }
      rates.noteTotal(bytes, waitedMs)
    } catch (error) {
      signal.throwIfAborted()
      if (!this.#options.signal.aborted) this.#parts.log.warn('fetch failed', { error })
    } finally {
      linked[Symbol.dispose]()
    }
  }

  /** @throws the signal's reason */
  async #fetch(block: FoundBlock, options: FetchStripeOptions): Promise<FetchedBlock | undefined> {
    for (const found of this.#parts.stripesOf(block)) {
      const gathered = await fetchStripe(this.#parts, found, options)
      if (gathered === undefined) continue
      const { coder, onFetched } = this.#parts
      const { manifest } = found.stripe
      const sealed = await decodeBlock(coder, manifest, gathered.shards, options)
      const { hash } = block
      const fetched = { hash, bytes: sealed.length, issuer: manifest.issuer, sealed }
      this.#provenance.set(fetched, { found, givers: gathered.givers })
      onFetched(withoutLost(found, gathered.lost), sealed)
      return fetched
    }
    return undefined
  }
}

function withoutLost(found: FoundStripe, lost: ReadonlyMap<PeerId, number>): FoundStripe {
  const holders = found.holders.map(holder => ({
    ...holder,
    shards: without(holder.shards, lost.get(holder.peer) ?? 0),
  }))
  return { ...found, holders }
}
