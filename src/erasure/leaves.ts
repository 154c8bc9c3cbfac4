import { KiB } from '../limits.ts'
import { leafHasher, merkleRoot } from '../std/merkle.ts'

/**
 * Bytes of a leaf: what a reader checks at once. Small enough that a bad one is found before much
 * more has come, large enough that the list of their hashes is 1/2,048 of the shard.
 */
export const leafBytes: number = 64 * KiB
export const leafHashBytes = 32

/** The Merkle tree of a shard (RFC 6962; spec/erasure.md): its leaves' hashes, and its root. */
export interface ShardTree {
  readonly leafHashes: readonly Uint8Array[]
  readonly root: Uint8Array
}

/** Leaves of a shard of that length, of which the last may be short. */
export function leafCountOf(shardBytes: number): number {
  return Math.ceil(shardBytes / leafBytes)
}

/** The shard may be in shared memory. */
export function hashShard(shard: Uint8Array): ShardTree {
  const leafHashes = Array.from({ length: leafCountOf(shard.length) }, (_, leaf) =>
    hashLeafOf(shard, leaf),
  )
  return { leafHashes, root: merkleRoot(leafHashes) }
}

export function hashLeafOf(shard: Uint8Array, leaf: number): Uint8Array {
  return leafHasher()
    .update(shard.subarray(leaf * leafBytes, (leaf + 1) * leafBytes))
    .digest()
}
