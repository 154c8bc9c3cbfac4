import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { OperationError } from '../../errors.ts'
import type { JsonObject } from '../../std/json.ts'
import { thinkingOmitted } from './encode-reply.ts'
import { parseCountTokens, parseMessages } from './parse-messages.ts'

const question: JsonObject = {
  model: 'm',
  max_tokens: 100,
  messages: [{ role: 'user', content: 'Hi' }],
}
const parse = (fields: JsonObject) => parseMessages({ ...question, ...fields })
const requestOf = (fields: JsonObject) => parse(fields).request
const messagesOf = (...messages: readonly JsonObject[]) => requestOf({ messages }).messages
const text = (value: string) => ({ type: 'text', text: value })

describe('parseMessages()', () => {
  it('reads the smallest request', () => {
    const { request, stream, variant, warnings } = parseMessages(question)
    assert.deepEqual(request.messages, [{ role: 'user', content: [text('Hi')] }])
    assert.equal(request.maxTokens, 100)
    assert.deepEqual(request.sampling, {})
    assert.deepEqual(request.unknown, { api: 'openai', fields: {} })
    assert.deepEqual({ stream, variant, warnings }, { stream: false, variant: '', warnings: [] })
  })

  it('makes one system message of a string and of a block, and none of an empty prompt', () => {
    const expected = { role: 'system', content: [text('Be brief')] }
    assert.deepEqual(requestOf({ system: 'Be brief' }).messages[0], expected)
    assert.deepEqual(requestOf({ system: [text('Be brief')] }).messages[0], expected)
    for (const system of ['', [], [text('')]]) {
      assert.equal(requestOf({ system }).messages[0]?.role, 'user')
    }
  })

  it('drops billing blocks wherever a system prompt stands', () => {
    const billing = text('x-anthropic-billing-header: cc_version=2.1.36.abc; cch=12345;')
    const { messages } = requestOf({
      system: [billing, text('Be brief')],
      messages: [
        { role: 'user', content: 'Hi' },
        { role: 'system', content: [billing] },
        { role: 'system', content: 'Linux' },
      ],
    })
    assert.deepEqual(messages, [
      { role: 'system', content: [text('Be brief')] },
      { role: 'user', content: [text('Hi')] },
      { role: 'system', content: [text('Linux')] },
    ])
  })

  it('turns tool calls and results into neutral messages, in their order', () => {
    const messages = messagesOf(
      { role: 'user', content: 'Weather?' },
      {
        role: 'assistant',
        content: [
          { type: 'thinking', thinking: 'Look it up', signature: '' },
          { type: 'redacted_thinking', data: 'AAAA' },
          text('One moment'),
          { type: 'tool_use', id: 't1', name: 'weather', input: { city: 'Oslo' } },
        ],
      },
      {
        role: 'user',
        content: [
          { type: 'tool_result', tool_use_id: 't1', content: [text('Rain')] },
          text('And now?'),
        ],
      },
    )
    assert.deepEqual(messages.slice(1), [
      {
        role: 'assistant',
        content: [text('One moment')],
        toolCalls: [{ id: 't1', name: 'weather', arguments: '{"city":"Oslo"}' }],
        reasoning: 'Look it up',
      },
      { role: 'tool', content: [text('Rain')], toolCallId: 't1' },
      { role: 'user', content: [text('And now?')] },
    ])
  })

  it('says that a tool failed, unless its result says so', () => {
    const resultOf = (content: string) =>
      messagesOf({
        role: 'user',
        content: [{ type: 'tool_result', tool_use_id: 't', is_error: true, content }],
      })[0]?.content
    assert.deepEqual(resultOf('no such file'), [text('Error:'), text('no such file')])
    assert.deepEqual(resultOf('Error: no such file'), [text('Error: no such file')])
  })

  it('reads images, and keeps what it does not know without its cache breakpoint', () => {
    const cache_control = { type: 'ephemeral' }
    const [message] = messagesOf({
      role: 'user',
      content: [
        { ...text('Look'), cache_control },
        {
          type: 'image',
          source: { type: 'base64', media_type: 'image/png', data: 'iVBOR' },
          cache_control,
        },
        { type: 'image', source: { type: 'url', url: 'https://example.org/a.png' } },
        { type: 'document', source: { type: 'file', file_id: 'f' }, cache_control },
      ],
    })
    assert.deepEqual(message?.content, [
      text('Look'),
      { type: 'image', url: 'data:image/png;base64,iVBOR' },
      { type: 'image', url: 'https://example.org/a.png' },
      { type: 'other', value: { type: 'document', source: { type: 'file', file_id: 'f' } } },
    ])
  })

  it('reads tools, and warns of those that Anthropic runs', () => {
    const input_schema = { type: 'object', properties: {} }
    const { request, warnings } = parse({
      tools: [
        { name: 'a', description: 'A', input_schema, cache_control: { type: 'ephemeral' } },
        { type: 'custom', name: 'b', input_schema, strict: true, defer_loading: true },
        { type: 'web_search_20250305', name: 'web_search', max_uses: 3 },
      ],
    })
    assert.deepEqual(request.tools, [
      { type: 'function', name: 'a', description: 'A', parameters: input_schema },
      { type: 'function', name: 'b', parameters: input_schema, strict: true },
      {
        type: 'other',
        value: { type: 'web_search_20250305', name: 'web_search', max_uses: 3 },
      },
    ])
    assert.deepEqual(request.unknown.fields, {})
    assert.match(warnings.join(), /cannot run here.*: web_search_20250305/)
    assert.match(warnings.join(), /Ignored fields: tools\[\]\.defer_loading/)
  })

  it('never repeats a hostile tool type in a warning, which becomes a header', () => {
    const { warnings } = parse({ tools: [{ type: 'x\r\nset-cookie: a=b', name: 'x' }] })
    assert.doesNotMatch(warnings.join(), /[\r\n]|cookie/)
  })

  it('reads every tool choice', () => {
    const tools = [{ name: 'a', input_schema: {} }]
    const choose = (tool_choice: JsonObject) => requestOf({ tools, tool_choice })
    assert.deepEqual(choose({ type: 'auto' }).toolChoice, { type: 'auto' })
    assert.deepEqual(choose({ type: 'none' }).toolChoice, { type: 'none' })
    assert.deepEqual(choose({ type: 'any' }).toolChoice, { type: 'required' })
    const one = choose({ type: 'tool', name: 'a', disable_parallel_tool_use: true })
    assert.deepEqual(one.toolChoice, { type: 'function', name: 'a' })
    assert.equal(one.parallelToolCalls, false)
  })

  it('reads sampling, stop, thinking and output settings', () => {
    const { request, variant } = parse({
      temperature: 0.5,
      top_p: 0.9,
      top_k: 40,
      stop_sequences: ['END'],
      thinking: { type: 'enabled', budget_tokens: 2048, display: 'omitted' },
      output_config: {
        effort: 'high',
        format: { type: 'json_schema', schema: { type: 'object' } },
        task_budget: 7,
      },
    })
    assert.deepEqual(request.sampling, { temperature: 0.5, topP: 0.9, topK: 40 })
    assert.deepEqual(request.stop, ['END'])
    assert.deepEqual(request.reasoning, { enabled: true, budgetTokens: 2048, effort: 'high' })
    assert.deepEqual(request.responseFormat, { type: 'json_schema', schema: { type: 'object' } })
    assert.deepEqual(request.unknown.fields, { output_config: { task_budget: 7 } })
    assert.equal(variant, thinkingOmitted)
    assert.deepEqual(requestOf({ thinking: { type: 'disabled' } }).reasoning, { enabled: false })
    assert.deepEqual(requestOf({ thinking: { type: 'adaptive' } }).reasoning, {})
  })

  it('leaves out what has no effect on the answer, and keeps what it does not know', () => {
    const { request, stream } = parse({
      stream: true,
      metadata: { user_id: 'u' },
      service_tier: 'auto',
      speed: 'fast',
      diagnostics: { previous_message_id: 'x' },
      cache_control: { type: 'ephemeral' },
      container: null,
      context_management: { edits: [] },
    })
    assert.equal(stream, true)
    assert.deepEqual(request.unknown.fields, { context_management: { edits: [] } })
  })

  const wrong: readonly [field: string, body: JsonObject, allowed: RegExp][] = [
    ['max_tokens', { max_tokens: null }, /is missing: it must be an integer/],
    ['max_tokens', { max_tokens: 0 }, /of 1 or more/],
    ['model', { model: 7 }, /a string, but a number/],
    ['messages', { messages: [] }, /at least 1/],
    ['messages[0].role', { messages: [{ role: 'x', content: '' }] }, /'user', 'assistant'/],
    ['messages[0].content', { messages: [{ role: 'user' }] }, /a string or an array/],
    [
      'messages[0].content[0].text',
      { messages: [{ role: 'user', content: [{ type: 'text' }] }] },
      /a string/,
    ],
    [
      'messages[0].content[0].type',
      { messages: [{ role: 'assistant', content: [{ type: 'tool_result', tool_use_id: 'a' }] }] },
      /a user message/,
    ],
    ['system[0].type', { system: [{ type: 'image' }] }, /'text'/],
    ['tools[0].input_schema', { tools: [{ name: 'a' }] }, /an object/],
    ['tool_choice.type', { tool_choice: { type: 'some' } }, /one of 'auto'/],
    ['tool_choice.name', { tool_choice: { type: 'tool', name: 'a' } }, /one of the tools/],
    ['thinking.type', { thinking: { type: 'maybe' } }, /'enabled'/],
    [
      'output_config.format.type',
      { output_config: { format: { type: 'x', schema: {} } } },
      /json_schema/,
    ],
  ]
  for (const [field, fields, allowed] of wrong) {
    it(`names ${field} when it is wrong`, () => {
      assert.throws(
        () => parse(fields),
        error =>
          error instanceof OperationError &&
          error.code === 'request_invalid' &&
          error.field === field &&
          error.message.includes(`'${field}'`) &&
          allowed.test(error.message),
      )
    })
  }
})

describe('parseCountTokens()', () => {
  it('needs no max_tokens and reads the same request', () => {
    const { max_tokens, ...rest } = question
    assert.equal(max_tokens, 100)
    const { maxTokens, ...expected } = parseMessages(question).request
    assert.equal(maxTokens, 100)
    assert.deepEqual(parseCountTokens(rest), expected)
  })
})
