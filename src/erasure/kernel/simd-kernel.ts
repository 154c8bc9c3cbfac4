import { KiB } from '../../limits.ts'
import { bufferOver } from '../buffer-over.ts'
import { multiply } from '../gf256.ts'
import { cell, type Matrix } from '../matrix.ts'
import { moduleBytes } from '../wasm/module-bytes.ts'
import {
  instantiate,
  isSupported,
  type WasmFunction,
  type WasmMemory,
} from '../wasm/web-assembly.ts'
import {
  type Kernel,
  type RunProduct,
  type ShardProduct,
  stripBytesMax,
  stripBytesOf,
} from './kernel.ts'
import { type Tile, tableBytes, tileFunction, tileName, tileSideMax, turnBytes } from './tile.ts'

/**
 * A strip's place in memory. The 64 bytes more than it holds keep the same bytes of all strips from
 * falling into the same set of the cache.
 */
const stride = stripBytesMax + 64
const pageBytes = 64 * KiB

const tiles: readonly Tile[] = [1, 2].flatMap(inputs =>
  [1, 2].flatMap(outputs => [false, true].map(accumulates => ({ inputs, outputs, accumulates }))),
)

/**
 * WebAssembly SIMD, written at run time: no tool chain, and no binary in the package. Undefined
 * where the engine does not know the instructions.
 */
export function createSimdKernel(name: 'relaxed' | 'plain'): Kernel | undefined {
  const isRelaxed = name === 'relaxed'
  const functions = tiles.map(tile => tileFunction(tile, { stride, isRelaxed }))
  const bytes = moduleBytes(functions, 1)
  if (!isSupported(bytes)) return undefined
  const instance = instantiate(bytes)
  const scratch: Scratch = { memory: instance.memory, tables: undefined }
  return { name, bind: product => bindSimd(product, scratch, instance.function) }
}

/** The kernel's memory: the tables of one product, then a strip of each input and each output. */
interface Scratch {
  readonly memory: WasmMemory
  /** Those that it holds. */
  tables: Uint8Array | undefined
}

function bindSimd(
  product: ShardProduct,
  scratch: Scratch,
  functionOf: (name: string) => WasmFunction,
): RunProduct {
  const { matrix } = product
  const calls = planTiles(matrix)
  const tables = tablesOf(matrix, calls)
  const steps = calls.map(call => ({ ...call, run: functionOf(tileName(call.tile)) }))
  const firstInput = tables.length
  const firstOutput = firstInput + matrix.columns * stride
  reserve(scratch.memory, firstOutput + matrix.rows * stride)
  const stripBytes = stripBytesOf(matrix)
  const inputs = product.inputs.map(bufferOver)
  const outputs = product.outputs.map(bufferOver)
  return (start, end) => {
    const memory = Buffer.from(scratch.memory.buffer)
    if (scratch.tables !== tables) memory.set(tables)
    scratch.tables = tables
    for (let from = start; from < end; from += stripBytes) {
      const to = Math.min(from + stripBytes, end)
      inputs.forEach((input, column) => {
        input.copy(memory, firstInput + column * stride, from, to)
      })
      for (const { run, table, column, row } of steps) {
        run(to - from, table, firstInput + column * stride, firstOutput + row * stride)
      }
      outputs.forEach((output, row) => {
        const strip = firstOutput + row * stride
        memory.copy(output, from, strip, strip + to - from)
      })
    }
  }
}

/** One tile of a matrix, and where its tables are. */
interface TileCall {
  readonly tile: Tile
  readonly table: number
  readonly column: number
  readonly row: number
}

/** Covers the matrix with tiles; the first of each row sets the sums, the others add to them. */
function planTiles({ rows, columns }: Matrix): readonly TileCall[] {
  let table = 0
  return sidesOf(rows).flatMap(([row, outputs]) =>
    sidesOf(columns).map(([column, inputs]) => {
      const call = { tile: { inputs, outputs, accumulates: column > 0 }, table, column, row }
      table += inputs * outputs * tableBytes
      return call
    }),
  )
}

function sidesOf(length: number): readonly (readonly [start: number, side: number])[] {
  return Array.from({ length: Math.ceil(length / tileSideMax) }, (_, index) => {
    const start = index * tileSideMax
    return [start, Math.min(tileSideMax, length - start)] as const
  })
}

/** Tile after tile, in the order in which `tileFunction` wants them. */
function tablesOf(matrix: Matrix, calls: readonly TileCall[]): Uint8Array {
  const tables = new Uint8Array(matrix.rows * matrix.columns * tableBytes)
  for (const { tile, table, column, row } of calls) {
    for (let index = 0; index < tile.inputs * tile.outputs; index++) {
      const factor = cell(
        matrix,
        row + (index % tile.outputs),
        column + Math.floor(index / tile.outputs),
      )
      const at = table + index * tableBytes
      for (let nibble = 0; nibble < 16; nibble++) {
        tables[at + nibble] = multiply(factor, nibble)
        tables[at + 16 + nibble] = multiply(factor, nibble << 4)
      }
    }
  }
  return tables
}

function reserve(memory: WasmMemory, bytes: number): void {
  // A turn of the loop may read and write past the end of the last strip.
  const missing = bytes + turnBytes - memory.buffer.byteLength
  if (missing > 0) memory.grow(Math.ceil(missing / pageBytes))
}
