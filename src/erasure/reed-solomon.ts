import {
  type CodeShape,
  checkShape,
  commonBytes,
  presentOf,
  type ShardsWithGaps,
} from './code-shape.ts'
import { cauchyMatrix, parityMatrix, planRebuild } from './generator.ts'
import { createKernel } from './kernel/create-kernel.ts'
import type { Kernel } from './kernel/kernel.ts'
import { cell, createMatrix, type Matrix } from './matrix.ts'

/**
 * A systematic Reed–Solomon code over GF(2⁸): the first shards are the data itself, and any
 * `dataShards` of all give back every other. All shards of a call have one length, which may be odd
 * or zero. It finds no errors: of a wrong shard it makes wrong ones (`LeafVerifier` tells). In this
 * thread, at once; `createShardCoder` does the same in others.
 */
export interface ReedSolomon extends CodeShape {
  /** The parity of all data shards, written to `parity` or to new arrays. */
  encode(data: readonly Uint8Array[], parity?: readonly Uint8Array[]): readonly Uint8Array[]
  /**
   * The `wanted` shards, data or parity, in that order, written to `rebuilt` or to new arrays.
   * @throws RangeError when fewer than `dataShards` are there
   */
  reconstruct(
    shards: ShardsWithGaps,
    wanted: readonly number[],
    rebuilt?: readonly Uint8Array[],
  ): readonly Uint8Array[]
  /** Brings all parity up to date when one data shard has changed, without the other ones. */
  update(change: ShardChange, parity: readonly Uint8Array[]): void
}

export interface ShardChange {
  /** Which data shard, from 0. */
  readonly index: number
  readonly before: Uint8Array
  readonly after: Uint8Array
}

export interface ReedSolomonOptions extends CodeShape {
  /** Makes all shards of the data shards. @default that of `cauchyMatrix` */
  readonly generator?: Matrix
  /** May serve many codes of one thread. @default the fastest of this machine */
  readonly kernel?: Kernel
}

/** @throws RangeError unless there is a data shard and there are at most 255 shards in all */
export function createReedSolomon(options: ReedSolomonOptions): ReedSolomon {
  checkShape(options)
  const { dataShards, parityShards } = options
  const { generator = cauchyMatrix(options), kernel = createKernel() } = options
  checkGenerator(generator, options)
  const parityRows = parityMatrix(generator)

  const multiply = (
    matrix: Matrix,
    inputs: readonly Uint8Array[],
    into: readonly Uint8Array[] | undefined,
  ): readonly Uint8Array[] => {
    const shardBytes = commonBytes(inputs)
    const outputs = into ?? newShards(matrix.rows, shardBytes)
    checkCount(inputs, matrix.columns)
    checkCount(outputs, matrix.rows)
    commonBytes([...inputs, ...outputs])
    kernel.bind({ matrix, inputs, outputs })(0, shardBytes)
    return outputs
  }

  return {
    dataShards,
    parityShards,
    encode: (data, parity) => multiply(parityRows, data, parity),
    reconstruct(shards, wanted, rebuilt) {
      const { matrix, sources } = planRebuild(generator, presentOf(shards), wanted)
      const inputs = sources.flatMap(index => shards[index] ?? [])
      return multiply(matrix, inputs, rebuilt)
    },
    update({ index, before, after }, parity) {
      checkCount(parity, parityShards)
      if (!Number.isInteger(index) || index < 0 || index >= dataShards) {
        throw new RangeError(`There is no data shard ${index}`)
      }
      parity.forEach((shard, row) => {
        // Adding is subtracting here: what `before` gave to the sum is taken away by adding it.
        const factor = cell(parityRows, row, index)
        const sum = createMatrix(1, 3, (_, column) => (column === 0 ? 1 : factor))
        multiply(sum, [shard, before, after], [shard])
      })
    },
  }
}

function checkGenerator({ rows, columns }: Matrix, { dataShards, parityShards }: CodeShape): void {
  if (rows === dataShards + parityShards && columns === dataShards) return
  throw new RangeError('A generator has a row per shard and a column per data shard')
}

function checkCount(shards: readonly Uint8Array[], count: number): void {
  if (shards.length === count) return
  throw new RangeError(`There must be ${count} shards, not ${shards.length}`)
}

function newShards(count: number, bytes: number): readonly Uint8Array[] {
  return Array.from({ length: count }, () => new Uint8Array(bytes))
}
