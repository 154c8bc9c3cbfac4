import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { OperationError } from '../errors.ts'
import { leafArbitrary } from '../trust/test-answer.ts'
import { decodeLeaves, encodeLeaves, quantiseLogprob } from './leaves.ts'

describe('leaves codec', () => {
  it('decodes to what was encoded', () => {
    fc.assert(
      fc.property(fc.array(leafArbitrary), leaves => {
        assert.deepEqual(decodeLeaves(encodeLeaves(leaves)), leaves)
      }),
    )
  })

  it('has one form: mutated and random bytes are refused, or written back alike', () => {
    const mutated = fc
      .tuple(fc.array(leafArbitrary, { minLength: 1 }), fc.nat(), fc.nat(255))
      .map(([leaves, at, value]) => {
        const bytes = Uint8Array.from(encodeLeaves(leaves))
        bytes[at % bytes.length] = value
        return bytes
      })
    fc.assert(
      fc.property(fc.oneof(mutated, fc.uint8Array()), bytes => {
        try {
          assert.deepEqual(encodeLeaves(decodeLeaves(bytes)), bytes)
        } catch (error) {
          if (!(error instanceof OperationError)) throw error
          assert.equal(error.code, 'receipt_invalid')
        }
      }),
      { numRuns: 500 },
    )
  })

  it('refuses counts that the bytes cannot hold, before it makes room for them', () => {
    for (const count of [[2], [0xff, 0xff, 0x0f], [0xff, 0xff, 0xff, 0xff, 0x0f]]) {
      const bytes = Uint8Array.from([1, ...count, 1, 1, 0])
      assert.throws(() => decodeLeaves(bytes), { code: 'receipt_invalid' })
    }
  })

  it('refuses long numbers, long sketches, unsorted and repeated entries', () => {
    const wrong: readonly (readonly number[])[] = [
      [0x80, 0x00, 1, 0],
      [0xff, 0xff, 0xff, 0xff, 0x1f, 1, 0],
      [1, 0xff, 0xff, 0xff, 0xff, 0x08, 0],
      [1, 1, 9, ...Array.from({ length: 9 }, (_, index) => [index, 1]).flat()],
      [1, 1, 2, 5, 9, 6, 3],
      [1, 1, 2, 5, 3, 5, 9],
      [1, 1, 0, 0],
    ]
    for (const leaf of wrong) {
      const bytes = Uint8Array.from([1, 1, ...leaf])
      assert.throws(() => decodeLeaves(bytes), { code: 'receipt_invalid' }, leaf.join(' '))
    }
    assert.equal(decodeLeaves(Uint8Array.from([1, 1, 1, 1, 2, 5, 3, 6, 9])).length, 1)
  })

  it('quantiseLogprob() rounds halves up and stays within its bounds', () => {
    const cases: readonly (readonly [number, number])[] = [
      [0, 0],
      [1e-9, 0],
      [-1, -1_024],
      [-1.5 / 1_024, -1],
      [-1.6 / 1_024, -2],
      [Number.NEGATIVE_INFINITY, -0x7fff_ffff],
    ]
    for (const [logprob, units] of cases)
      assert.ok(quantiseLogprob(logprob) === units, `${logprob}`)
    assert.throws(() => quantiseLogprob(Number.NaN), RangeError)
  })
})
