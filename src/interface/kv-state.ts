import type { StateLayout } from '../key/state-layout.ts'
import type { AbortOptions } from '../std/signal.ts'

/**
 * KV state in our own form (spec/blocks.md), block by block: the rows of `blockTokens` (128)
 * tokens, per layer the rows of keys and then those of values, `blockBytes(layout)` bytes. State is
 * only ever used for the tokens it was computed from: whoever offers rows has compared token lists.
 *
 * The rows may lie in shared memory; nobody writes to them once they were handed over.
 */
export type BlockRows = Uint8Array

/** Of one model; where its memory can be cut at a token. */
export interface StateAccess {
  readonly layout: StateLayout
  /**
   * Leading tokens of `tokenIds` whose state is resident in the partition, a whole number of
   * blocks. Cheap and a little behind: a guess for planning.
   */
  residentTokens(tokenIds: readonly number[], partition: string): number
  /**
   * Keeps memory ready, from now on, for what an import would make room for while a request waits:
   * as much as the model's state can need, at most so many bytes. @default nothing to make ready
   */
  keepReady?(bytesMax: number): void
  /**
   * The rows of blocks `from` (inclusive) to `to` (exclusive) of a resident prefix; undefined when
   * it is not resident any more. Never prefills. @throws engine_failed
   */
  exportBlocks(
    tokenIds: readonly number[],
    range: BlockRange,
    options: AbortOptions & { readonly partition: string },
  ): Promise<readonly BlockRows[] | undefined>
  /**
   * Prefills the last block of `tokenIds` (a whole number of blocks) on top of the offered ones
   * before it, and tells its rows: what an audit compares. What it computes is not left resident.
   * @throws engine_busy, engine_failed
   */
  recomputeBlock(
    tokenIds: readonly number[],
    before: StateOffer,
    options: AbortOptions,
  ): Promise<BlockRows>
}

/** Indices of blocks: `from` inclusive, `to` exclusive. */
export interface BlockRange {
  readonly from: number
  readonly to: number
}

/** What a generation does with KV state. */
export interface PrefixUse {
  /** The prompt, as `TokenModel.prompt` told it. */
  readonly tokenIds: readonly number[]
  /** Begun from where it reaches further than what is resident when the request's turn comes. */
  readonly offer?: StateOffer
  /**
   * What to export when the prompt has been computed. Better read when the offer has been taken:
   * what came with it need not be exported.
   */
  readonly keep?: StateSink | undefined
}

export interface StateOffer {
  /** Leading tokens that the blocks cover: a whole number of blocks. */
  readonly tokens: number
  /**
   * The rows of the blocks, first to last, whenever each is there. May end early (a fetch that
   * turned out slow or wrong): then prefill goes on behind what has come. Asked once at most; not
   * asked when as much is resident. Must not throw but for the signal.
   */
  blocks(options: AbortOptions): AsyncIterable<BlockRows>
}

export interface StateSink {
  readonly range: BlockRange
  /**
   * Called for each block of the range that could be exported, in order, after the answer's last
   * event was handed out: the client does not wait for it. Must not throw.
   */
  take(index: number, rows: BlockRows): void
}
