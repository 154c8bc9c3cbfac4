import { merkleRoot } from '../../std/merkle.ts'
import type { Kernel, ShardProduct } from '../kernel/kernel.ts'
import { hashLeafOf, leafBytes, leafCountOf, leafHashBytes, type ShardTree } from '../leaves.ts'

/** Shards to make and to hash, all of one length. */
export interface CodingWork {
  readonly shardBytes: number
  /** May have no outputs, when shards are only to be hashed. */
  readonly product: ShardProduct
  /** Some of the inputs and outputs. */
  readonly hashed: readonly Uint8Array[]
}

/**
 * Work that is done leaf by leaf: each is hashed while it is still in the cache. Threads that are
 * given the same job share its leaves. Everything large is in shared memory.
 */
export interface CodingJob extends CodingWork {
  readonly id: number
  /** Where the hashes go: shard after shard, in it leaf after leaf. */
  readonly hashes: Uint8Array
  /** The next leaf that nobody has taken; whether to stop. */
  readonly control: Int32Array
}

const control = { nextLeaf: 0, isCancelled: 1 }

export function createCodingJob(id: number, work: CodingWork): CodingJob {
  const hashCount = work.hashed.length * leafCountOf(work.shardBytes)
  return {
    ...work,
    id,
    hashes: new Uint8Array(new SharedArrayBuffer(hashCount * leafHashBytes)),
    control: new Int32Array(new SharedArrayBuffer(2 * Int32Array.BYTES_PER_ELEMENT)),
  }
}

/** Takes leaves until none is left. A slow thread takes fewer and holds nobody up. */
export function runCodingJob(job: CodingJob, kernel: Kernel): void {
  const { product, hashed, shardBytes } = job
  const leafCount = leafCountOf(shardBytes)
  const multiply = product.outputs.length === 0 ? undefined : kernel.bind(product)
  while (Atomics.load(job.control, control.isCancelled) === 0) {
    const leaf = Atomics.add(job.control, control.nextLeaf, 1)
    if (leaf >= leafCount) return
    multiply?.(leaf * leafBytes, Math.min((leaf + 1) * leafBytes, shardBytes))
    hashed.forEach((shard, index) => {
      job.hashes.set(hashLeafOf(shard, leaf), (index * leafCount + leaf) * leafHashBytes)
    })
  }
}

/** Makes all threads leave the job after the leaf that they are at: within a millisecond. */
export function cancelCodingJob(job: CodingJob): void {
  Atomics.store(job.control, control.isCancelled, 1)
}

/** The trees of the hashed shards, when the job is done. */
export function treesOf({ hashed, hashes, shardBytes }: CodingJob): readonly ShardTree[] {
  const leafCount = leafCountOf(shardBytes)
  return hashed.map((_, index) => {
    const leafHashes = Array.from({ length: leafCount }, (_, leaf) => {
      const start = (index * leafCount + leaf) * leafHashBytes
      return hashes.slice(start, start + leafHashBytes)
    })
    return { leafHashes, root: merkleRoot(leafHashes) }
  })
}
