import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { parseToolCall, parseToolCalls } from './tool-call-parser.ts'

describe('parseToolCall()', () => {
  const cases: readonly [string, string, { name: string; arguments: string } | undefined][] = [
    ['Hermes', '{"name": "f", "arguments": {"a":  1}}', { name: 'f', arguments: '{"a":  1}' }],
    [
      'Llama 3',
      '{"name": "f", "parameters": {"a": [1, {}]}}',
      { name: 'f', arguments: '{"a": [1, {}]}' },
    ],
    [
      'arguments first',
      '{"arguments": {"x": "}"}, "name": "f"}',
      { name: 'f', arguments: '{"x": "}"}' },
    ],
    [
      'a nested key of the same name',
      '{"name":"f","arguments":{"arguments":{}}}',
      { name: 'f', arguments: '{"arguments":{}}' },
    ],
    [
      'numbers JSON.parse would round',
      '{"name":"f","arguments":{"a":12345678901234567890}}',
      { name: 'f', arguments: '{"a":12345678901234567890}' },
    ],
    [
      'arguments in a string',
      '{"name":"f","arguments":"{\\"a\\":1}"}',
      { name: 'f', arguments: '{"a":1}' },
    ],
    ['no arguments', '{"name":"f"}', { name: 'f', arguments: '{}' }],
    [
      'a key with an escape',
      '{"name":"f","\\u0061rguments":{"b":2}}',
      { name: 'f', arguments: '{"b":2}' },
    ],
    ['broken JSON', '{"name": "f", "arguments": {', undefined],
    ['no name', '{"arguments": {}}', undefined],
    ['a list', '[]', undefined],
    ['arguments that are no object', '{"name":"f","arguments":[1]}', undefined],
  ]
  for (const [name, text, expected] of cases) {
    it(`reads ${name}`, () => assert.deepEqual(parseToolCall(text), expected))
  }

  it('keeps the arguments of every JSON object to the byte', () => {
    const value = fc.dictionary(fc.string(), fc.jsonValue())
    fc.assert(
      fc.property(value, fc.nat(3), (input, indent) => {
        const text = JSON.stringify(input, null, indent)
        const call = parseToolCall(`{"name":"f","arguments":${text},"z":{"arguments":1}}`)
        assert.deepEqual(call, { name: 'f', arguments: text })
      }),
    )
  })
})

describe('parseToolCalls()', () => {
  it('reads calls parted by semicolons and line breaks', () => {
    const calls = parseToolCalls('{"name":"a","parameters":{}}; {"name":"b","parameters":{}}\n')
    assert.deepEqual(
      calls?.map(call => call.name),
      ['a', 'b'],
    )
  })
  it('refuses text that is not only calls', () => {
    assert.equal(parseToolCalls('{"name":"a"} and more'), undefined)
    assert.equal(parseToolCalls('{"a":1}'), undefined)
    assert.equal(parseToolCalls(' '), undefined)
  })
})
