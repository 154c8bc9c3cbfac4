import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { z } from 'zod'
import { OperationError } from '../errors.ts'
import {
  anyJson,
  defined,
  fieldNames,
  integerIn,
  jsonObject,
  maybe,
  numberIn,
  oneOf,
  parseAt,
  parseBody,
  splitUnknown,
} from './validate.ts'

const schema = z.looseObject({
  model: z.string(),
  temperature: maybe(numberIn(0, 2)),
  n: maybe(integerIn(1, 16)),
  seed: maybe(integerIn(0, Number.MAX_SAFE_INTEGER)),
  stop: maybe(z.union([z.string(), z.array(z.string()).max(4)])),
  effort: maybe(oneOf(['low', 'high'])),
  choice: maybe(z.union([oneOf(['auto', 'none']), z.looseObject({ name: z.string() })])),
  bias: maybe(z.record(z.string(), numberIn(-100, 100))),
  schema: maybe(jsonObject),
  messages: maybe(z.array(z.looseObject({ role: z.string(), content: z.string() }))),
  kind: maybe(z.discriminatedUnion('type', [z.object({ type: z.literal('a') })])),
  user: anyJson,
})

const cases: readonly [body: unknown, field: string, message: string][] = [
  [[], '', 'The request body must be an object, but an array was sent'],
  [{}, 'model', "'model' is missing: it must be a string"],
  [{ model: null }, 'model', "'model' must be a string, but null was sent"],
  [
    { model: 'm', temperature: 'hot' },
    'temperature',
    "'temperature' must be a number from 0 to 2, but a string was sent",
  ],
  [
    { model: 'm', temperature: 3 },
    'temperature',
    "'temperature' must be a number from 0 to 2, but another number was sent",
  ],
  [{ model: 'm', n: 1.5 }, 'n', "'n' must be an integer from 1 to 16, but a number was sent"],
  [{ model: 'm', n: 17 }, 'n', "'n' must be an integer from 1 to 16, but another number was sent"],
  [
    { model: 'm', seed: -1 },
    'seed',
    "'seed' must be an integer that is not negative, but another number was sent",
  ],
  [{ model: 'm', stop: 7 }, 'stop', "'stop' must be a string or an array, but a number was sent"],
  [{ model: 'm', stop: ['a', 7] }, 'stop[1]', "'stop[1]' must be a string, but a number was sent"],
  [
    { model: 'm', stop: ['a', 'b', 'c', 'd', 'e'] },
    'stop',
    "'stop' must be a string or an array of at most 4 items, but another array was sent",
  ],
  [
    { model: 'm', effort: 'extreme' },
    'effort',
    "'effort' must be one of 'low', 'high', but another string was sent",
  ],
  [
    { model: 'm', choice: 'any' },
    'choice',
    "'choice' must be one of 'auto', 'none' or an object, but another string was sent",
  ],
  [{ model: 'm', choice: {} }, 'choice.name', "'choice.name' is missing: it must be a string"],
  [
    { model: 'm', bias: { 'my secret': 'x' } },
    'bias[…]',
    "'bias[…]' must be a number from -100 to 100, but a string was sent",
  ],
  [{ model: 'm', schema: [] }, 'schema', "'schema' must be an object, but an array was sent"],
  [
    {
      model: 'm',
      messages: [
        { role: 'user', content: 'a' },
        { role: 'user', content: true },
      ],
    },
    'messages[1].content',
    "'messages[1].content' must be a string, but a boolean was sent",
  ],
  [
    { model: 'm', kind: { type: 'secret' } },
    'kind.type',
    "'kind.type' must be 'a', but another string was sent",
  ],
]

describe('parseBody()', () => {
  for (const [body, field, message] of cases) {
    it(`says: ${message}`, () => {
      assert.throws(
        () => parseBody(schema, body),
        error => {
          assert.ok(error instanceof OperationError)
          assert.equal(error.code, 'request_invalid')
          assert.equal(error.origin, 'client')
          assert.equal(error.message, message)
          assert.equal(error.field, field)
          return true
        },
      )
    })
  }

  it('takes null as absent and keeps unknown fields', () => {
    const body = { model: 'm', temperature: null, stop: null, extra: 1 }
    assert.deepEqual(parseBody(schema, body), body)
  })

  it('refuses numbers that overflowed to infinity', () => {
    const body: unknown = JSON.parse('{"model":"m","temperature":1e999}')
    assert.throws(() => parseBody(schema, body), /'temperature' must be a number from 0 to 2/)
  })
})

describe('parseAt()', () => {
  it('puts the path of the value before that of the wrong field', () => {
    const part = z.looseObject({ text: z.string() })
    assert.throws(
      () => parseAt(part, { text: 1 }, 'messages[2].content[0]'),
      /^OperationError: 'messages\[2\]\.content\[0\]\.text' must be a string, but a number was sent$/,
    )
  })
})

describe('splitUnknown()', () => {
  it('returns what the schema does not name, without nulls', () => {
    const body = { model: 'm', user: 'u', guided_regex: 'a+', other: null }
    assert.deepEqual(splitUnknown(body, fieldNames(schema)), { guided_regex: 'a+' })
  })

  it('keeps a field called __proto__ as data', () => {
    const unknown = splitUnknown(JSON.parse('{"__proto__":{"a":1}}'), fieldNames(schema))
    assert.deepEqual(Object.keys(unknown), ['__proto__'])
  })
})

describe('defined()', () => {
  it('drops null and undefined only', () => {
    assert.deepEqual(defined({ a: undefined, b: null, c: 0, d: '', e: false }), {
      c: 0,
      d: '',
      e: false,
    })
  })
})
