import { assert } from '../../std/assert.ts'

/** Two half-precision numbers' exponents, and what carries a full one into the sign's place. */
const exponents = 0x7c00_7c00
const carries = 0x0400_0400
const signs = 0x8000_8000
const pieceBytes = 65_536

/**
 * Whether every number of rows of IEEE 754 half precision, little-endian, is finite: infinities and
 * NaNs are those whose exponent bits are all ones. Two numbers at a time: adding one to an exponent
 * of all ones carries into the sign's place, which was cleared. About 8 GB/s.
 */
export function areFinite(rows: Uint8Array): boolean {
  assert(rows.length % 4 === 0, 'rows of 128 tokens are whole words')
  const wordBytes = Int32Array.BYTES_PER_ELEMENT
  if (rows.byteOffset % wordBytes === 0) {
    return areWordsFinite(new Int32Array(rows.buffer, rows.byteOffset, rows.length / wordBytes))
  }
  for (let start = 0; start < rows.length; start += pieceBytes) {
    const piece = new Uint8Array(rows.subarray(start, start + pieceBytes))
    if (!areWordsFinite(new Int32Array(piece.buffer))) return false
  }
  return true
}

/** In the machine's order of bytes, which is little-endian wherever the engines run. */
function areWordsFinite(words: Int32Array): boolean {
  let seen = 0
  // By index: an iterator costs ten times as much here.
  for (let index = 0; index < words.length; index++) {
    seen |= ((words[index] ?? 0) & exponents) + carries
  }
  return (seen & signs) === 0
}
