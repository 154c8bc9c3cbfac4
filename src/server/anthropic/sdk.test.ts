import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import Anthropic from '@anthropic-ai/sdk'
import { eventsOf } from '../../cache/events-of.ts'
import { contextLengthExceeded, OperationError } from '../../errors.ts'
import type { Completion, GenerationEvent } from '../../interface/generation.ts'
import { modelIdFromName } from '../../key/model-id.ts'
import { encodeTokenCount } from './count-tokens.ts'
import { encodeError } from './errors.ts'
import { messages } from './messages.ts'
import { encodeModelList } from './models.ts'

/** The real SDK, with our bytes for a network. */
function sdk(body: string, contentType = 'application/json', status = 200): Anthropic {
  const reply = () => new Response(body, { status, headers: { 'content-type': contentType } })
  return new Anthropic({
    apiKey: 'any',
    baseURL: 'http://127.0.0.1:1',
    maxRetries: 0,
    fetch: async () => reply(),
  })
}

const question = {
  model: 'tiny',
  max_tokens: 50,
  messages: [{ role: 'user', content: 'Hi' }],
} as const
const ask: Anthropic.MessageCreateParamsNonStreaming = {
  ...question,
  messages: [...question.messages],
}

function contextFor(fields: { readonly thinking?: { type: string; display: string } }) {
  const parsed = messages.parse({ ...question, stream: true, ...fields })
  return { id: 'a'.repeat(24), created: 1_700_000_000, parsed, isHit: false }
}

function streamOf(events: Iterable<GenerationEvent>, fields = {}): string {
  const encoder = messages.openStream(contextFor(fields))
  let text = ''
  for (const event of events) text += encoder.encode(event)
  return text + encoder.end()
}

const answer: Completion = {
  modelId: modelIdFromName('tiny'),
  created: 1_700_000_000,
  choices: [
    {
      parts: [
        { type: 'reasoning', text: 'Rain is likely' },
        { type: 'text', text: 'Let me see' },
        { type: 'tool-call', id: 't1', name: 'weather', arguments: '{"city": "Tromsø"}' },
      ],
      finish: 'tool_calls',
    },
  ],
  usage: { promptTokens: 20, cachedTokens: 16, completionTokens: 9, reasoningTokens: 3 },
}

function expectAnswer(message: Anthropic.Message): void {
  assert.deepEqual(message.content, [
    { type: 'thinking', thinking: 'Rain is likely', signature: '' },
    { type: 'text', text: 'Let me see' },
    { type: 'tool_use', id: 't1', name: 'weather', input: { city: 'Tromsø' } },
  ])
  assert.equal(message.stop_reason, 'tool_use')
  assert.equal(message.usage.input_tokens, 4)
  assert.equal(message.usage.cache_read_input_tokens, 16)
  assert.equal(message.usage.output_tokens, 9)
}

describe("Anthropic's own SDK", () => {
  it('reads a body', async () => {
    expectAnswer(await sdk(messages.encodeReply(answer, contextFor({}))).messages.create(ask))
  })

  it('reads a stream', async () => {
    const client = sdk(streamOf(eventsOf(answer)), 'text/event-stream; charset=utf-8')
    expectAnswer(await client.messages.stream(ask).finalMessage())
  })

  it('reads calls whose arguments an upstream wrote in turns', async () => {
    const events: readonly GenerationEvent[] = [
      { type: 'start' },
      { type: 'tool-call', choice: 0, call: 0, id: 'p', name: 'a' },
      { type: 'tool-call', choice: 0, call: 1, id: 'q', name: 'b' },
      { type: 'tool-arguments', choice: 0, call: 1, text: '{"y":' },
      { type: 'tool-arguments', choice: 0, call: 0, text: '{"x":1}' },
      { type: 'tool-arguments', choice: 0, call: 1, text: '2}' },
      { type: 'finish', choice: 0, reason: 'stop' },
      { type: 'usage', usage: answer.usage },
    ]
    const client = sdk(streamOf(events), 'text/event-stream; charset=utf-8')
    const message = await client.messages.stream(ask).finalMessage()
    assert.deepEqual(
      message.content.map(block => block.type === 'tool_use' && block.input),
      [{ x: 1 }, { y: 2 }],
    )
    assert.equal(message.stop_reason, 'tool_use')
    assert.equal(message.usage.input_tokens, 4)
  })

  it('sees no thinking when it asked to leave it out, in both forms', async () => {
    const fields = { thinking: { type: 'adaptive', display: 'omitted' } }
    const client = sdk(streamOf(eventsOf(answer), fields), 'text/event-stream; charset=utf-8')
    const streamed = await client.messages.stream(ask).finalMessage()
    const body: Anthropic.Message = JSON.parse(messages.encodeReply(answer, contextFor(fields)))
    assert.deepEqual(
      streamed.content.map(block => block.type),
      ['text', 'tool_use'],
    )
    assert.deepEqual(streamed.content, body.content)
  })

  it('throws the error that breaks a stream off, and takes pings', async () => {
    const encoder = messages.openStream(contextFor({}))
    const error = new OperationError('upstream_unreachable', 'Ollama is gone', {
      origin: 'upstream',
    })
    const text =
      encoder.keepAlive() +
      encoder.encode({ type: 'start' }) +
      encoder.encode({ type: 'text', choice: 0, kind: 'text', text: 'Hal' }) +
      encoder.keepAlive() +
      encoder.fail(error, 'req-1')
    const stream = sdk(text, 'text/event-stream; charset=utf-8').messages.stream(ask)
    await assert.rejects(
      stream.finalMessage(),
      thrown =>
        thrown instanceof Anthropic.APIError &&
        thrown.type === 'overloaded_error' &&
        thrown.message.includes('Ollama is gone'),
    )
  })

  it('knows our errors by their class, type and code', async () => {
    const error = contextLengthExceeded(9_000, 2_048)
    const client = sdk(encodeError(error, 400, 'req-1'), 'application/json', 400)
    await assert.rejects(
      client.messages.create(ask),
      thrown =>
        thrown instanceof Anthropic.BadRequestError &&
        thrown.type === 'invalid_request_error' &&
        thrown.message.includes('9000') &&
        thrown.errorCode === 'context_length_exceeded',
    )
  })

  it('reads token counts and the list of models', async () => {
    const count = await sdk(encodeTokenCount(17)).messages.countTokens(ask)
    assert.equal(count.input_tokens, 17)
    const never = (): never => assert.fail('The list must not run a model')
    const model = {
      id: modelIdFromName('tiny'),
      name: 'tiny',
      aliases: [],
      contextTokens: 2_048,
      capabilities: { chat: true, text: true, embeddings: false, developerRole: false },
      numericClass: 'c',
      speed: {},
      details: { origin: 'embedded' },
      generate: never,
      countTokens: never,
      embed: never,
      tokens: undefined,
    }
    const page = await sdk(encodeModelList([model])).models.list()
    assert.deepEqual(
      page.data.map(({ id, max_input_tokens }) => [id, max_input_tokens]),
      [['tiny', 2_048]],
    )
    assert.equal(page.hasNextPage(), false)
  })
})

describe('encodeError()', () => {
  it('has a type for every status', () => {
    const types: readonly [status: number, type: string][] = [
      [400, 'invalid_request_error'],
      [401, 'authentication_error'],
      [403, 'permission_error'],
      [404, 'not_found_error'],
      [413, 'request_too_large'],
      [422, 'invalid_request_error'],
      [429, 'rate_limit_error'],
      [500, 'api_error'],
      [502, 'api_error'],
      [503, 'overloaded_error'],
      [529, 'overloaded_error'],
    ]
    const error = new OperationError('engine_failed', 'It broke', { origin: 'engine' })
    for (const [status, type] of types) {
      const body: { type: string; error: { type: string }; request_id: string } = JSON.parse(
        encodeError(error, status, 'req-1'),
      )
      assert.deepEqual([body.type, body.error.type, body.request_id], ['error', type, 'req-1'])
    }
  })

  it('repeats what an upstream said, without its wrapping', () => {
    const upstream = {
      status: 400,
      contentType: 'application/json',
      body: '{"error":{"message":"bad schema","type":"x"}}',
    }
    const error = new OperationError('upstream_failed', 'The upstream answered 400', {
      origin: 'upstream',
      upstream,
    })
    assert.match(encodeError(error, 400, 'r'), /"message":"bad schema"/)
  })
})
