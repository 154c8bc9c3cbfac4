import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { signed, unsigned } from './instructions.ts'

/** The definition of LEB128: seven bits a byte, the lowest first. */
function decode(code: readonly number[]): bigint {
  return code.reduce((sum, byte, index) => sum | (BigInt(byte & 0x7f) << BigInt(7 * index)), 0n)
}

describe('LEB128', () => {
  it('unsigned() is read back, in its shortest form', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 0xffff_ffff }), value => {
        const code = unsigned(value)
        assert.equal(decode(code), BigInt(value))
        assert.equal(code.length, Math.max(1, Math.ceil(value.toString(2).length / 7)))
        assert.deepEqual(
          code.map(byte => byte >= 0x80),
          code.map((_, index) => index < code.length - 1),
        )
      }),
    )
  })

  it('signed() is read back with its sign', () => {
    fc.assert(
      fc.property(fc.integer(), value => {
        const code = signed(value)
        assert.equal(BigInt.asIntN(7 * code.length, decode(code)), BigInt(value))
      }),
    )
  })

  it('signed() has the examples of the specification', () => {
    assert.deepEqual(signed(-123_456), [0xc0, 0xbb, 0x78])
    assert.deepEqual(signed(64), [0xc0, 0x00])
  })
})
