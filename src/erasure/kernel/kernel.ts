import { KiB } from '../../limits.ts'
import type { Matrix } from '../matrix.ts'

/**
 * How bytes are multiplied, the fastest first: by WebAssembly SIMD with relaxed instructions (since
 * Node 22) and without; by tables in JavaScript, on machines that have no SIMD.
 */
export type KernelName = 'relaxed' | 'plain' | 'scalar'

/**
 * Multiplies matrices by shards. Owns scratch memory, so that it serves any number of products one
 * after the other, but one thread only.
 */
export interface Kernel {
  readonly name: KernelName
  /** The product of a matrix with these shards, to be computed range by range. */
  bind(product: ShardProduct): RunProduct
}

/**
 * `outputs[row][at] = Σ matrix[row][column] · inputs[column][at]` for every byte. All shards are of
 * one length, in memory of their own or shared. An output may be one of the inputs.
 */
export interface ShardProduct {
  readonly matrix: Matrix
  /** One per column. */
  readonly inputs: readonly Uint8Array[]
  /** One per row. */
  readonly outputs: readonly Uint8Array[]
}

/** Writes bytes `start` to `end` of every output. */
export type RunProduct = (start: number, end: number) => void

/**
 * Bytes of each shard that are worked on at once: so few that the strips of all shards stay in a
 * core's own cache together, but not so few that calls take longer than the work.
 */
export function stripBytesOf({ rows, columns }: Matrix): number {
  const share = Math.floor(cacheBytes / Math.max(1, rows + columns))
  return Math.max(stripBytesMin, Math.min(stripBytesMax, share - (share % stripBytesMin)))
}

const cacheBytes = 512 * KiB
const stripBytesMin: number = KiB
/** Strips of 8 KiB cost a sixth of the speed, those of 32 KiB gain nothing (4 + 4 to 20 + 10). */
export const stripBytesMax: number = 16 * KiB
