import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { encode } from 'cborg'
import fc from 'fast-check'
import { OperationError } from '../errors.ts'
import { modelIdFromName } from '../key/model-id.ts'
import { receiptBytesMax } from '../limits.ts'
import {
  decodeResponseRecord,
  encodeResponseRecord,
  type ResponseRecord,
} from './response-record.ts'

const logprob = fc.double({ max: -1e-9, min: -1e6, noNaN: true })
const text = fc.string({ unit: 'grapheme' })
const top = fc.tuple(text, fc.uint8Array(), logprob)
const choice = fc.record(
  {
    finish: fc.constantFrom('stop', 'length', 'tool_calls'),
    stopSequence: text,
    parts: fc.array(fc.tuple(fc.constant('text'), text)),
    logprobs: fc.array(fc.tuple(text, fc.uint8Array(), logprob, fc.array(top))),
    tokenIds: fc.array(fc.nat(0xffff_ffff)),
  },
  { requiredKeys: ['finish', 'parts'], noNullPrototype: true },
)
const record: fc.Arbitrary<ResponseRecord> = fc.record(
  {
    modelId: fc.constant(modelIdFromName('m')),
    created: fc.nat(),
    costMs: fc.nat(),
    maxTokens: fc.option(fc.nat()),
    usage: fc.tuple(fc.nat(), fc.nat(), fc.nat(), fc.nat()),
    choices: fc.array(choice, { minLength: 1, maxLength: 3 }),
    receipt: fc.uint8Array(),
  },
  {
    requiredKeys: ['modelId', 'created', 'costMs', 'maxTokens', 'usage', 'choices'],
    noNullPrototype: true,
  },
)

describe('response record', () => {
  it('decodes to what was encoded', () => {
    fc.assert(
      fc.property(record, original => {
        assert.deepEqual(decodeResponseRecord(encodeResponseRecord(original)), original)
      }),
    )
  })

  it('fuzz: random and mutated bytes throw record_invalid and nothing else', () => {
    fc.assert(
      fc.property(record, fc.nat(), fc.nat(255), fc.boolean(), (original, at, value, cut) => {
        const bytes = encodeResponseRecord(original)
        const position = at % bytes.length
        bytes[position] = value
        try {
          decodeResponseRecord(cut ? bytes.subarray(0, position) : bytes)
        } catch (error) {
          assert.ok(error instanceof OperationError && error.code === 'record_invalid')
        }
      }),
    )
    fc.assert(
      fc.property(fc.uint8Array(), bytes => {
        assert.throws(() => decodeResponseRecord(bytes), OperationError)
      }),
    )
  })

  it('refuses a bomb of empty maps before it decodes it', () => {
    const bomb = Buffer.concat([
      Buffer.from([0x9a, 0x00, 0x90, 0, 0]),
      Buffer.alloc(0x900000, 0xa0),
    ])
    const expected = { code: 'record_invalid', message: /too many items/ }
    assert.throws(() => decodeResponseRecord(bomb), expected)
  })

  it('refuses maps of another version or with wrong types', () => {
    const good = {
      v: 1,
      m: 'name:m',
      c: 1,
      t: 1,
      l: null,
      u: [1, 0, 1, 0],
      a: [{ f: 'stop', p: [] }],
    }
    assert.equal(decodeResponseRecord(encode(good)).modelId, 'name:m')
    const wrong: unknown[] = [
      { ...good, v: 2 },
      { ...good, c: -1 },
      { ...good, c: 1.5 },
      { ...good, u: [1, 2, 3] },
      { ...good, u: [1, 2, 3, 4, 5] },
      { ...good, a: [] },
      { ...good, a: [{ f: 1, p: [] }] },
      { ...good, a: [{ f: 'stop', p: [[1]] }] },
      { ...good, m: null },
      { ...good, r: 'text' },
      { ...good, r: new Uint8Array(receiptBytesMax + 1) },
      { ...good, a: [{ f: 'stop', p: [], k: new Uint8Array(5) }] },
      [],
      null,
    ]
    for (const value of wrong) {
      assert.throws(() => decodeResponseRecord(encode(value)), { code: 'record_invalid' })
    }
  })
})
