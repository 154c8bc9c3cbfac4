import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import type { JsonObject } from '../../../std/json.ts'
import { boundedNumber } from './number-bounds.ts'
import { SchemaUnsupportedError } from './schema-unsupported-error.ts'

/** The expressions use only literals of one character or digits, classes, groups and counts. */
function regExpOf(expression: string): RegExp {
  const source = expression
    .replaceAll(/"([^"]*)"/g, (_, text: string) => `(?:${text.replaceAll('.', '\\.')})`)
    .replaceAll(' ', '')
  return new RegExp(`^(?:${source})$`)
}

function matcher(schema: JsonObject, type: 'integer' | 'number'): (text: string) => boolean {
  const expression = regExpOf(boundedNumber(schema, type, '$'))
  return text => expression.test(text)
}

/** The dumb twin: what a validator of JSON Schema says. */
function isWithin(schema: JsonObject, value: number): boolean {
  const { minimum, maximum, exclusiveMinimum, exclusiveMaximum } = schema
  return (
    !(typeof minimum === 'number' && value < minimum) &&
    !(typeof maximum === 'number' && value > maximum) &&
    !(typeof exclusiveMinimum === 'number' && value <= exclusiveMinimum) &&
    !(typeof exclusiveMaximum === 'number' && value >= exclusiveMaximum)
  )
}

/** A range with either kind of bound on either side, or none. */
function schemas(bound: fc.Arbitrary<number>): fc.Arbitrary<JsonObject> {
  const side = (inclusive: string, exclusive: string): fc.Arbitrary<JsonObject> =>
    fc
      .tuple(fc.constantFrom(inclusive, exclusive), fc.option(bound, { nil: undefined, freq: 8 }))
      .map(([keyword, value]) => (value === undefined ? {} : { [keyword]: value }))
  return fc
    .tuple(side('minimum', 'exclusiveMinimum'), side('maximum', 'exclusiveMaximum'))
    .map(([lower, upper]) => ({ ...lower, ...upper }))
    .filter(schema => Object.keys(schema).length > 0)
}

function isEmpty(error: unknown): boolean {
  return error instanceof SchemaUnsupportedError && /between its bounds/.test(error.message)
}

function assertTwins(
  schema: JsonObject,
  type: 'integer' | 'number',
  texts: readonly string[],
): void {
  const within = texts.filter(text => isWithin(schema, Number(text)))
  try {
    const accepts = matcher(schema, type)
    assert.deepEqual(texts.filter(accepts), within)
  } catch (error) {
    if (!isEmpty(error)) throw error
    assert.deepEqual(within, [])
  }
}

describe('boundedNumber()', () => {
  it('takes every integer of a small range and no other', () => {
    const texts = Array.from({ length: 2_601 }, (_, index) => String(index - 1_300))
    fc.assert(
      fc.property(schemas(fc.integer({ min: -1_200, max: 1_200 })), schema =>
        assertTwins(schema, 'integer', texts),
      ),
      { numRuns: 300 },
    )
  })

  it('is exact for integers beside the ends of a large range', () => {
    const widest = 10 ** 15 - 1
    const end = fc.oneof(
      fc.integer({ min: -widest, max: widest }),
      fc
        .tuple(fc.integer({ min: 0, max: 14 }), fc.integer({ min: -12, max: 12 }))
        .map(([power, more]) => 10 ** power + more),
    )
    fc.assert(
      fc.property(schemas(end), end, (schema, other) => {
        const ends = [other, ...Object.values(schema).filter(value => typeof value === 'number')]
        const near = ends.flatMap(value => [-11, -2, -1, 0, 1, 2, 11].map(more => value + more))
        const texts = near.filter(value => Math.abs(value) <= widest).map(String)
        assertTwins(schema, 'integer', texts)
      }),
    )
  })

  it('takes integers between bounds that are none', () => {
    const accepts = matcher({ minimum: -1.5, exclusiveMaximum: 2.5 }, 'integer')
    assert.deepEqual(['-2', '-1', '0', '1', '2', '3', '1.0'].filter(accepts), ['-1', '0', '1', '2'])
  })

  it('takes every short decimal of a range and no other', () => {
    const hundredths = fc.integer({ min: -2_000, max: 2_000 }).map(value => value / 100)
    const decimal = fc
      .tuple(fc.integer({ min: 0, max: 21 }), fc.integer({ min: 0, max: 3 }), fc.nat(999))
      .map(([whole, places, rest]) =>
        places === 0 ? `${whole}` : `${whole}.${String(rest).padStart(3, '0').slice(0, places)}`,
      )
    const text = fc.tuple(fc.constantFrom('', '-'), decimal).map(parts => parts.join(''))
    fc.assert(
      fc.property(schemas(hundredths), fc.array(text, { minLength: 40 }), (schema, texts) => {
        // Whether zero may have a sign is no matter of the bounds.
        const signed = texts.filter(each => !/^-[0.]*$/.test(each))
        const ends = Object.values(schema).map(String)
        assertTwins(schema, 'number', [...signed, ...ends])
      }),
      { numRuns: 500 },
    )
  })

  it('takes nothing that a reader rounds out of a bound', () => {
    const end = fc.oneof(
      fc.constantFrom(0, 0.1, 0.3, 1, 10, 100, 8_192, 1e-7, 999_999_999_999_999, 1e15),
      fc.double({ min: -1e16, max: 1e16, noNaN: true }),
    )
    // Texts around an end, cut at every length: 12.000…01, 11.999…9, and its digits with more.
    const around = (value: number): string[] => {
      const [digits = '', sign] = [Math.abs(value).toFixed(15), value < 0 ? '-' : '']
      const below = BigInt(Math.trunc(Math.abs(value))) - 1n
      const more = (BigInt(digits.replace('.', '')) + 1n).toString().padStart(16, '0')
      const above = `${more.slice(0, -15)}.${more.slice(-15)}`
      return [digits, above, `${below}.${'9'.repeat(20)}`, `${digits}9`].flatMap(text =>
        Array.from(text, (_, index) => `${sign}${text.slice(0, index + 1)}`),
      )
    }
    fc.assert(
      fc.property(schemas(end), schema => {
        const texts = Object.values(schema).map(Number).flatMap(around)
        try {
          const taken = texts.filter(matcher(schema, 'number'))
          assert.deepEqual(
            taken.filter(text => !isWithin(schema, Number(text))),
            [],
          )
        } catch (error) {
          if (!isEmpty(error)) throw error
        }
      }),
      { numRuns: 1_000 },
    )
  })

  it('reads well for what schemas ask most', () => {
    assert.equal(boundedNumber({ minimum: 1 }, 'integer', '$'), '[1-9] [0-9]{0,14}')
    assert.equal(boundedNumber({ minimum: 1, maximum: 99 }, 'integer', '$'), '[1-9] [0-9]{0,1}')
    assert.equal(
      boundedNumber({ minimum: 18, maximum: 120 }, 'integer', '$'),
      '(("1" [8-9] | [2-9] [0-9]{1}) | "1" ([0-1] [0-9]{1} | "2" "0"))',
    )
    assert.equal(
      boundedNumber({ minimum: 0, maximum: 1 }, 'number', '$'),
      '("0" ("." [0-9]{1,15})? | "1" ("." "0"{1,15})?)',
    )
  })

  it('is unbounded where the bounds say nothing', () => {
    const safe = { minimum: Number.MIN_SAFE_INTEGER, maximum: Number.MAX_SAFE_INTEGER }
    assert.equal(boundedNumber(safe, 'integer', '$'), 'integer')
    assert.equal(boundedNumber({}, 'number', '$'), 'number')
  })

  it('refuses bounds that leave nothing or are no numbers', () => {
    const refused: readonly [JsonObject, RegExp][] = [
      [{ minimum: 3, maximum: 2 }, /\$\.a has no integer of up to 15 digits between its bounds/],
      [{ exclusiveMinimum: 3, exclusiveMaximum: 4 }, /between its bounds/],
      [{ minimum: 1e15 }, /between its bounds/],
      // Draft 4 of JSON Schema.
      [{ minimum: 3, exclusiveMinimum: true }, /\$\.a\.exclusiveMinimum is no number/],
      [{ maximum: JSON.parse('1e400') }, /\$\.a\.maximum is no number/],
    ]
    for (const [schema, message] of refused) {
      assert.throws(() => boundedNumber(schema, 'integer', '$.a'), {
        name: 'SchemaUnsupportedError',
        message,
      })
    }
  })
})
