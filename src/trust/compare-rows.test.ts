import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { blockBytes, blockTokens, type StateLayout } from '../key/state-layout.ts'
import { SeededRandom } from '../std/seeded-random.ts'
import {
  compareRows,
  planeDistance,
  planesOf,
  type RowComparison,
  rowToleranceMax,
} from './compare-rows.ts'

const layout: StateLayout = {
  layers: [
    { keyBytes: 8, valueBytes: 4 },
    { keyBytes: 8, valueBytes: 4 },
  ],
  settings: 'test',
}

/** Numbers between 1 and 2, either sign. */
function rows(seed: number): Uint8Array {
  const random = new SeededRandom(seed)
  const bytes = new Uint8Array(blockBytes(layout))
  for (let at = 0; at < bytes.length; at += 2) {
    const [low = 0, high = 0] = random.bytes(2)
    bytes[at] = low
    bytes[at + 1] = 0x3c | (high & 0x83)
  }
  return bytes
}

function changed(bytes: Uint8Array, change: (copy: DataView) => void): Uint8Array {
  const copy = Uint8Array.from(bytes)
  change(new DataView(copy.buffer))
  return copy
}

function compared(claimed: Uint8Array, computed: Uint8Array): RowComparison {
  const steps = compareRows(layout, claimed, computed)
  let step = steps.next()
  while (step.done !== true) step = steps.next()
  return step.value
}

describe('compareRows()', () => {
  it('agrees with equal rows, and with those of another rounding', () => {
    assert.deepEqual(compared(rows(1), rows(1)), { agrees: true, worst: 0 })
    const rounded = Uint8Array.from(rows(1), (byte, at) => (at % 2 === 0 ? byte ^ 1 : byte))
    const { agrees, worst } = compared(rounded, rows(1))
    assert.ok(agrees && worst > 0 && worst < 1e-3)
  })

  it('disagrees with other rows, with shifted ones and with zeros', () => {
    assert.ok(compared(rows(2), rows(1)).worst > 0.5)
    const shifted = Uint8Array.from([...rows(1).subarray(8), ...rows(1).subarray(0, 8)])
    assert.equal(compared(shifted, rows(1)).agrees, false)
    const zeros = new Uint8Array(blockBytes(layout))
    assert.deepEqual(compared(zeros, rows(1)), { agrees: false, worst: 1 })
    assert.equal(compared(rows(1), zeros).agrees, false)
  })

  it('disagrees when one plane only is another one', () => {
    const [, , plane] = [...planesOf(layout)]
    assert.ok(plane !== undefined)
    const cheated = Uint8Array.from(rows(1))
    cheated.set(rows(3).subarray(plane.start, plane.end), plane.start)
    assert.equal(compared(cheated, rows(1)).agrees, false)
  })

  it('disagrees with numbers that are none, on either side', () => {
    const notANumber = changed(rows(1), view => view.setUint16(10, 0x7e00, true))
    const infinite = changed(rows(1), view => view.setUint16(10, 0xfc00, true))
    for (const bad of [notANumber, infinite]) {
      assert.equal(compared(bad, rows(1)).agrees, false)
      assert.equal(compared(rows(1), bad).agrees, false)
      assert.equal(compared(bad, bad).agrees, false)
    }
  })

  it('refuses rows of another size', () => {
    assert.throws(() => compared(rows(1).subarray(2), rows(1)), RangeError)
  })

  it('decides by the relative root mean square, as worked out in floats', () => {
    const halves = fc.array(fc.integer({ min: 0x0400, max: 0x7bff }), {
      minLength: 1,
      maxLength: 40,
    })
    fc.assert(
      fc.property(halves, fc.integer({ min: 0, max: 64 }), (bits, off) => {
        const left = Uint16Array.from(bits)
        const right = Uint16Array.from(bits, value => Math.max(0x0400, value - off))
        const apart = [...left].map((value, at) => floatOf(value) - floatOf(right[at] ?? 0))
        const square = (values: readonly number[]): number =>
          values.reduce((sum, value) => sum + value * value, 0)
        const expected = Math.sqrt(square(apart) / square([...right].map(floatOf)))
        const bytes = (half: Uint16Array): Uint8Array => new Uint8Array(half.buffer)
        const distance = planeDistance(bytes(left), bytes(right))
        assert.ok(Math.abs(distance - expected) <= 1e-9 * Math.max(1, expected))
      }),
    )
    assert.ok(rowToleranceMax > 7.5e-3, 'kernels that differ by batch size are no fraud')
    assert.equal([...planesOf(layout)].at(-1)?.end, blockBytes(layout))
    assert.equal([...planesOf(layout)][0]?.end, 8 * blockTokens)
  })
})

/** Normal numbers only. */
function floatOf(bits: number): number {
  return (1 + (bits & 0x3ff) / 1024) * 2 ** (((bits >> 10) & 0x1f) - 15)
}
