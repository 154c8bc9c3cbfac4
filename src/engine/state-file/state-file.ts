import type { BlockRows } from '../../interface/kv-state.ts'
import {
  blockBytes,
  blockTokens,
  bytesPerToken,
  type LayerLayout,
  type StateLayout,
} from '../../key/state-layout.ts'
import { assert } from '../../std/assert.ts'
import { StateFileReader, stateFileInvalid } from './state-file-reader.ts'

/**
 * State files of llama.cpp for one sequence ("ggsq", version 3 of llama.cpp 0.5.0; src/llama-
 * context.cpp and src/llama-kv-cache.cpp there). All numbers are little-endian:
 *
 *     u32 magic 'qsgg' · u32 version · u32 tokens · i32 token[tokens]
 *     u32 streams, and for each: u32 cells, 0 but for one of them; behind that one's count
 *       cell[cells]: i32 position · u32 1 · i32 sequence
 *       u32 transposed (0) · u32 layers
 *       for each layer the keys:   i32 type (1: f16) · u64 bytes of a row · rows
 *       for each layer the values: i32 type (1: f16) · u64 bytes of a row · rows
 *
 * With flash attention on each token is one row of every layer, so that blocks are cut and joined
 * by copying. Anything else is refused: this project's blocks hold f16 rows only.
 */
export interface ParsedState {
  readonly tokenIds: readonly number[]
  readonly layers: readonly ParsedLayer[]
  /** Sequences of the context that wrote it (its streams). */
  readonly sequences: number
}

/** One layer's rows, token by token: views of the file's bytes. */
export interface ParsedLayer extends LayerLayout {
  readonly key: Uint8Array
  readonly value: Uint8Array
}

const magic = 0x6767_7371
const version = 3
const typeF16 = 1
const halfBytes = 2
const cellBytes = 12
const rowHeaderBytes = 12

/**
 * Reads a whole state file; strict: positions 0, 1, 2 …, f16 rows, nothing behind the end. What
 * the rows hold is not looked at. Copies the token ids only.
 *
 * @throws block_invalid, naming what is wrong
 */
export function parseStateFile(bytes: Uint8Array): ParsedState {
  const reader = new StateFileReader(bytes)
  check(reader.u32('magic') === magic, 'it does not begin as one')
  check(reader.u32('version') === version, `its version is not ${version}`)
  const listed = reader.count(4, 'token ids')
  const tokenIds = unpacked(Array.from({ length: listed }, () => reader.i32('a token id')))
  const tokens = tokenIds.length
  check(tokens > 0, 'it holds no token')
  check(
    tokenIds.every(tokenId => tokenId >= 0),
    'a token id is negative',
  )
  const sequences = reader.count(4, 'streams')
  let layers: readonly ParsedLayer[] | undefined
  for (let stream = 0; stream < sequences; stream++) {
    const cells = reader.u32('a count of cells')
    if (cells === 0) continue
    check(layers === undefined, 'more than one of its streams holds tokens')
    check(cells === tokens, 'it does not hold as many cells as tokens')
    readCells(reader, cells, sequences)
    layers = readLayers(reader, cells)
  }
  check(layers !== undefined, 'none of its streams holds tokens')
  check(reader.left === 0, 'bytes follow its end')
  return { tokenIds, layers, sequences }
}

/**
 * llama-server saves its list of tokens as -1, 1, their count, themselves, and the count of other
 * media, which is 0 where all can be cut.
 */
function unpacked(listed: readonly number[]): readonly number[] {
  if (listed[0] !== -1) return listed
  const [, form, count = 0, ...rest] = listed
  check(form === 1 && rest.length === count + 1 && rest.at(-1) === 0, 'it is not only of tokens')
  return rest.slice(0, -1)
}

/** How the rows of a state are laid out. `settings`: what the file does not tell. */
export function layoutOf(state: ParsedState, settings: string): StateLayout {
  const layers = state.layers.map(({ keyBytes, valueBytes }) => ({ keyBytes, valueBytes }))
  return { layers, settings }
}

/** What the files of one model have in common. */
export interface StateForm {
  readonly layout: StateLayout
  /** Sequences of the context: it takes no file that names another number of streams. */
  readonly sequences: number
}

/** The size of a state file of so many tokens. */
export function stateFileBytes({ layout, sequences }: StateForm, tokens: number): number {
  const rows = layout.layers.length * 2 * rowHeaderBytes + tokens * bytesPerToken(layout)
  return leadingBytes(tokens) + rows + 4 * (sequences - 1)
}

/**
 * The rows of one block, in our form (`BlockRows`), in new shared memory.
 * @param index of the block; the state must hold all of its tokens
 */
export function cutBlock(state: ParsedState, index: number): BlockRows {
  const [start, end] = [index * blockTokens, (index + 1) * blockTokens]
  assert(index >= 0 && end <= state.tokenIds.length, 'Whoever cuts a block has counted the tokens')
  const size = bytesPerToken({ layers: state.layers, settings: '' }) * blockTokens
  const rows = new Uint8Array(new SharedArrayBuffer(size))
  let offset = 0
  const take = (all: Uint8Array, rowBytes: number): void => {
    rows.set(all.subarray(start * rowBytes, end * rowBytes), offset)
    offset += blockTokens * rowBytes
  }
  for (const { key, keyBytes, value, valueBytes } of state.layers) {
    take(key, keyBytes)
    take(value, valueBytes)
  }
  return rows
}

export interface JoinedBlocks extends StateForm {
  /** As many as the blocks hold. */
  readonly tokenIds: readonly number[]
  /** Blocks 0, 1, 2 … */
  readonly blocks: readonly BlockRows[]
}

/**
 * The pieces of a state file made of blocks, to be written one behind the other (`fs.writev`):
 * small headers of our own and views of the blocks, so that no row is copied.
 *
 * @throws block_invalid, when a block is not as large as the layout says
 */
export function joinBlocks(what: JoinedBlocks): readonly Uint8Array[] {
  const { layout, tokenIds, blocks, sequences } = what
  assert(
    blocks.length > 0 && tokenIds.length === blocks.length * blockTokens,
    'Whoever joins blocks has counted the tokens',
  )
  checkSizes(blocks, layout)
  let offset = 0
  const keys: Uint8Array[] = []
  const values: Uint8Array[] = []
  const add = (to: Uint8Array[], rowBytes: number): void => {
    const end = offset + rowBytes * blockTokens
    to.push(rowHeader(rowBytes), ...blocks.map(block => block.subarray(offset, end)))
    offset = end
  }
  for (const { keyBytes, valueBytes } of layout.layers) {
    add(keys, keyBytes)
    add(values, valueBytes)
  }
  // The streams behind the first are empty: a count of 0 cells each.
  const emptyStreams = new Uint8Array(4 * (sequences - 1))
  return [leadingPiece(tokenIds, layout.layers.length, sequences), ...keys, ...values, emptyStreams]
}

/** Pieces of a file that lie one behind the other. */
export interface PlacedPieces {
  /** Where the first one begins, in bytes. */
  readonly start: number
  readonly pieces: readonly Uint8Array[]
}

/**
 * Everything of a state file of these tokens but its rows, which `placeBlocks` places: together
 * they are what `joinBlocks` joins, in whatever order they are written.
 */
export function placeHeaders(
  form: StateForm,
  tokenIds: readonly number[],
): readonly PlacedPieces[] {
  const { layout, sequences } = form
  const tokens = tokenIds.length
  const leading = leadingPiece(tokenIds, layout.layers.length, sequences)
  const headers = rowPlaces(form, tokens).map(({ start, rowBytes }) => ({
    start: start - rowHeaderBytes,
    pieces: [rowHeader(rowBytes)],
  }))
  const emptyStreams = new Uint8Array(4 * (sequences - 1))
  const end = stateFileBytes(form, tokens) - emptyStreams.length
  return [{ start: 0, pieces: [leading] }, ...headers, { start: end, pieces: [emptyStreams] }]
}

export interface PlacedBlocks {
  /** Of the whole file, which may hold more blocks than these. */
  readonly tokens: number
  /** The index of the first of these blocks. */
  readonly from: number
  /** One behind the other. */
  readonly blocks: readonly BlockRows[]
}

/**
 * The rows of blocks where they lie in a state file: views, so that none is copied.
 * @throws block_invalid, when a block is not as large as the layout says
 */
export function placeBlocks(form: StateForm, what: PlacedBlocks): readonly PlacedPieces[] {
  const { tokens, from, blocks } = what
  const end = (from + blocks.length) * blockTokens
  assert(from >= 0 && end <= tokens, 'Whoever places blocks has counted the tokens')
  checkSizes(blocks, form.layout)
  let offset = 0
  return rowPlaces(form, tokens).map(({ start, rowBytes }) => {
    const [first, bytes] = [offset, rowBytes * blockTokens]
    offset += bytes
    const pieces = blocks.map(block => block.subarray(first, first + bytes))
    return { start: start + from * bytes, pieces }
  })
}

/** Where the rows of each layer begin, in the order of a block's: keys, values, keys, … */
function rowPlaces(form: StateForm, tokens: number): { start: number; rowBytes: number }[] {
  const { layers } = form.layout
  let end = leadingBytes(tokens)
  const next = (rowBytes: number): { start: number; rowBytes: number } => {
    const start = end + rowHeaderBytes
    end = start + tokens * rowBytes
    return { start, rowBytes }
  }
  // In the file the keys of all layers come first.
  const keys = layers.map(({ keyBytes }) => next(keyBytes))
  const values = layers.map(({ valueBytes }) => next(valueBytes))
  return keys.flatMap((key, layer) => [key, ...values.slice(layer, layer + 1)])
}

function readCells(reader: StateFileReader, cells: number, sequences: number): void {
  reader.demand(cells, cellBytes, 'cells')
  for (let cell = 0; cell < cells; cell++) {
    check(reader.i32('a position') === cell, 'its positions are not 0, 1, 2 …')
    check(reader.u32('an owner count') === 1, 'a cell has not exactly one owner')
    const owner = reader.i32('an owner')
    check(owner >= 0 && owner < sequences, 'a cell belongs to no sequence of the context')
  }
}

function readLayers(reader: StateFileReader, cells: number): readonly ParsedLayer[] {
  check(reader.u32('the order of values') === 0, 'its values are transposed')
  // Each layer has two row headers at least.
  const count = reader.count(2 * rowHeaderBytes, 'layers')
  check(count > 0, 'it holds no layer')
  const keys = Array.from({ length: count }, () => readRows(reader, cells))
  const values = Array.from({ length: count }, () => readRows(reader, cells))
  return keys.map((key, layer) => {
    const value = values[layer]
    assert(value !== undefined, 'As many layers of values as of keys')
    return { key: key.rows, keyBytes: key.rowBytes, value: value.rows, valueBytes: value.rowBytes }
  })
}

function readRows(reader: StateFileReader, cells: number): { rows: Uint8Array; rowBytes: number } {
  check(reader.i32('a row type') === typeF16, 'its rows are not f16')
  const rowBytes = reader.u64('a row size')
  check(rowBytes > 0 && rowBytes % halfBytes === 0, 'its rows are not whole f16 numbers')
  return { rows: reader.bytes(cells, rowBytes, 'rows'), rowBytes }
}

function checkSizes(blocks: readonly BlockRows[], layout: StateLayout): void {
  const size = blockBytes(layout)
  check(
    blocks.every(block => block.length === size),
    'a block has another size than its layout',
  )
}

/** Seven counts and the like, the token ids and the cells. */
function leadingBytes(tokens: number): number {
  return 4 * (7 + tokens) + tokens * cellBytes
}

/** Everything before the first layer's rows. */
function leadingPiece(tokenIds: readonly number[], layers: number, sequences: number): Uint8Array {
  const tokens = tokenIds.length
  const piece = new Uint8Array(leadingBytes(tokens))
  const view = new DataView(piece.buffer)
  let offset = 0
  const write = (value: number): void => {
    view.setInt32(offset, value, true)
    offset += 4
  }
  for (const value of [magic, version, tokens]) write(value)
  for (const tokenId of tokenIds) write(tokenId)
  write(sequences)
  write(tokens)
  for (let position = 0; position < tokens; position++) {
    write(position)
    write(1)
    write(0)
  }
  write(0)
  write(layers)
  assert(offset === piece.length, 'The piece is as long as what it holds')
  return piece
}

function rowHeader(rowBytes: number): Uint8Array {
  const header = new Uint8Array(rowHeaderBytes)
  const view = new DataView(header.buffer)
  view.setInt32(0, typeF16, true)
  view.setBigUint64(4, BigInt(rowBytes), true)
  return header
}

function check(holds: boolean, otherwise: string): asserts holds {
  if (!holds) throw stateFileInvalid(otherwise)
}
