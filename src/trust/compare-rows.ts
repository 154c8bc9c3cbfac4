import { blockBytes, blockTokens, type StateLayout } from '../key/state-layout.ts'

/**
 * Largest honest difference between two computations of one block in one numeric class, as root
 * mean square of the differences over that of the values, in any plane (a layer's keys, or its
 * values).
 *
 * The numerics contract makes it 0 on processors (research/engine.md §4). Where it is broken – by
 * kernels chosen by batch size on other hardware – trained models were seen to differ by up to
 * 3e-3 between CPU levels and by 7.5e-3 at most between kernels. State of another prompt, of
 * shifted positions or of zeros differs by about 1 or more.
 */
export const rowToleranceMax = 0.02

export interface RowComparison {
  readonly agrees: boolean
  /** Of the plane that differs most; infinite where a number is none. */
  readonly worst: number
}

/** Bytes of one plane of a block, and where it lies. */
export interface Plane {
  readonly start: number
  readonly end: number
}

/** A block's planes, in order: layer by layer keys, then values. */
export function* planesOf({ layers }: StateLayout): Generator<Plane> {
  let start = 0
  for (const { keyBytes, valueBytes } of layers) {
    for (const rowBytes of [keyBytes, valueBytes]) {
      const end = start + rowBytes * blockTokens
      yield { start, end }
      start = end
    }
  }
}

/**
 * Compares the rows of one block as half-precision numbers, plane by plane: whoever alters one
 * layer only does not hide in the average of all. Yields after each plane, so that a caller can let
 * others have their turn. @throws RangeError for rows of another size
 */
export function* compareRows(
  layout: StateLayout,
  claimed: Uint8Array,
  computed: Uint8Array,
): Generator<undefined, RowComparison, void> {
  const bytes = blockBytes(layout)
  if (claimed.length !== bytes || computed.length !== bytes) {
    throw new RangeError(`Rows of ${claimed.length} and ${computed.length} bytes, not ${bytes}`)
  }
  let worst = 0
  for (const { start, end } of planesOf(layout)) {
    const distance = planeDistance(claimed.subarray(start, end), computed.subarray(start, end))
    worst = Math.max(worst, distance)
    yield undefined
  }
  return { agrees: worst <= rowToleranceMax, worst }
}

/** Relative root mean square of one plane; infinite where a number is infinite or none. */
export function planeDistance(claimed: Uint8Array, computed: Uint8Array): number {
  // Equal bytes are the usual case, and a compare of memory is a hundred times as fast.
  if (Buffer.compare(claimed, computed) === 0 && isFinitePlane(computed)) return 0
  let difference = 0
  let norm = 0
  for (let at = 0; at + 1 < computed.length; at += 2) {
    const right = halfAt(computed, at)
    const apart = halfAt(claimed, at) - right
    difference += apart * apart
    norm += right * right
  }
  const distance = Math.sqrt(difference / Math.max(norm, normLeast))
  return Number.isNaN(distance) ? Number.POSITIVE_INFINITY : distance
}

/** So that a plane of zeros has a distance: below what one half-precision number can be. */
const normLeast = 2 ** -48

function isFinitePlane(bytes: Uint8Array): boolean {
  for (let at = 1; at < bytes.length; at += 2) {
    if (((bytes[at] ?? 0) & 0x7c) === 0x7c) return false
  }
  return true
}

/** IEEE 754 half precision, little-endian. */
function halfAt(bytes: Uint8Array, at: number): number {
  const bits = (bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8)
  const exponent = (bits >> 10) & 0x1f
  const fraction = bits & 0x3ff
  const sign = bits & 0x8000 ? -1 : 1
  if (exponent === 0) return sign * fraction * 2 ** -24
  if (exponent === 0x1f) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15)
}
