/**
 * Erasure coding (`hyperspace-cache/erasure`): a systematic Reed–Solomon code at several gigabytes
 * per second, shards that are checked while they stream, and threads for whole objects. Needs Node
 * and nothing else. spec/erasure.md says which bytes it makes.
 */
export type { CodeShape, ShardsWithGaps } from './code-shape.ts'
export { shardsMax } from './code-shape.ts'
export { createShardCoder, type ShardCoderOptions } from './coder/create-shard-coder.ts'
export type {
  CodedObject,
  DecodableObject,
  RebuildableObject,
  RebuiltShard,
  ShardCoder,
} from './coder/shard-coder.ts'
export { cauchyMatrix, vandermondeMatrix } from './generator.ts'
export { createKernel } from './kernel/create-kernel.ts'
export type { Kernel, KernelName } from './kernel/kernel.ts'
export {
  createLeafVerifier,
  type ExpectedShard,
  type LeafFault,
  type LeafVerifier,
} from './leaf-verifier.ts'
export { hashShard, leafBytes, leafCountOf, type ShardTree } from './leaves.ts'
export type { Matrix } from './matrix.ts'
export {
  createReedSolomon,
  type ReedSolomon,
  type ReedSolomonOptions,
  type ShardChange,
} from './reed-solomon.ts'
export { joinShards, shardBytesOf, splitObject } from './shards.ts'
