import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { JsonObject } from '../../../std/json.ts'
import { GrammarRules, literal } from './json-schema-grammar.ts'
import { SchemaUnsupportedError } from './schema-unsupported-error.ts'

// That the grammars really hold a model to the schema is tested with one: generate.test.ts.
function rulesOf(schema: JsonObject): ReadonlyMap<string, string> {
  const rules = new GrammarRules()
  const lines = rules.text(rules.json(schema)).trimEnd().split('\n')
  return new Map(
    lines.map(line => [line.slice(0, line.indexOf(' ')), line.slice(line.indexOf('=') + 2)]),
  )
}

describe('GrammarRules', () => {
  it('writes literals as GBNF does', () => {
    assert.equal(literal('a"b\\n\n'), '"a\\"b\\\\n\\n"')
  })

  it('lets optional properties be missing, in the order of the schema', () => {
    const rules = rulesOf({
      type: 'object',
      properties: { a: { type: 'null' }, b: { type: 'null' } },
      required: ['b'],
    })
    assert.equal(rules.get('root'), 'r6')
    assert.equal(rules.get('r6'), '"{" space r4 space "}"')
    assert.equal(rules.get('r4'), 'r3 r2 | r1', 'a and then b, or b alone')
  })

  it('defines every rule that is used', () => {
    const rules = rulesOf({
      type: 'object',
      properties: {
        list: { type: 'array', prefixItems: [{ type: ['string', 'null'] }, {}] },
        map: { type: 'object', additionalProperties: { const: { a: [1] } } },
        all: {
          allOf: [{ $ref: '#/definitions/base' }, { properties: { more: { type: 'number' } } }],
        },
        id: { type: 'string', format: 'uuid' },
      },
      definitions: {
        base: { type: 'object', properties: { base: { type: 'integer', minimum: 0 } } },
      },
    })
    for (const [name, body] of rules) {
      const used =
        body
          .replaceAll(/"(?:\\.|[^"\\])*"|\[(?:\\.|[^\]\\])*\]|\{[\d,]*\}/g, ' ')
          .match(/[a-z]\w*/g) ?? []
      for (const other of used) assert.ok(rules.has(other), `${name} uses ${other}`)
    }
  })

  const refused: readonly [string, JsonObject, RegExp][] = [
    ['a pattern', { properties: { a: { type: 'string', pattern: 'x' } } }, /\$\.a uses 'pattern'/],
    ['bounds that leave nothing', { type: 'number', minimum: 3, maximum: 2 }, /between its bounds/],
    ['a bound of anything', { properties: { a: { minimum: 3 } } }, /\$\.a uses 'minimum'/],
    ['a bound beside a reference', { $ref: '#/$defs/a', maximum: 3 }, /uses 'maximum'/],
    ['a missing reference', { $ref: '#/$defs/none' }, /not there/],
    ['an unknown type', { type: 'date' }, /unknown type/],
    ['too long a string', { type: 'string', maxLength: 100_000 }, /maxLength/],
    ['an empty choice', { enum: [] }, /empty/],
    ['allOf of others than objects', { allOf: [{ type: 'string' }, { type: 'number' }] }, /allOf/],
    ['something that is no schema', { properties: { a: 1 } }, /no schema/],
  ]
  for (const [name, schema, message] of refused) {
    it(`refuses ${name}`, () => {
      assert.throws(
        () => rulesOf(schema),
        error => error instanceof SchemaUnsupportedError && message.test(error.message),
      )
    })
  }
})
