import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { areFinite } from './finite-rows.ts'

/** By what IEEE 754 says of one number: the dumb twin. */
function isHalfFinite(bits: number): boolean {
  return ((bits >> 10) & 31) !== 31
}

describe('areFinite()', () => {
  it('knows each of the 65,536 numbers, in both halves of a word', () => {
    const rows = new Uint16Array(2)
    for (let bits = 0; bits < 65_536; bits++) {
      for (const place of [0, 1]) {
        rows.fill(0x7bff)
        rows[place] = bits
        assert.equal(areFinite(new Uint8Array(rows.buffer)), isHalfFinite(bits), `${bits} ${place}`)
      }
    }
  })

  it('agrees with looking at one number after the other, wherever the rows begin', () => {
    const halves = fc.array(fc.integer({ min: 0, max: 0xffff }), { maxLength: 64 })
    const mostlyFinite = fc.array(fc.integer({ min: 0, max: 0x7bff }), { maxLength: 64 })
    fc.assert(
      fc.property(fc.oneof(halves, mostlyFinite), fc.nat(7), (numbers, offset) => {
        const even = numbers.slice(0, numbers.length & ~1)
        const memory = Buffer.alloc(even.length * 2 + offset)
        for (const [index, bits] of even.entries()) memory.writeUInt16LE(bits, offset + index * 2)
        assert.equal(areFinite(memory.subarray(offset)), even.every(isHalfFinite))
      }),
    )
  })

  it('looks at the last number of large rows at an odd place', () => {
    const memory = Buffer.alloc(200_001)
    assert.equal(areFinite(memory.subarray(1)), true)
    memory.writeUInt16LE(0x7e00, 199_999)
    assert.equal(areFinite(memory.subarray(1)), false)
  })
})
