import type { ShardsWithGaps } from '../../erasure/code-shape.ts'
import type { CodedObject, ShardCoder } from '../../erasure/coder/shard-coder.ts'
import { splitObject } from '../../erasure/shards.ts'
import { assert } from '../../std/assert.ts'
import type { AbortOptions } from '../../std/signal.ts'
import { type Manifest, rootBytes } from '../../wire/manifest.ts'
import type { Code } from './place/placement.ts'

/** The shards of a sealed block. Where one is enough all of them are the block itself. */
export async function encodeBlock(
  coder: ShardCoder,
  sealed: Uint8Array,
  { dataShards, shards }: Code,
  options: AbortOptions,
): Promise<CodedObject> {
  if (dataShards > 1) {
    return await coder.encode(sealed, { dataShards, parityShards: shards - dataShards }, options)
  }
  const [copy] = splitObject(sealed, 1)
  assert(copy !== undefined, 'A block is cut into one part at least')
  const [tree] = await coder.hash([copy], options)
  assert(tree !== undefined, 'Each shard that is hashed has a tree')
  return {
    shards: Array.from({ length: shards }, () => copy),
    leafHashes: Array.from({ length: shards }, () => tree.leafHashes),
    roots: Array.from({ length: shards }, () => tree.root),
    shardBytes: copy.length,
    objectBytes: sealed.length,
  }
}

/** The block that shards were made of; enough of them must be there. */
export async function decodeBlock(
  coder: ShardCoder,
  manifest: Manifest,
  shards: ShardsWithGaps,
  options: AbortOptions,
): Promise<Uint8Array> {
  const { dataShards, objectBytes } = manifest
  if (dataShards > 1) {
    const parityShards = manifest.shards - dataShards
    return await coder.decode({ shards, dataShards, parityShards, objectBytes }, options)
  }
  const copy = shards.find(shard => shard !== undefined)
  if (copy === undefined) throw new RangeError('A block is not decoded from nothing')
  return copy.subarray(0, objectBytes)
}

/** The hashes of the leaves of the first so many shards, one behind the other. */
export function joinLeaves(
  leafHashes: readonly (readonly Uint8Array[])[],
  shardCount: number,
): Uint8Array {
  return Buffer.concat(leafHashes.slice(0, shardCount).flat())
}

export function joinRoots(roots: readonly Uint8Array[]): Uint8Array {
  const joined = new Uint8Array(roots.length * rootBytes)
  for (const [index, root] of roots.entries()) joined.set(root, index * rootBytes)
  return joined
}
