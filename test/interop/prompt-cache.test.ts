import assert from 'node:assert/strict'
import { describe, it, type TestContext } from 'node:test'
import Anthropic from '@anthropic-ai/sdk'
import OpenAI from 'openai'
import { FakeEngine } from '../../src/engine/fake/fake-engine.ts'
import type { EngineModel, GenerateOptions } from '../../src/interface/engine.ts'
import type { GenerationEvent } from '../../src/interface/generation.ts'
import type { CompletionRequest } from '../../src/key/completion-request.ts'
import { startNode } from '../integration/test-node.ts'
import { modelList, startTestUpstream } from '../support/test-upstream.ts'

/** What the engine says of every prompt: 1,000 tokens, 600 there already, 300 kept from now on. */
const prompt = { promptTokens: 1_000, cachedTokens: 600, cacheWriteTokens: 300 }

/** An engine that reports the numbers above, and remembers what it was asked. */
class ReportingEngine extends FakeEngine {
  readonly asked: CompletionRequest[] = []

  override models(): readonly EngineModel[] {
    return super.models().map(model => {
      const generate = (request: CompletionRequest, options: GenerateOptions) => {
        this.asked.push(request)
        return reported(model.generate(request, options))
      }
      // Without tokens nothing but its own numbers is told.
      return Object.create(model, { generate: { value: generate }, tokens: { value: undefined } })
    })
  }
}

async function* reported(events: AsyncIterable<GenerationEvent>): AsyncGenerator<GenerationEvent> {
  const { cacheWriteTokens: _, ...atStart } = prompt
  for await (const event of events) {
    if (event.type === 'start') yield { ...event, ...atStart }
    else if (event.type === 'usage') yield { ...event, usage: { ...event.usage, ...prompt } }
    else yield event
  }
}

interface Clients {
  readonly openai: OpenAI
  readonly anthropic: Anthropic
}

function clientsOf(url: string): Clients {
  const options = { apiKey: 'any', maxRetries: 0 }
  return {
    openai: new OpenAI({ ...options, baseURL: `${url}/v1` }),
    anthropic: new Anthropic({ ...options, baseURL: url }),
  }
}

async function start(test: TestContext): Promise<Clients & { readonly engine: ReportingEngine }> {
  const engine = new ReportingEngine({ modelName: 'fake' })
  const { url } = await startNode(test, { engine })
  return { ...clientsOf(url), engine }
}

const user = (content: string) => ({ role: 'user' as const, content })
const chatOf = (content: string) => ({ model: 'fake', messages: [user(content)] })
const messageOf = (content: string) => ({ ...chatOf(content), max_tokens: 100 })
const computed = { cached_tokens: 600, cache_write_tokens: 300 }
const replayed = { cached_tokens: 1_000, cache_write_tokens: 0 }

describe('the official clients read what the caches did', () => {
  it('chat/completions: computed and replayed, streamed and not', async test => {
    const { openai } = await start(test)
    for (const expected of [computed, replayed]) {
      const { usage } = await openai.chat.completions.create(chatOf('a'))
      assert.equal(usage?.prompt_tokens, 1_000)
      assert.deepEqual(usage.prompt_tokens_details, { ...expected, audio_tokens: 0 })
    }
    for (const expected of [computed, replayed]) {
      const stream = openai.chat.completions.stream({
        ...chatOf('b'),
        stream_options: { include_usage: true },
      })
      const usage = await stream.totalUsage()
      const final = (await stream.finalChatCompletion()).usage
      assert.equal(usage.prompt_tokens, 1_000)
      assert.equal(final?.prompt_tokens_details?.cached_tokens, expected.cached_tokens)
      assert.equal(final?.prompt_tokens_details?.cache_write_tokens, expected.cache_write_tokens)
    }
  })

  it('responses: computed and replayed, streamed and not', async test => {
    const { openai } = await start(test)
    for (const expected of [computed, replayed]) {
      const { usage } = await openai.responses.create({ model: 'fake', input: 'a' })
      assert.equal(usage?.input_tokens, 1_000)
      assert.deepEqual(usage.input_tokens_details, expected)
    }
    for (const expected of [computed, replayed]) {
      const stream = openai.responses.stream({ model: 'fake', input: 'b' })
      const { usage } = await stream.finalResponse()
      assert.deepEqual(usage?.input_tokens_details, expected)
    }
  })

  it('messages: three counters that add up, at the start of a stream too', async test => {
    const { anthropic } = await start(test)
    const whole = await anthropic.messages.create(messageOf('a'))
    assert.equal(whole.usage.input_tokens, 100)
    assert.equal(whole.usage.cache_read_input_tokens, 600)
    assert.equal(whole.usage.cache_creation_input_tokens, 300)
    assert.deepEqual(whole.usage.cache_creation, {
      ephemeral_5m_input_tokens: 300,
      ephemeral_1h_input_tokens: 0,
    })
    const again = await anthropic.messages.create(messageOf('a'))
    assert.equal(again.usage.input_tokens, 0)
    assert.equal(again.usage.cache_read_input_tokens, 1_000)
    assert.equal(again.usage.cache_creation_input_tokens, 0)

    const starts: Anthropic.Usage[] = []
    const stream = anthropic.messages.stream(messageOf('b'))
    stream.on('streamEvent', event => {
      if (event.type === 'message_start') starts.push({ ...event.message.usage })
    })
    const { usage } = await stream.finalMessage()
    // What is kept is known at the end; until then it counts as input.
    assert.equal(starts[0]?.input_tokens, 400)
    assert.equal(starts[0]?.cache_read_input_tokens, 600)
    assert.equal(starts[0]?.cache_creation, null)
    assert.equal(usage.input_tokens, 100)
    assert.equal(usage.cache_read_input_tokens, 600)
    assert.equal(usage.cache_creation_input_tokens, 300)
    const replay = await anthropic.messages.stream(messageOf('b')).finalMessage()
    assert.equal(replay.usage.cache_read_input_tokens, 1_000)
    assert.equal(replay.usage.input_tokens, 0)
  })

  it('messages: what was kept for an hour is told as that', async test => {
    const { anthropic } = await start(test)
    const cache_control = { type: 'ephemeral' as const, ttl: '1h' as const }
    const { usage } = await anthropic.messages.create({ ...messageOf('a'), cache_control })
    assert.deepEqual(usage.cache_creation, {
      ephemeral_5m_input_tokens: 0,
      ephemeral_1h_input_tokens: 300,
    })
  })
})

describe('the official clients say what to cache', () => {
  it('and the engine is told, whichever API they speak, under one key', async test => {
    const { openai, anthropic, engine } = await start(test)
    const { response: first } = await anthropic.messages
      .create({
        model: 'fake',
        max_tokens: 100,
        system: [{ type: 'text', text: 'Be kind', cache_control: { type: 'ephemeral' } }],
        messages: [user('a')],
      })
      .withResponse()
    const prompt_cache_breakpoint = { mode: 'explicit' as const }
    const { response: second } = await openai.chat.completions
      .create({
        model: 'fake',
        max_completion_tokens: 100,
        prompt_cache_key: 'k',
        messages: [
          {
            role: 'system',
            content: [{ type: 'text', text: 'Be kind', prompt_cache_breakpoint }],
          },
          user('b'),
        ],
      })
      .withResponse()
    const marks = [{ after: 'message', message: 0, part: 0 }]
    assert.deepEqual(
      engine.asked.map(({ cache }) => cache),
      [
        { marks, isMarked: false, keepSeconds: 300 },
        { marks, isMarked: true },
      ],
    )
    assert.equal(first.headers.get('x-cache'), 'MISS')
    assert.equal(second.headers.get('x-cache'), 'MISS')
    const unmarked = await openai.chat.completions
      .create({ ...chatOf('a'), messages: [{ role: 'system', content: 'Be kind' }, user('a')] })
      .withResponse()
    assert.equal(unmarked.response.headers.get('x-hyperspace-source'), 'memory')
  })

  it('and are refused what Anthropic refuses, with the field', async test => {
    const { anthropic } = await start(test)
    const block = {
      type: 'text' as const,
      text: 'x',
      cache_control: { type: 'ephemeral' as const },
    }
    const body = { ...messageOf('a'), system: [block, block, block, block, block] }
    await assert.rejects(anthropic.messages.create(body), error => {
      assert.ok(error instanceof Anthropic.BadRequestError)
      assert.match(error.message, /system\[4\]\.cache_control.*at most 4/)
      return true
    })
  })
})

describe('the official clients are told why', () => {
  const firstReason = /^no entry for this request/

  it('by responses, with the sentence of the header', async test => {
    const engine = new FakeEngine({ modelName: 'fake' })
    const { openai } = clientsOf((await startNode(test, { engine })).url)
    const body = {
      model: 'fake',
      input: 'a',
      prompt_cache_options: { comparison_response_id: 'resp_1' },
    }
    const { data, response } = await openai.responses.create(body).withResponse()
    const reason = response.headers.get('x-hyperspace-reason')
    assert.match(reason ?? '', firstReason)
    assert.deepEqual(data.prompt_cache_diagnostics, {
      type: 'unavailable',
      hyperspace: { code: 'miss', reason, cached_tokens: 0 },
    })
    const hit = await openai.responses.create(body)
    assert.deepEqual(hit.prompt_cache_diagnostics, { type: 'cache_hit' })
    const unasked = await openai.responses.create({ model: 'fake', input: 'a' })
    assert.equal(unasked.prompt_cache_diagnostics, undefined)
    const streamed = await openai.responses.stream({ ...body, input: 'b' }).finalResponse()
    assert.equal(streamed.prompt_cache_diagnostics?.type, 'unavailable')
  })

  it('by messages, streamed and not', async test => {
    const engine = new FakeEngine({ modelName: 'fake' })
    const { anthropic } = clientsOf((await startNode(test, { engine })).url)
    const asked = { diagnostics: { previous_message_id: 'msg_1' } }
    const { data: whole, response } = await anthropic.messages
      .create({ ...messageOf('a'), ...asked })
      .withResponse()
    const reason = response.headers.get('x-hyperspace-reason')
    assert.match(reason ?? '', firstReason)
    const told = {
      cache_miss_reason: {
        type: 'unavailable',
        hyperspace: { code: 'miss', reason, cached_tokens: 0 },
      },
    }
    assert.deepEqual(whole.diagnostics, told)
    const streamed = await anthropic.messages.stream({ ...messageOf('b'), ...asked }).finalMessage()
    assert.deepEqual(streamed.diagnostics, told)
    assert.equal((await anthropic.messages.create(messageOf('c'))).diagnostics, null)
    const hit = await anthropic.messages.create({ ...messageOf('a'), ...asked })
    assert.equal(hit.diagnostics, null)
  })
})

describe('an upstream with a prompt cache of its own', () => {
  it('has its numbers passed on, in every API', async test => {
    const upstream = await startTestUpstream({
      'GET /v1/models': modelList('parrot'),
      'POST /v1/chat/completions': exchange => {
        exchange.events(
          { choices: [{ index: 0, delta: { content: 'Hi' }, finish_reason: 'stop' }] },
          {
            choices: [],
            usage: {
              prompt_tokens: 1_000,
              completion_tokens: 1,
              prompt_tokens_details: computed,
            },
          },
          '[DONE]',
        )
        exchange.response.end()
      },
    })
    test.after(() => upstream.stop())
    const { url } = await startNode(test, { flags: { upstream: [`${upstream.url}/v1`] } })
    const { openai, anthropic } = clientsOf(url)
    const model = 'parrot'
    const chat = await openai.chat.completions.create({ ...chatOf('a'), model })
    assert.deepEqual(chat.usage?.prompt_tokens_details, { ...computed, audio_tokens: 0 })
    const response = await openai.responses.create({ model, input: 'b' })
    assert.deepEqual(response.usage?.input_tokens_details, computed)
    const { usage } = await anthropic.messages.create({ ...messageOf('c'), model })
    assert.equal(usage.input_tokens, 100)
    assert.equal(usage.cache_read_input_tokens, 600)
    assert.equal(usage.cache_creation_input_tokens, 300)
    const asked = { diagnostics: { previous_message_id: null } }
    const stream = anthropic.messages.stream({ ...messageOf('d'), ...asked, model })
    // An upstream tells at the end only: until then the diagnosis is pending.
    assert.deepEqual((await stream.finalMessage()).diagnostics, { cache_miss_reason: null })
  })
})
