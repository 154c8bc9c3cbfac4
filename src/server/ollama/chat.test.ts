import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { OperationError } from '../../errors.ts'
import type { GenerationEvent } from '../../interface/generation.ts'
import type { JsonObject } from '../../std/json.ts'
import { ollamaChat } from './chat.ts'
import { ollamaGenerate } from './generate.ts'

const hi = { role: 'user', content: 'Hi' }
const parse = (fields: JsonObject) => ollamaChat.parse({ model: 'm', messages: [hi], ...fields })
const requestOf = (fields: JsonObject) => parse(fields).request
const generate = (fields: JsonObject) =>
  ollamaGenerate.parse({ model: 'm', prompt: 'Hi', ...fields })
const text = (value: string) => ({ type: 'text', text: value })
const png = 'iVBORw0KGgoAAAANSUhEUg=='

function throwsAt(field: string, code: string, act: () => unknown): void {
  assert.throws(
    act,
    error => error instanceof OperationError && error.code === code && error.field === field,
  )
}

describe('ollamaChat.parse()', () => {
  it('reads the smallest request, which streams', () => {
    const { request, stream } = parse({})
    assert.equal(stream, true)
    assert.equal(parse({ stream: false }).stream, false)
    assert.deepEqual(request.messages, [{ role: 'user', content: [text('Hi')] }])
    assert.deepEqual(request.sampling, {})
    assert.equal(request.maxTokens, undefined)
  })

  it('links results to calls by id, by name and by order', () => {
    const call = (name: string, id?: string) => ({
      ...(id === undefined ? {} : { id }),
      function: { name, arguments: { of: name } },
    })
    const { messages } = requestOf({
      messages: [
        hi,
        { role: 'assistant', content: '', tool_calls: [call('a'), call('b'), call('c', 'x')] },
        { role: 'tool', content: 'B', tool_name: 'b' },
        { role: 'tool', content: 'C', tool_call_id: 'x' },
        { role: 'tool', content: 'A' },
        { role: 'tool', content: 'D', tool_name: 'd' },
      ],
    })
    assert.deepEqual(messages.slice(1), [
      {
        role: 'assistant',
        content: [],
        toolCalls: [
          { id: 'call_0', name: 'a', arguments: '{"of":"a"}' },
          { id: 'call_1', name: 'b', arguments: '{"of":"b"}' },
          { id: 'x', name: 'c', arguments: '{"of":"c"}' },
        ],
      },
      { role: 'tool', content: [text('B')], toolCallId: 'call_1' },
      { role: 'tool', content: [text('C')], toolCallId: 'x' },
      { role: 'tool', content: [text('A')], toolCallId: 'call_0' },
      { role: 'tool', content: [text('D')], name: 'd' },
    ])
  })

  it('reads thoughts, and images with the type that their first bytes tell', () => {
    const { messages } = requestOf({
      messages: [
        {
          role: 'user',
          content: 'Look',
          images: [png, '/9j/4AAQ', 'data:image/gif;base64,R0lGOD'],
        },
        { role: 'assistant', content: 'A cat', thinking: 'Whiskers' },
      ],
    })
    assert.deepEqual(messages, [
      {
        role: 'user',
        content: [
          text('Look'),
          { type: 'image', url: `data:image/png;base64,${png}` },
          { type: 'image', url: 'data:image/jpeg;base64,/9j/4AAQ' },
          { type: 'image', url: 'data:image/gif;base64,R0lGOD' },
        ],
      },
      { role: 'assistant', content: [text('A cat')], reasoning: 'Whiskers' },
    ])
  })

  it('reads options, drops those without effect on the text and keeps unknown ones', () => {
    const request = requestOf({
      keep_alive: '5m',
      options: {
        temperature: 0,
        top_k: 40,
        top_p: 0.9,
        min_p: 0.05,
        repeat_penalty: 1.1,
        presence_penalty: 0.5,
        frequency_penalty: 0.25,
        seed: 7,
        num_predict: 64,
        stop: ['END'],
        num_ctx: 8192,
        num_gpu: 99,
        use_mmap: true,
        mirostat: 2,
      },
      shift: false,
    })
    assert.deepEqual(request.sampling, {
      temperature: 0,
      topK: 40,
      topP: 0.9,
      minP: 0.05,
      repetitionPenalty: 1.1,
      presencePenalty: 0.5,
      frequencyPenalty: 0.25,
    })
    const { seed, maxTokens, stop } = request
    assert.deepEqual({ seed, maxTokens, stop }, { seed: 7, maxTokens: 64, stop: ['END'] })
    assert.deepEqual(request.unknown, {
      api: 'ollama',
      fields: { shift: false, options: { mirostat: 2 } },
    })
  })

  it('takes negative limits and seeds as none', () => {
    for (const num_predict of [-1, -2, 0]) {
      assert.equal(requestOf({ options: { num_predict } }).maxTokens, undefined)
    }
    assert.equal(requestOf({ options: { seed: -1 } }).seed, undefined)
  })

  it('reads format, think and logprobs', () => {
    assert.deepEqual(requestOf({ format: 'json' }).responseFormat, { type: 'json_object' })
    assert.deepEqual(requestOf({ format: '' }).responseFormat, { type: 'text' })
    const schema = { type: 'object' }
    assert.deepEqual(requestOf({ format: schema }).responseFormat, { type: 'json_schema', schema })
    assert.deepEqual(requestOf({ think: false }).reasoning, { enabled: false })
    assert.deepEqual(requestOf({ think: 'high' }).reasoning, { effort: 'high' })
    assert.equal(requestOf({ logprobs: true, top_logprobs: 3 }).topLogprobs, 3)
    assert.equal(requestOf({ logprobs: true }).topLogprobs, 0)
    assert.equal(requestOf({ logprobs: false, top_logprobs: 3 }).topLogprobs, undefined)
  })

  it('names what is wrong', () => {
    const wrong: readonly [string, JsonObject][] = [
      ['model', { model: '' }],
      ['messages', { messages: [] }],
      ['messages[0].role', { messages: [{ role: 'x' }] }],
      ['messages[0].content', { messages: [{ role: 'user', content: [text('Hi')] }] }],
      ['messages[0].images[0]', { messages: [{ ...hi, images: ['http://example.org'] }] }],
      ['options.temperature', { options: { temperature: 'hot' } }],
      ['options.num_predict', { options: { num_predict: 1.5 } }],
      ['format', { format: 'xml' }],
      ['tools[0].function.name', { tools: [{ type: 'function', function: {} }] }],
      ['stream', { stream: 'yes' }],
    ]
    for (const [field, fields] of wrong) throwsAt(field, 'request_invalid', () => parse(fields))
  })
})

describe('ollamaGenerate.parse()', () => {
  it('asks a chat with system prompt and images', () => {
    const { request, stream } = generate({ system: 'Be brief', images: [png] })
    assert.equal(stream, true)
    assert.equal(request.kind, 'chat')
    assert.deepEqual(request.messages, [
      { role: 'system', content: [text('Be brief')] },
      {
        role: 'user',
        content: [text('Hi'), { type: 'image', url: `data:image/png;base64,${png}` }],
      },
    ])
  })

  it('continues a text with raw, and fills a gap with suffix', () => {
    const raw = generate({ raw: true }).request
    assert.deepEqual([raw.kind, raw.prompt, raw.messages.length], ['text', 'Hi', 0])
    const gap = generate({ suffix: 'end' }).request
    assert.deepEqual([gap.kind, gap.prompt, gap.suffix], ['text', 'Hi', 'end'])
  })

  it('says what it cannot do', () => {
    throwsAt('template', 'unsupported', () => generate({ template: '{{ .Prompt }}' }))
    throwsAt('context', 'unsupported', () => generate({ context: [1, 2] }))
    throwsAt('system', 'unsupported', () => generate({ raw: true, system: 'Be brief' }))
    throwsAt('images', 'unsupported', () => generate({ raw: true, images: [png] }))
    throwsAt('prompt', 'request_invalid', () => generate({ prompt: 7 }))
    assert.equal(generate({ template: '', context: [], suffix: '' }).request.kind, 'chat')
  })
})

describe('a stream of /api/chat', () => {
  const parsed = ollamaChat.parse({ model: 'm:latest', messages: [hi] })
  const context = { id: 'x', created: 1_700_000_000, parsed, isHit: false }

  it('tells log-probabilities, and calls that were written in turns when they are whole', () => {
    const encoder = ollamaChat.openStream(context)
    const logprob = { token: 'Hm', bytes: [72, 109], logprob: -0.5, top: [] }
    const events: readonly GenerationEvent[] = [
      { type: 'start', promptTokens: 3 },
      { type: 'text', choice: 0, kind: 'text', text: 'Hm', logprobs: [logprob] },
      { type: 'tool-call', choice: 0, call: 0, id: 'p', name: 'a' },
      { type: 'tool-call', choice: 0, call: 1, id: 'q', name: 'b' },
      { type: 'tool-arguments', choice: 0, call: 1, text: '{"y":' },
      { type: 'tool-arguments', choice: 0, call: 0, text: '{}' },
      { type: 'tool-arguments', choice: 0, call: 1, text: '2}' },
      { type: 'finish', choice: 0, reason: 'tool_calls' },
    ]
    const lines: { message: unknown; logprobs?: unknown; done: boolean; model: string }[] = events
      .map(event => encoder.encode(event))
      .filter(line => line !== '')
      .map(line => JSON.parse(line))
    assert.equal(lines[0]?.model, 'm:latest')
    assert.deepEqual(lines[0]?.logprobs, [{ token: 'Hm', bytes: [72, 109], logprob: -0.5 }])
    assert.deepEqual(lines[1]?.message, {
      role: 'assistant',
      content: '',
      tool_calls: [
        { id: 'p', function: { index: 0, name: 'a', arguments: {} } },
        { id: 'q', function: { index: 1, name: 'b', arguments: { y: 2 } } },
      ],
    })
    assert.equal(lines.length, 2)
    assert.deepEqual(
      lines.map(line => line.done),
      [false, false],
    )
  })

  it('breaks off with an error that is a string, and never sends a blank line', () => {
    const encoder = ollamaChat.openStream(context)
    const error = new OperationError('engine_failed', 'It broke', { origin: 'engine' })
    assert.equal(encoder.fail(error, 'r'), '{"error":"It broke"}\n')
    assert.equal(encoder.keepAlive(), '')
  })
})
