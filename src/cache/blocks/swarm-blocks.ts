import type { PeerId } from '../../interface/network.ts'
import type { BlockHash } from '../../key/block-hash.ts'
import type { AbortOptions } from '../../std/signal.ts'

/**
 * What a node does with the KV blocks of its swarm (DESIGN §6): finds, fetches and places them.
 * Knows sealed bytes only; whoever calls seals and opens. Look-up keys leave the node, hashes
 * never.
 */
export interface SwarmBlocks {
  /** Whether anybody can be asked. */
  readonly hasPeers: boolean
  /**
   * How many of these blocks, first to last without a gap, the swarm can give now. Walks by
   * doubling where the chain is long. Never throws but for the signal: finding none is no error.
   */
  find(blocks: readonly BlockHash[], options: FindBlocksOptions): Promise<FoundRun>
  /**
   * The blocks of a run, or of a part of one, first to last, each as soon as it is whole: shards
   * checked leaf by leaf while they stream, late ones replaced (ADR 0008), cancelled at k, decoded.
   * Ends early when a block cannot be had any more. Never throws but for the signal.
   */
  fetch(run: FoundRun, options: AbortOptions): AsyncIterable<FetchedBlock>
  /** What `fetch` gave was no such block: its issuer loses reputation, and so does who vouched. */
  reportInvalid(block: FetchedBlock): void
  /**
   * Codes and places a sealed block that this node computed (or has audited), in the background;
   * shed with a counted reason when too much waits. Placed once: not again while the swarm has it.
   */
  place(block: PlaceableBlock): void
  /**
   * A block that this node has may have been placed before. Whether nothing else is to be done for
   * it; where something is, it is to be read and given to `place`.
   */
  recall(block: Omit<PlaceableBlock, 'sealed'>): boolean
  /** This node does not have the block any more. */
  withdraw(blocks: readonly BlockHash[]): void
  stats(): SwarmBlockStats
}

export interface FindBlocksOptions extends AbortOptions {
  readonly deadlineMs: number
}

/** Leading blocks that peers say they have. */
export interface FoundRun {
  readonly blocks: readonly FoundBlock[]
  /** Sealed bytes of all of them. */
  readonly bytes: number
  /** Predicted bytes per second of a fetch, from what was measured of the peers that have them. */
  readonly bandwidth: number
  /** Predicted time until the first byte, in milliseconds. */
  readonly latencyMs: number
}

export interface FoundBlock {
  readonly hash: BlockHash
  readonly bytes: number
  readonly issuer: PeerId
}

export interface FetchedBlock extends FoundBlock {
  /** Whoever fetched it may write over it. */
  readonly sealed: Uint8Array
}

export interface PlaceableBlock {
  readonly hash: BlockHash
  readonly sealed: Uint8Array
  /** For the manifest. */
  readonly modelId: string
  readonly numericClass: string
  /** Seconds of prefill that having it saves. */
  readonly costSeconds: number
}

export interface SwarmBlockStats {
  /** Blocks of this node that are placed in the swarm, and those on their way. */
  readonly placed: number
  readonly placing: number
  /** Shards held for others. */
  readonly shardsHeld: number
  readonly shardBytes: number
  readonly shardBytesMax: number
}
