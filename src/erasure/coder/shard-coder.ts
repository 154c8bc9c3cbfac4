import type { Startable } from '../../std/lifecycle.ts'
import type { AbortOptions } from '../../std/signal.ts'
import type { CodeShape, ShardsWithGaps } from '../code-shape.ts'
import type { ShardTree } from '../leaves.ts'

/**
 * Codes whole objects off the event loop: large ones in threads that share each object's leaves,
 * small ones in place. All memory that it returns can be seen by threads. Every method throws
 *
 * - `RangeError` when shape, number and lengths of the shards do not fit each other, or all of them
 *   together are larger than `codedBytesMax`;
 * - `coding_failed` when a thread died, or too many objects wait already;
 * - `draining` when it is not started;
 * - the signal's reason. The threads have then left the memory alone.
 *
 * Bytes that are passed in must not change until the promise settles.
 */
export interface ShardCoder extends Startable {
  /**
   * All shards of an object, hashed. Where the object is in shared memory its data shards are views
   * of it, not copies.
   */
  encode(object: Uint8Array, shape: CodeShape, options: AbortOptions): Promise<CodedObject>
  /** The object of any `dataShards` of its shards; whether they are right is not checked. */
  decode(coded: DecodableObject, options: AbortOptions): Promise<Uint8Array>
  /** Shards that are missing, hashed, of any `dataShards` others. */
  rebuild(coded: RebuildableObject, options: AbortOptions): Promise<readonly RebuiltShard[]>
  /**
   * Starts the threads, which takes 50 ms, for large objects that are about to come: whoever begins
   * to fetch one calls it. Costs next to nothing when they run already. Never throws; what fails is
   * tried again, and told, by the work that comes.
   */
  warmUp(): void
  /** The trees of shards, which have one length. */
  hash(shards: readonly Uint8Array[], options: AbortOptions): Promise<readonly ShardTree[]>
}

export interface CodedObject {
  /** Those of data, then those of parity. */
  readonly shards: readonly Uint8Array[]
  /** Of each shard, those of its leaves. */
  readonly leafHashes: readonly (readonly Uint8Array[])[]
  /** Of each shard, the root of its tree. */
  readonly roots: readonly Uint8Array[]
  readonly shardBytes: number
  readonly objectBytes: number
}

export interface DecodableObject extends CodeShape {
  /** As many as there are, the missing ones undefined. */
  readonly shards: ShardsWithGaps
  readonly objectBytes: number
}

export interface RebuildableObject extends CodeShape {
  readonly shards: ShardsWithGaps
  /** The numbers of the shards to make. */
  readonly wanted: readonly number[]
}

export interface RebuiltShard extends ShardTree {
  readonly index: number
  readonly shard: Uint8Array
}
