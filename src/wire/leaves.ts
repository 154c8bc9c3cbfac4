import { OperationError } from '../errors.ts'
import { leavesBytesMax, leavesMax, sketchMax } from '../limits.ts'
import { assert } from '../std/assert.ts'

/** What the issuer's model thought of one completion token (spec/receipts.md §4). */
export interface Leaf {
  readonly tokenId: number
  /** Natural log-probability at temperature 1, in 1/1024 nat: never above 0. */
  readonly logprob: number
  /** The likeliest tokens of the position, likeliest first, equal ones by their ids. */
  readonly sketch: readonly SketchEntry[]
}

export interface SketchEntry {
  readonly tokenId: number
  readonly logprob: number
}

/** Units of a quantised log-probability per nat. */
const logprobScale = 1_024
const logprobMin = -0x7fff_ffff
const version = 1
/** Token id, log-probability and the count of an empty sketch take a byte each. */
const leafBytesMin = 3

/**
 * In 1/1024 nat, halves up: 0.0005 nat is far below what machines of one numeric class differ by.
 */
export function quantiseLogprob(logprob: number): number {
  if (Number.isNaN(logprob)) throw new RangeError('A log-probability is a number')
  const units = Math.floor(logprob * logprobScale + 0.5)
  return Math.min(0, Math.max(logprobMin, units))
}

/**
 * The bytes that are hashed: u32-LE position ‖ u32-LE token id ‖ i32-LE log-probability ‖ u8 count
 * ‖ (u32-LE token id ‖ i32-LE log-probability) each.
 */
export function leafBytes(position: number, leaf: Leaf): Uint8Array {
  const bytes = new Uint8Array(13 + leaf.sketch.length * 8)
  const view = new DataView(bytes.buffer)
  view.setUint32(0, position, true)
  view.setUint32(4, leaf.tokenId, true)
  view.setInt32(8, leaf.logprob, true)
  view.setUint8(12, leaf.sketch.length)
  for (const [index, entry] of leaf.sketch.entries()) {
    view.setUint32(13 + index * 8, entry.tokenId, true)
    view.setInt32(17 + index * 8, entry.logprob, true)
  }
  return bytes
}

/**
 * The whole list: u8 version = 1 ‖ count ‖ per leaf: token id ‖ -log-probability ‖ count of the
 * sketch ‖ (token id ‖ -log-probability) each; all numbers as LEB128 in their shortest form.
 */
export function encodeLeaves(leaves: readonly Leaf[]): Uint8Array {
  if (leaves.length > leavesMax) throw new RangeError(`A receipt has at most ${leavesMax} leaves`)
  const numbers = [leaves.length]
  for (const { tokenId, logprob, sketch } of leaves) {
    numbers.push(tokenId, -logprob, sketch.length)
    for (const entry of sketch) numbers.push(entry.tokenId, -entry.logprob)
  }
  const bytes = new Uint8Array(1 + numbers.length * 5)
  bytes[0] = version
  let length = 1
  for (const number of numbers) {
    assert(Number.isInteger(number) && number >= 0 && number <= 0xffff_ffff, 'A leaf is of u32')
    let rest = number
    for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes[length++] = 0x80 | (rest & 0x7f)
    bytes[length++] = rest
  }
  if (length > leavesBytesMax) throw new RangeError(`Leaves have at most ${leavesBytesMax} bytes`)
  return bytes.subarray(0, length)
}

/** @throws receipt_invalid for everything that `encodeLeaves` does not write */
export function decodeLeaves(bytes: Uint8Array): readonly Leaf[] {
  if (bytes.length > leavesBytesMax) throw invalid('they are too large')
  if (bytes[0] !== version) throw invalid('their version is unknown')
  const reader = new LebReader(bytes, 1)
  const count = reader.next()
  if (count > leavesMax || count * leafBytesMin > bytes.length) throw invalid('they are cut')
  const leaves: Leaf[] = []
  while (leaves.length < count) leaves.push(readLeaf(reader))
  if (reader.hasMore) throw invalid('something follows them')
  return leaves
}

function readLeaf(reader: LebReader): Leaf {
  const tokenId = reader.next()
  const logprob = readLogprob(reader)
  const count = reader.next()
  if (count > sketchMax) throw invalid('a sketch is too long')
  const sketch: SketchEntry[] = []
  while (sketch.length < count) {
    const entry = { tokenId: reader.next(), logprob: readLogprob(reader) }
    const last = sketch.at(-1)
    if (last !== undefined && compareEntries(last, entry) >= 0)
      throw invalid('a sketch is unsorted')
    if (sketch.some(other => other.tokenId === entry.tokenId)) throw invalid('a sketch repeats')
    sketch.push(entry)
  }
  return { tokenId, logprob, sketch }
}

/** The order of a sketch. */
export function compareEntries(a: SketchEntry, b: SketchEntry): number {
  return b.logprob - a.logprob || a.tokenId - b.tokenId
}

function readLogprob(reader: LebReader): number {
  const units = reader.next()
  if (units > -logprobMin) throw invalid('a log-probability is out of range')
  return 0 - units
}

class LebReader {
  readonly #bytes: Uint8Array
  #at: number

  constructor(bytes: Uint8Array, at: number) {
    this.#bytes = bytes
    this.#at = at
  }

  get hasMore(): boolean {
    return this.#at < this.#bytes.length
  }

  /** An unsigned number of at most 32 bits in its shortest form. */
  next(): number {
    let value = 0
    for (let factor = 1; factor <= 0x1000_0000; factor *= 0x80) {
      const byte = this.#bytes[this.#at]
      if (byte === undefined) throw invalid('they are cut')
      this.#at += 1
      value += (byte & 0x7f) * factor
      if (byte >= 0x80) continue
      if (byte === 0 && factor > 1) throw invalid('a number is not in its shortest form')
      if (value > 0xffff_ffff) break
      return value
    }
    throw invalid('a number is too large')
  }
}

function invalid(why: string): OperationError {
  return new OperationError('receipt_invalid', `Cannot read the leaves: ${why}`, { origin: 'peer' })
}
