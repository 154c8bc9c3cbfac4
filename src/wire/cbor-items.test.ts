import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { encode } from 'cborg'
import fc from 'fast-check'
import { OperationError } from '../errors.ts'
import { assertItemsWithin } from './cbor-items.ts'

/** Heads in the encoding of a value, counted the slow way. */
function itemsOf(value: unknown): number {
  if (Array.isArray(value)) return value.reduce((sum: number, item) => sum + itemsOf(item), 1)
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return 1
  return Object.values(value).reduce((sum: number, item) => sum + 1 + itemsOf(item), 1)
}

const value = fc.letrec(tie => ({
  any: fc.oneof(
    { depthSize: 'small' },
    fc.integer(),
    fc.string(),
    fc.uint8Array({ maxLength: 300 }),
    fc.double({ noNaN: true, noDefaultInfinity: true }),
    fc.boolean(),
    fc.constant(null),
    fc.array(tie('any'), { maxLength: 30 }),
    fc.dictionary(fc.string(), tie('any'), { maxKeys: 30, noNullPrototype: true }),
  ),
})).any

describe('assertItemsWithin()', () => {
  it('takes exactly as many items as there are', () => {
    fc.assert(
      fc.property(value, original => {
        const bytes = encode(original)
        const items = itemsOf(original)
        assertItemsWithin(bytes, items)
        assert.throws(() => assertItemsWithin(bytes, items - 1), { code: 'record_invalid' })
      }),
    )
  })

  it('fuzz: throws record_invalid and nothing else', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), bytes => {
        try {
          assertItemsWithin(bytes, 50)
        } catch (error) {
          assert.ok(error instanceof OperationError && error.code === 'record_invalid')
        }
      }),
    )
  })
})
