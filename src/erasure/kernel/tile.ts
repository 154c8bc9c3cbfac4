import {
  type Code,
  i8x16RelaxedSwizzle,
  i8x16Swizzle,
  i16x8ShiftRight,
  i32Add,
  i32Const,
  i32LessThan,
  localGet,
  localSet,
  localTee,
  loopWhile,
  v128And,
  v128Const,
  v128Load,
  v128Store,
  v128Xor,
} from '../wasm/instructions.ts'
import type { FunctionCode } from '../wasm/module-bytes.ts'

/** A small part of a product of matrix and shards, with all its tables in registers. */
export interface Tile {
  /** Shards read: one or two. */
  readonly inputs: number
  /** Shards written: one or two. */
  readonly outputs: number
  /** Adds to what the outputs hold instead of replacing it. */
  readonly accumulates: boolean
}

export interface TileOptions {
  /** Bytes from one shard's strip to the next one's. */
  readonly stride: number
  /** By relaxed instructions, which are faster, where the engine has them. */
  readonly isRelaxed: boolean
}

/**
 * Tiles have up to two inputs and two outputs: their four factors' tables take eight of the sixteen
 * vector registers of an x64. With more, V8 keeps tables in memory and is slower (measured).
 */
export const tileSideMax = 2
/** Bytes of the two tables of one factor: its products with all low and all high nibbles. */
export const tableBytes = 32
/** Bytes of each strip that one turn of the loop works on: strips are rounded up to it. */
export const turnBytes = 32

const vectorBytes = 16
/** Parameters, then the counter, then the vectors. */
const local = { bytes: 0, tables: 1, input: 2, output: 3, done: 4, mask: 5, low: 6, high: 7 }
const firstSum = 8

export function tileName({ inputs, outputs, accumulates }: Tile): string {
  return `${accumulates ? 'add' : 'set'}-${inputs}-${outputs}`
}

/**
 * The function `(bytes, tables, input, output)`: multiplies the strips from `input` on by the
 * factors whose tables lie at `tables` – input by input, for each the outputs – and writes the sums
 * to the strips from `output` on.
 *
 * Multiplying is linear over XOR, so that factor · byte = factor · low nibble + factor · high
 * nibble. A nibble has 16 values: one instruction looks their products up for 16 bytes at once
 * (Plank, Greenan, Miller: Screaming Fast Galois Field Arithmetic Using Intel SIMD Instructions,
 * FAST'13).
 */
export function tileFunction(tile: Tile, options: TileOptions): FunctionCode {
  const tableVectors = 2 * tile.inputs * tile.outputs
  const body = [
    ...v128Const(0x0f),
    ...localSet(local.mask),
    ...each(tableVectors, index => loadTable(tile, index)),
    ...loopWhile([
      ...each(turnBytes / vectorBytes, vector =>
        multiplyVector(tile, options, vector * vectorBytes),
      ),
      ...advance(local.input),
      ...advance(local.output),
      ...advance(local.done),
      ...localGet(local.done),
      ...localGet(local.bytes),
      ...i32LessThan,
    ]),
  ]
  const v128Locals = firstSum + tile.outputs + tableVectors - local.mask
  return { name: tileName(tile), i32Parameters: 4, i32Locals: 1, v128Locals, body }
}

/** Sixteen bytes, `at` bytes behind the pointers, of all inputs and outputs. */
function multiplyVector(tile: Tile, { stride, isRelaxed }: TileOptions, at: number): Code {
  const swizzle = isRelaxed ? i8x16RelaxedSwizzle : i8x16Swizzle
  return [
    ...each(tile.accumulates ? tile.outputs : 0, row => loadSum(row, row * stride + at)),
    ...each(tile.inputs, column => [
      ...splitNibbles(column * stride + at),
      ...each(tile.outputs, row => [
        ...localGet(tableOf(tile, column, row)),
        ...localGet(local.low),
        ...swizzle,
        ...localGet(tableOf(tile, column, row) + 1),
        ...localGet(local.high),
        ...swizzle,
        ...v128Xor,
        ...(tile.accumulates || column > 0 ? [...localGet(firstSum + row), ...v128Xor] : []),
        ...localSet(firstSum + row),
      ]),
    ]),
    ...each(tile.outputs, row => storeSum(row, row * stride + at)),
  ]
}

function splitNibbles(offset: number): Code {
  return [
    ...localGet(local.input),
    ...v128Load(offset),
    ...localTee(local.low),
    // V8 shifts 16-bit lanes in one instruction, bytes in five; the mask takes away what comes in
    // from the neighbouring byte.
    ...i32Const(4),
    ...i16x8ShiftRight,
    ...localGet(local.mask),
    ...v128And,
    ...localSet(local.high),
    ...localGet(local.low),
    ...localGet(local.mask),
    ...v128And,
    ...localSet(local.low),
  ]
}

/** The local of the table for low nibbles; that for high ones comes behind it. */
function tableOf(tile: Tile, column: number, row: number): number {
  return firstSum + tile.outputs + 2 * (column * tile.outputs + row)
}

function loadTable(tile: Tile, index: number): Code {
  return [
    ...localGet(local.tables),
    ...v128Load(index * vectorBytes),
    ...localSet(tableOf(tile, 0, 0) + index),
  ]
}

function loadSum(row: number, offset: number): Code {
  return [...localGet(local.output), ...v128Load(offset), ...localSet(firstSum + row)]
}

function storeSum(row: number, offset: number): Code {
  return [...localGet(local.output), ...localGet(firstSum + row), ...v128Store(offset)]
}

function advance(pointer: number): Code {
  return [...localGet(pointer), ...i32Const(turnBytes), ...i32Add, ...localSet(pointer)]
}

function each(count: number, code: (index: number) => Code): Code {
  return Array.from({ length: count }, (_, index) => code(index)).flat()
}
