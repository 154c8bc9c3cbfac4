import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import OpenAI from 'openai'
import { eventsOf } from '../../cache/events-of.ts'
import { OperationError } from '../../errors.ts'
import type { Completion } from '../../interface/generation.ts'
import type { ModelId } from '../../key/model-id.ts'
import { isJsonObject, type JsonObject } from '../../std/json.ts'
import { httpStatusOf } from '../http-status.ts'
import type { WireFormat } from '../wire-format.ts'
import { chatCompletions } from './chat-completions.ts'
import { completions } from './completions.ts'
import { encodeEmbeddings, parseEmbeddings } from './embeddings.ts'
import { encodeError } from './errors.ts'
import { responses } from './responses.ts'

/**
 * The official SDK against the formats alone: its `fetch` parses the request and answers with an
 * encoded reply.
 */
const answer: Completion = {
  modelId: 'name:m' as ModelId,
  created: 1,
  choices: [
    {
      parts: [
        { type: 'reasoning', text: 'Think' },
        { type: 'text', text: 'Hello' },
        { type: 'tool-call', id: 'call_1', name: 'weather', arguments: '{"city":"X"}' },
      ],
      finish: 'tool_calls',
    },
  ],
  usage: { promptTokens: 7, cachedTokens: 2, completionTokens: 3, reasoningTokens: 1 },
}
const broken = new OperationError('engine_failed', 'It died', { origin: 'engine' })

const formats: { readonly [path: string]: WireFormat } = {
  '/v1/chat/completions': chatCompletions,
  '/v1/completions': completions,
  '/v1/responses': responses,
}

function clientOf(options: { readonly breaks?: boolean } = {}): OpenAI {
  return new OpenAI({
    apiKey: 'none',
    baseURL: 'http://node.test/v1',
    maxRetries: 0,
    fetch: async (url, init) => {
      const body: unknown = JSON.parse(String(init?.body))
      assert.ok(isJsonObject(body))
      return replyTo(new URL(String(url)).pathname, body, options.breaks === true)
    },
  })
}

function replyTo(path: string, body: JsonObject, breaks: boolean): Response {
  const json = { 'content-type': 'application/json' }
  try {
    if (path === '/v1/embeddings') {
      const vectors = [Float32Array.of(1, -0.5)]
      const text = encodeEmbeddings(parseEmbeddings(body), { vectors, promptTokens: 1 })
      return new Response(text, { headers: json })
    }
    const format = formats[path]
    assert.ok(format, path)
    const parsed = format.parse(body)
    const context = { id: '0123456789abcdef01234567', created: 1, parsed, isHit: true }
    if (!parsed.stream) {
      return new Response(format.encodeReply(answer, context), { headers: json })
    }
    const encoder = format.openStream(context)
    let text = encoder.keepAlive()
    for (const event of eventsOf(answer)) {
      if (breaks && event.type === 'finish') {
        text += encoder.fail(broken, 'req_1')
        return new Response(text, { headers: { 'content-type': encoder.contentType } })
      }
      text += encoder.encode(event)
    }
    return new Response(text + encoder.end(), { headers: { 'content-type': encoder.contentType } })
  } catch (error) {
    assert.ok(error instanceof OperationError, String(error))
    const status = httpStatusOf(error)
    return new Response(encodeError(error, status, 'req_1'), { status, headers: json })
  }
}

const hello = {
  model: 'm',
  messages: [{ role: 'user' as const, content: 'hi' }],
  tools: [{ type: 'function' as const, function: { name: 'weather' } }],
}

describe('the openai SDK', () => {
  it('reads chat/completions, streamed and not, as the same answer', async () => {
    const client = clientOf()
    const whole = await client.chat.completions.create(hello)
    assert.equal(whole.choices[0]?.message.content, 'Hello')
    assert.equal(whole.usage?.prompt_tokens_details?.cached_tokens, 7)
    const stream = client.chat.completions.stream({
      ...hello,
      stream_options: { include_usage: true },
    })
    const final = await stream.finalChatCompletion()
    assert.deepEqual(final.usage, whole.usage)
    assert.equal(final.choices[0]?.finish_reason, 'tool_calls')
    assert.equal(final.choices[0]?.message.content, 'Hello')
    const [call] = final.choices[0]?.message.tool_calls ?? []
    assert.ok(call?.type === 'function')
    assert.equal(call.function.arguments, '{"city":"X"}')
    assert.equal(call.id, 'call_1')
  })

  it('reads responses, streamed and not, as the same answer', async () => {
    const client = clientOf()
    const whole = await client.responses.create({ model: 'm', input: 'hi' })
    assert.equal(whole.output_text, 'Hello')
    const stream = client.responses.stream({ model: 'm', input: 'hi' })
    const final = await stream.finalResponse()
    assert.equal(final.output_text, 'Hello')
    assert.deepEqual(
      final.output.map(item => item.type),
      ['reasoning', 'message', 'function_call'],
    )
    assert.deepEqual(final.usage, whole.usage)
  })

  it('reads completions', async () => {
    const whole = await clientOf().completions.create({ model: 'm', prompt: 'x', echo: true })
    assert.equal(whole.choices[0]?.text, 'xThinkHello')
    let text = ''
    for await (const chunk of await clientOf().completions.create({
      model: 'm',
      prompt: 'x',
      stream: true,
    })) {
      text += chunk.choices[0]?.text ?? ''
    }
    assert.equal(text, 'ThinkHello')
  })

  it('reads embeddings, which it asks for in base64', async () => {
    const { data } = await clientOf().embeddings.create({ model: 'm', input: 'x' })
    assert.deepEqual(Array.from(data[0]?.embedding ?? []), [1, -0.5])
  })

  it('throws a wrong field as BadRequestError with its path', async () => {
    await assert.rejects(
      clientOf().chat.completions.create({ ...hello, temperature: 3 }),
      error => {
        assert.ok(error instanceof OpenAI.BadRequestError)
        assert.equal(error.param, 'temperature')
        assert.equal(error.type, 'invalid_request_error')
        return true
      },
    )
  })

  it('throws when a stream breaks off', async () => {
    const client = clientOf({ breaks: true })
    const drain = async (stream: AsyncIterable<unknown>): Promise<void> => {
      for await (const _ of stream);
    }
    const fromChat = await client.chat.completions.create({ ...hello, stream: true })
    await assert.rejects(drain(fromChat), { code: 'engine_failed', message: /It died/ })
    const fromResponses = await client.responses.create({ model: 'm', input: 'x', stream: true })
    await assert.rejects(drain(fromResponses), { code: 'engine_failed', message: /It died/ })
  })
})
