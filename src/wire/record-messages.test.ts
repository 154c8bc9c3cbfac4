import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { OperationError } from '../errors.ts'
import { type LookupKey, parseLookupKey } from '../key/response-key.ts'
import { recordKeysMax } from '../limits.ts'
import {
  decodeAnswers,
  decodeKey,
  decodeKeys,
  encodeAnswers,
  encodeKeys,
  type RecordAnswer,
} from './record-messages.ts'

const key = fc.uint8Array({ minLength: 32, maxLength: 32 }).map((bytes): LookupKey => {
  const parsed = parseLookupKey(Buffer.from(bytes).toString('hex'))
  assert.ok(parsed)
  return parsed
})
const answer: fc.Arbitrary<RecordAnswer> = fc.oneof(
  fc.constantFrom<RecordAnswer>({ type: 'none' }, { type: 'large' }),
  fc
    .uint8Array({ maxLength: 300 })
    .map((bytes): RecordAnswer => ({ type: 'record', bytes: Buffer.from(bytes) })),
  fc.nat(0xffff_ffff).map((leftMs): RecordAnswer => ({ type: 'in-flight', leftMs })),
)
const invalid = { code: 'peer_message_invalid' }

/** Whatever bytes a peer sends are read or refused. */
function isReadOrRefused(read: () => unknown): void {
  try {
    read()
  } catch (error) {
    assert.ok(error instanceof OperationError && error.code === 'peer_message_invalid', `${error}`)
  }
}

describe('record messages', () => {
  it('read what they write', () => {
    const keys = fc.array(key, { minLength: 1, maxLength: recordKeysMax })
    fc.assert(fc.property(keys, given => assert.deepEqual(decodeKeys(encodeKeys(given)), given)))
    fc.assert(
      fc.property(fc.array(answer, { maxLength: 70 }), answers => {
        assert.deepEqual(decodeAnswers(encodeAnswers(answers), answers.length), answers)
      }),
    )
    fc.assert(fc.property(key, given => assert.equal(decodeKey(encodeKeys([given])), given)))
  })

  it('refuse keys that are cut, none, too many, or several where one is wanted', () => {
    for (const bytes of [0, 1, 31, 33, 32 * recordKeysMax + 32]) {
      assert.throws(() => decodeKeys(new Uint8Array(bytes)), invalid, `${bytes} bytes`)
    }
    for (const bytes of [0, 31, 64]) {
      assert.throws(() => decodeKey(new Uint8Array(bytes)), invalid, `${bytes} bytes`)
    }
  })

  it('refuse answers that are cut anywhere, more, or fewer than asked for', () => {
    fc.assert(
      fc.property(fc.array(answer, { minLength: 1, maxLength: 5 }), answers => {
        const bytes = encodeAnswers(answers)
        for (let length = 0; length < bytes.length; length++) {
          assert.throws(() => decodeAnswers(bytes.subarray(0, length), answers.length), invalid)
        }
        assert.throws(() => decodeAnswers(bytes, answers.length + 1), invalid)
        assert.throws(() => decodeAnswers(bytes, answers.length - 1), invalid)
      }),
      { numRuns: 30 },
    )
  })

  it('say no time that does not fit', () => {
    const times = [-5, 0.4, 1e12, Number.NaN, Number.POSITIVE_INFINITY]
    const answers = times.map(leftMs => ({ type: 'in-flight' as const, leftMs }))
    const read = decodeAnswers(encodeAnswers(answers), times.length)
    assert.deepEqual(
      read.map(each => (each.type === 'in-flight' ? each.leftMs : undefined)),
      [0, 0, 0xffff_ffff, 0, 0xffff_ffff],
    )
  })

  it('never throw anything else, whatever the bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), fc.nat(70), (bytes, count) => {
        isReadOrRefused(() => decodeKeys(bytes))
        isReadOrRefused(() => decodeKey(bytes))
        isReadOrRefused(() => decodeAnswers(bytes, count))
      }),
    )
    const lie = Uint8Array.of(1, 255, 255, 255, 255)
    assert.throws(() => decodeAnswers(lie, 1), invalid, 'says 4 GiB')
  })
})
