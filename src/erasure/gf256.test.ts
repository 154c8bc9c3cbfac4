import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { inverse, multiply } from './gf256.ts'

const bytes = Array.from({ length: 256 }, (_, byte) => byte)

/** By the definition: multiplies polynomials, then takes the modulus away from the top. */
function multiplyByDefinition(a: number, b: number): number {
  let product = 0
  for (let bit = 0; bit < 8; bit++) if ((b >> bit) & 1) product ^= a << bit
  for (let bit = 15; bit >= 8; bit--) if ((product >> bit) & 1) product ^= 0x11d << (bit - 8)
  return product
}

describe('gf256', () => {
  it('multiply() agrees with the definition for all pairs', () => {
    for (const a of bytes) {
      for (const b of bytes) assert.equal(multiply(a, b), multiplyByDefinition(a, b), `${a}·${b}`)
    }
  })

  it('inverse() multiplies to one', () => {
    for (const a of bytes.slice(1)) assert.equal(multiplyByDefinition(a, inverse(a)), 1)
  })

  it('inverse() throws when there is none', () => {
    assert.throws(() => inverse(0), RangeError)
  })
})
