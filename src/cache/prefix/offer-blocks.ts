import { OperationError } from '../../errors.ts'
import type { BlockCodec } from '../../interface/block-codec.ts'
import type { BlockRows } from '../../interface/kv-state.ts'
import type { Log } from '../../interface/log.ts'
import type { Metrics } from '../../interface/metrics.ts'
import { prefixReadAheadMax } from '../../limits.ts'
import type { Clock } from '../../std/clock.ts'
import { type AbortOptions, isAbort, linkSignal, settlesWithin } from '../../std/signal.ts'
import type { TaskScope } from '../../std/task-scope.ts'
import { nonceOf } from '../../wire/block/sealed-block.ts'
import type { FetchedBlock, FoundRun, SwarmBlocks } from '../blocks/swarm-blocks.ts'
import type { RefusedIssuers } from './audit/refused-issuers.ts'
import { blockAt, type PromptBlock, type PromptBlocks } from './prompt-blocks.ts'
import type { BlockOrigin } from './tiers/block-note.ts'
import type { BlockTiers, OpenBlock } from './tiers/block-tiers.ts'

export interface OfferComponents {
  readonly tiers: BlockTiers
  readonly codec: BlockCodec
  readonly refused: RefusedIssuers
  readonly clock: Clock
  readonly log: Log
  readonly metrics: Metrics
  readonly scope: TaskScope
}

/** What is offered to a generation, as planned. */
export interface BlockOffer {
  readonly blocks: PromptBlocks
  /** Leading blocks that this node has. */
  readonly localBlocks: number
  /** The blocks behind those that are fetched. */
  readonly fetch?: FetchPlan
}

export interface FetchPlan {
  readonly swarm: SwarmBlocks
  readonly run: FoundRun
  /** Prefilling one block: waiting as long for it loses nothing. */
  readonly prefillMs: number
  /** Who answers for a block that came; called for each in turn. */
  readonly originOf: (block: FetchedBlock, index: number) => BlockOrigin
}

export interface OfferListener {
  /** A block is handed to the engine. */
  onBlock(block: OfferedBlock): void
  /** The offer ended early: why, for people. */
  onEnd(reason: string): void
}

/** What is remembered of a block that the engine was given. */
export interface HandedBlock {
  readonly block: PromptBlock
  readonly tier: 'memory' | 'disk' | 'peer'
  readonly origin: BlockOrigin
  /** How long the engine had to wait for it. */
  readonly waitedMs: number
}

export interface OfferedBlock extends HandedBlock {
  readonly rows: BlockRows
  /** Of the seal in which it came from a peer. */
  readonly nonce?: Uint8Array
}

/**
 * How much longer than predicted the blocks may take: a link that is twice as slow was judged
 * wrongly, less is how links are.
 */
const patience = 2
/**
 * Of what a whole fetch can save, so much may be lost by waiting in vain: as much as a search may
 * cost. A first block that is late on a busy machine must not end a fetch that saves a hundred
 * times what it waited.
 */
const riskedShare = 0.25

/**
 * The blocks of an offer, first to last: this node's own, read ahead, then those of peers as they
 * arrive. Ends early, and says why, at the first block that is gone, is none, or takes too long;
 * whatever has come by then is of use.
 */
export async function* offerBlocks(
  parts: OfferComponents,
  offer: BlockOffer,
  listener: OfferListener,
  { signal }: AbortOptions,
): AsyncGenerator<BlockRows, void, void> {
  const { blocks, localBlocks, fetch } = offer
  let count = 0
  for await (const { block, open, waitedMs } of readAhead(parts, blocks, localBlocks, signal)) {
    if (open === undefined) {
      listener.onEnd(`block ${block.index + 1} was not here any more`)
      return
    }
    const { rows } = open
    listener.onBlock({ ...open, block, waitedMs })
    count += 1
    yield rows
  }
  if (fetch !== undefined && count === localBlocks) {
    yield* fetchBlocks(parts, { ...offer, fetch }, listener, { signal })
  }
}

interface ReadBlock {
  readonly block: PromptBlock
  readonly open: OpenBlock | undefined
  readonly waitedMs: number
}

/** While one block is imported, the next are read and opened. */
async function* readAhead(
  { tiers, clock }: OfferComponents,
  blocks: PromptBlocks,
  count: number,
  signal: AbortSignal,
): AsyncGenerator<ReadBlock, void, void> {
  const reading: { readonly block: PromptBlock; readonly read: Promise<OpenBlock | undefined> }[] =
    []
  let begun = 0
  try {
    for (;;) {
      while (begun < count && reading.length < prefixReadAheadMax) {
        const block = blockAt(blocks, begun)
        const read = tiers.read(block, { signal })
        // Whoever leaves early waits for none of those that were begun ahead.
        read.catch(() => undefined)
        reading.push({ block, read })
        begun += 1
      }
      const next = reading.shift()
      if (next === undefined) return
      const startMs = clock.monotonicMs()
      const open = await next.read
      yield { block: next.block, open, waitedMs: clock.monotonicMs() - startMs }
    }
  } finally {
    reading.length = 0
  }
}

async function* fetchBlocks(
  parts: OfferComponents,
  { blocks, localBlocks, fetch }: BlockOffer & { readonly fetch: FetchPlan },
  listener: OfferListener,
  { signal }: AbortOptions,
): AsyncGenerator<BlockRows, void, void> {
  const { clock, metrics, refused } = parts
  const { run } = fetch
  const own = new AbortController()
  const linked = linkSignal(clock, [signal, own.signal])
  const arriving = fetch.swarm.fetch(run, { signal: linked.signal })[Symbol.asyncIterator]()
  const arrive = async (position: number): Promise<Arrival> =>
    arrivalOf(parts, blockAt(blocks, localBlocks + position), await arriving.next())
  let next = arrive(0)
  let waitedInAllMs = 0
  try {
    for (const [position, expected] of run.blocks.entries()) {
      const startMs = clock.monotonicMs()
      const patienceMs = allowedMs(fetch, position + 1) - waitedInAllMs
      if (!(await settlesWithin(clock, next, patienceMs))) {
        next.catch(() => undefined)
        metrics.blocksCounted('abandoned', run.blocks.length - position)
        listener.onEnd(
          `the fetch was given up after ${position} of ${run.blocks.length} blocks: ` +
            'slower than predicted',
        )
        return
      }
      const { block, fetched, nonce, opening } = await next
      if (fetched === undefined) {
        listener.onEnd(`peers gave ${position} of ${run.blocks.length} blocks`)
        return
      }
      if (position + 1 < run.blocks.length) {
        // It is opened as soon as it is there, while this one still is.
        next = arrive(position + 1)
        next.catch(() => undefined)
      }
      const rows = expected.hash === block.hash ? await opening : undefined
      if (rows === undefined) {
        metrics.blocksCounted('invalid', 1)
        fetch.swarm.reportInvalid(fetched)
        listener.onEnd(`block ${block.index + 1} from a peer was not valid`)
        return
      }
      metrics.blocksCounted('fetched', 1)
      const waitedMs = clock.monotonicMs() - startMs
      waitedInAllMs += waitedMs
      const origin = fetch.originOf(fetched, block.index)
      if (refused.includes(origin)) {
        listener.onEnd(`block ${block.index + 1} is of a peer that has sent wrong ones`)
        return
      }
      listener.onBlock({ block, rows, tier: 'peer', origin, nonce, waitedMs })
      yield rows
    }
  } finally {
    own.abort(new DOMException('No more blocks are wanted', 'AbortError'))
    linked[Symbol.dispose]()
    parts.scope.spawn('end fetch', () => endOf(arriving))
  }
}

/**
 * How long the engine may wait for the first so many blocks of a fetch, in all: twice what was
 * predicted, or as long as prefilling them takes, whichever is more, and the share that is risked.
 */
function allowedMs({ run, prefillMs }: FetchPlan, count: number): number {
  const bytes = run.blocks.slice(0, count).reduce((sum, block) => sum + block.bytes, 0)
  const predictedMs = run.latencyMs + (bytes / run.bandwidth) * 1_000
  const riskedMs = riskedShare * run.blocks.length * prefillMs
  return Math.max(patience * predictedMs, count * prefillMs) + riskedMs
}

const none = new Uint8Array(0)
const nothing = Promise.resolve(undefined)

/** A block that came from a peer, if one did, and is being opened. */
interface Arrival {
  readonly block: PromptBlock
  readonly fetched: FetchedBlock | undefined
  readonly nonce: Uint8Array
  readonly opening: Promise<BlockRows | undefined>
}

function arrivalOf(
  parts: OfferComponents,
  block: PromptBlock,
  { value: fetched, done }: IteratorResult<FetchedBlock, unknown>,
): Arrival {
  if (done === true) return { block, fetched: undefined, nonce: none, opening: nothing }
  const isExpected = fetched.hash === block.hash
  // Its seal is written over.
  const nonce = nonceOf(fetched.sealed)
  const opening = isExpected ? opened(parts, block, fetched.sealed) : nothing
  // Whoever leaves early does not wait for it.
  opening.catch(() => undefined)
  return { block, fetched, nonce, opening }
}

/** The rows of a peer's block, in its own memory; undefined where it is none. */
async function opened(
  { codec }: OfferComponents,
  block: PromptBlock,
  sealed: Uint8Array,
): Promise<BlockRows | undefined> {
  try {
    return await codec.openInPlace(block, sealed)
  } catch (error) {
    if (error instanceof OperationError && error.code === 'block_invalid') return undefined
    throw error
  }
}

async function endOf(arriving: AsyncIterator<FetchedBlock>): Promise<void> {
  try {
    await arriving.return?.()
  } catch (error) {
    if (!isAbort(error)) throw error
  }
}
