import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { OutputParser, type OutputParserOptions, type OutputPart } from './output-parser.ts'

const toolNames = new Set(['f', 'g'])
const plain: OutputParserOptions = { reasoning: 'none', toolFormat: undefined, toolNames }
const hermes: OutputParserOptions = { ...plain, reasoning: 'possible', toolFormat: 'hermes' }
const llama3: OutputParserOptions = { ...plain, toolFormat: 'llama3' }
const open: OutputParserOptions = { ...hermes, reasoning: 'open' }

/** Parts with neighbours of one type joined: what a client sees in the end. */
function parse(options: OutputParserOptions, pieces: readonly string[]): OutputPart[] {
  const parser = new OutputParser(options)
  const joined: OutputPart[] = []
  for (const part of [...pieces.flatMap(piece => parser.push(piece)), ...parser.end()]) {
    const last = joined.at(-1)
    if (part.type !== 'tool-call' && last?.type === part.type) {
      joined[joined.length - 1] = { type: part.type, text: last.text + part.text }
    } else joined.push(part)
  }
  return joined
}
const text = (value: string): OutputPart => ({ type: 'text', text: value })
const reasoning = (value: string): OutputPart => ({ type: 'reasoning', text: value })
const call = (name: string, argumentsText = '{}'): OutputPart => ({
  type: 'tool-call',
  name,
  arguments: argumentsText,
})

describe('OutputParser', () => {
  const cases: readonly [string, OutputParserOptions, string, OutputPart[]][] = [
    ['text as it is', plain, '  <think> a <tool_call>\n', [text('  <think> a <tool_call>\n')]],
    ['reasoning', hermes, '\n<think>\n a \n b\n</think>\n\nHi', [reasoning('a \n b'), text('Hi')]],
    ['empty reasoning', hermes, '<think>\n\n</think>\n\nHi', [text('Hi')]],
    ['reasoning that the prompt opened', open, 'hm\n</think>\nHi', [reasoning('hm'), text('Hi')]],
    ['reasoning that was cut off', hermes, '<think>a b</thi', [reasoning('a b</thi')]],
    ['a think tag later on', hermes, 'Hi <think>no</think>', [text('Hi <think>no</think>')]],
    [
      'a call',
      hermes,
      '<tool_call>\n{"name": "f", "arguments": {"a": 1}}\n</tool_call>',
      [call('f', '{"a": 1}')],
    ],
    [
      'text, then calls',
      hermes,
      'Wait.\n<tool_call>{"name":"f"}</tool_call>\n<tool_call>{"name":"g"}</tool_call>',
      [text('Wait.'), call('f'), call('g')],
    ],
    [
      'reasoning, a call, text',
      hermes,
      '<think>x</think>\n<tool_call>{"name":"f"}</tool_call>\nDone',
      [reasoning('x'), call('f'), text('Done')],
    ],
    [
      'a call without its end tag',
      hermes,
      '<tool_call>\n{"name":"f","arguments":{}}\n</tool',
      [call('f')],
    ],
    [
      'a closing tag inside of arguments',
      hermes,
      '<tool_call>{"name":"f","arguments":{"a":"</tool_call>"}}</tool_call>',
      [call('f', '{"a":"</tool_call>"}')],
    ],
    [
      'a malformed call',
      hermes,
      'a \n<tool_call>no {json}</tool_call> b',
      [text('a \n<tool_call>no {json}</tool_call> b')],
    ],
    [
      'a call that was cut off',
      hermes,
      'a <tool_call>{"name":"f","argu',
      [text('a <tool_call>{"name":"f","argu')],
    ],
    ['a bare call', llama3, ' {"name": "f", "parameters": {"a": 1}}', [call('f', '{"a": 1}')]],
    [
      'bare calls after the tag',
      llama3,
      '<|python_tag|>{"name":"f"}; {"name":"g"}',
      [call('f'), call('g')],
    ],
    [
      'bare JSON of other meaning',
      llama3,
      '{"name": "Ada", "age": 36}',
      [text('{"name": "Ada", "age": 36}')],
    ],
    [
      'text of a bare-call model',
      llama3,
      '<b>Hi</b> {"name":"f"}',
      [text('<b>Hi</b> {"name":"f"}')],
    ],
  ]
  for (const [name, options, output, expected] of cases) {
    it(`reads ${name}`, () => assert.deepEqual(parse(options, [output]), expected))
    it(`reads ${name}, letter by letter`, () => {
      assert.deepEqual(parse(options, [...output]), expected)
    })
  }

  it('says whether the model is thinking', () => {
    const parser = new OutputParser(hermes)
    parser.push('<think>a')
    assert.equal(parser.isReasoning, true)
    parser.push('</think>b')
    assert.equal(parser.isReasoning, false)
  })

  it('shows text as soon as it is decided', () => {
    const parser = new OutputParser(hermes)
    assert.deepEqual(parser.push('Hello <to'), [text('Hello')])
    assert.deepEqual(parser.push('p>'), [text(' <top>')])
  })

  const marks = ['<think>', '</think>', '<tool_call>', '</tool_call>', '<|python_tag|>']
  const words = [
    ...marks,
    '{"name":"f"}',
    '{"name":"g","arguments":{"a":"<"}}',
    ' ',
    '\n',
    'a',
    '<',
    '{',
    '"',
  ]
  const output = fc.array(fc.constantFrom(...words), { maxLength: 12 }).map(list => list.join(''))
  const setup = fc.constantFrom(plain, hermes, llama3, open)

  it('gives the same parts for every cut of the output', () => {
    fc.assert(
      fc.property(setup, output, fc.array(fc.nat(80)), (options, whole, cuts) => {
        const bounds = [0, ...cuts.sort((a, b) => a - b), whole.length]
        const pieces = bounds.slice(1).map((end, index) => whole.slice(bounds[index], end))
        assert.deepEqual(parse(options, pieces), parse(options, [whole]))
      }),
      { numRuns: 2_000 },
    )
  })

  const argumentsOf = (value: string): string => (value === '{}' ? '' : `,"arguments":${value}`)
  it('loses no letter', () => {
    const letters = (value: string): string =>
      value.replaceAll(/<\/?(think|tool_call)>|<\|python_tag\|>|[\s;]/g, '')
    fc.assert(
      fc.property(output, whole => {
        const seen = parse(hermes, [whole]).map(part =>
          part.type === 'tool-call'
            ? `{"name":"${part.name}"${argumentsOf(part.arguments)}}`
            : part.text,
        )
        // A call that was cut off inside its closing tag is a call: that piece of a tag is no
        // letter either.
        const closing = [...'</tool_call>'].map((_, length) => '</tool_call>'.slice(0, length))
        const shown = letters(seen.join(''))
        assert.ok(closing.some(piece => shown + piece === letters(whole)))
      }),
      { numRuns: 2_000 },
    )
  })
})
