import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { OperationError } from '../errors.ts'
import { parseResponseKey, type ResponseKey } from '../key/response-key.ts'
import { openRecord, sealRecord } from './sealed-record.ts'

function keyOf(digit: string): ResponseKey {
  const key = parseResponseKey(digit.repeat(64))
  assert.ok(key !== undefined)
  return key
}

const key = keyOf('a')
const nonce = new Uint8Array(12).fill(3)
const plain = Buffer.from('an answer that nobody else may read, '.repeat(10))

describe('sealed records', () => {
  it('openRecord() returns what sealRecord() was given, and the seal hides it', () => {
    const sealed = sealRecord(key, plain, nonce)
    assert.deepEqual(Buffer.from(openRecord(key, sealed)), plain)
    assert.ok(!Buffer.from(sealed).includes('answer'))
  })

  it('a changed byte at any position, another key or a cut is refused', () => {
    const sealed = sealRecord(key, plain, nonce)
    for (let position = 0; position < sealed.length; position++) {
      const changed = Uint8Array.from(sealed)
      changed[position] = (changed[position] ?? 0) ^ 1
      assert.throws(() => openRecord(key, changed), { code: 'record_invalid' }, `byte ${position}`)
      assert.throws(() => openRecord(key, sealed.subarray(0, position)), { code: 'record_invalid' })
    }
    assert.throws(() => openRecord(keyOf('b'), sealed), { code: 'record_invalid' })
  })

  it('fuzz: random bytes are refused with record_invalid and nothing else', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), bytes => {
        assert.throws(() => openRecord(key, bytes), OperationError)
      }),
    )
  })
})
