import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { eventsOf } from '../../../cache/events-of.ts'
import type {
  Choice,
  ChoicePart,
  Completion,
  GenerationEvent,
  TokenLogprob,
} from '../../../interface/generation.ts'
import type { JsonObject } from '../../../std/json.ts'
import type { ReplyContext, WireFormat } from '../../wire-format.ts'
import { chatCompletions } from '../chat-completions.ts'
import { completions } from '../completions.ts'
import { responses } from '../responses.ts'
import {
  aCompletion,
  chatChunks,
  chatReply,
  legacyLogprobs,
  responsesEvents,
  sseData,
  textChunks,
  textReply,
} from './replay-fixtures.ts'

const hello = { model: 'm', messages: [{ role: 'user', content: 'hi' }] }

function contextOf(format: WireFormat, body: JsonObject, isHit = false): ReplyContext {
  return {
    id: '0123456789abcdef01234567',
    created: 1_700_000_000,
    parsed: format.parse(body),
    isHit,
  }
}

function streamText(
  format: WireFormat,
  context: ReplyContext,
  events: Iterable<GenerationEvent>,
): string {
  const encoder = format.openStream(context)
  let text = ''
  for (const event of events) text += encoder.encode(event)
  return text + encoder.end()
}

/** As an engine would send it: text and arguments in pieces of a code point. */
function* inPieces(events: Iterable<GenerationEvent>): Generator<GenerationEvent> {
  for (const event of events) {
    if (event.type === 'text' && event.text !== '') {
      let { logprobs } = event
      for (const text of event.text) {
        yield { ...event, text, ...(logprobs === undefined ? {} : { logprobs }) }
        logprobs = []
      }
    } else if (event.type === 'tool-arguments') {
      for (const text of event.text) yield { ...event, text }
    } else {
      yield event
    }
  }
}

/** What a client can see of a choice: text per kind, calls in order, log-probabilities, the end. */
function visible(choice: Choice): object {
  const text = (kind: ChoicePart['type']): string =>
    choice.parts
      .map(part => (part.type === kind && part.type !== 'tool-call' ? part.text : ''))
      .join('')
  return {
    text: text('text'),
    reasoning: text('reasoning'),
    refusal: text('refusal'),
    calls: choice.parts
      .filter(part => part.type === 'tool-call')
      .map(({ id, name, arguments: args }) => ({ id, name, arguments: args })),
    logprobs: choice.logprobs ?? [],
    finish: choice.finish,
  }
}

function usageOf(completion: Completion): object {
  const { promptTokens, cachedTokens, completionTokens, reasoningTokens } = completion.usage
  return {
    prompt: promptTokens,
    cached: cachedTokens,
    written: completion.usage.cacheWriteTokens,
    completion: completionTokens,
    reasoning: reasoningTokens,
    total: promptTokens + completionTokens,
  }
}

describe('chat/completions', () => {
  it('body, replay and live stream all tell the completion', () => {
    fc.assert(
      fc.property(aCompletion({ choicesMax: 3 }), completion => {
        const body = {
          ...hello,
          n: completion.choices.length,
          stream: true,
          stream_options: { include_usage: true },
        }
        const context = contextOf(chatCompletions, body)
        const expected = {
          choices: completion.choices.map(visible),
          usage: usageOf(completion),
        }
        const reply: unknown = JSON.parse(chatCompletions.encodeReply(completion, context))
        assert.deepEqual(chatReply(reply), expected)
        const events = [...eventsOf(completion)]
        assert.deepEqual(chatChunks(streamText(chatCompletions, context, events)), expected)
        const live = streamText(chatCompletions, context, inPieces(events))
        assert.deepEqual(chatChunks(live), expected)
      }),
    )
  })
})

describe('completions', () => {
  it('body, replay and live stream all tell the completion', () => {
    fc.assert(
      fc.property(aCompletion({ choicesMax: 3 }), fc.boolean(), (made, echo) => {
        const choices = made.choices.map(choice => ({
          ...choice,
          parts: choice.parts.filter(part => part.type !== 'tool-call'),
          finish: choice.finish === 'tool_calls' ? ('stop' as const) : choice.finish,
        }))
        const completion = { ...made, choices }
        const body = {
          model: 'm',
          prompt: 'Once',
          echo,
          n: choices.length,
          stream: true,
          stream_options: { include_usage: true },
        }
        const context = contextOf(completions, body)
        const withTop = { ...context, parsed: withTopLogprobs(context) }
        const expected = {
          choices: choices.map(choice => ({
            text: (echo ? 'Once' : '') + choice.parts.map(part => part.text).join(''),
            logprobs: legacyLogprobs(choice.logprobs ?? []),
            finish: choice.finish,
          })),
          usage: usageOf(completion),
        }
        const reply: unknown = JSON.parse(completions.encodeReply(completion, withTop))
        assert.deepEqual(textReply(reply), expected)
        const events = [...eventsOf(completion)]
        assert.deepEqual(textChunks(streamText(completions, withTop, events)), expected)
        assert.deepEqual(textChunks(streamText(completions, withTop, inPieces(events))), expected)
      }),
    )
  })
})

/** `echo` and `logprobs` cannot be asked for together, but the encoder must not care. */
function withTopLogprobs({ parsed }: ReplyContext): ReplyContext['parsed'] {
  return { ...parsed, request: { ...parsed.request, topLogprobs: 2 } }
}

describe('responses', () => {
  it('a stream ends with the very object that a body is, and its deltas add up to it', () => {
    fc.assert(
      fc.property(aCompletion({ choicesMax: 1 }), completion => {
        const context = contextOf(responses, { model: 'm', input: 'hi', instructions: 'Be brief' })
        const reply: unknown = JSON.parse(responses.encodeReply(completion, context))
        const events = [...eventsOf(completion)]
        const replayed = responsesEvents(streamText(responses, context, events))
        assert.deepEqual(replayed.response, reply)
        assert.deepEqual(replayed.rebuilt, replayed.response['output'])
        const live = responsesEvents(streamText(responses, context, inPieces(events)))
        assert.deepEqual(live.response, reply)
        assert.deepEqual(live.rebuilt, live.response['output'])
      }),
    )
  })

  it('keeps interleaved arguments of two calls apart', () => {
    const context = contextOf(responses, { model: 'm', input: 'hi' })
    const events: GenerationEvent[] = [
      { type: 'start' },
      { type: 'tool-call', choice: 0, call: 0, id: 'call_a', name: 'a' },
      { type: 'tool-arguments', choice: 0, call: 0, text: '{"x":' },
      { type: 'tool-call', choice: 0, call: 1, id: 'call_b', name: 'b' },
      { type: 'tool-arguments', choice: 0, call: 1, text: '{}' },
      { type: 'tool-arguments', choice: 0, call: 0, text: '1}' },
      { type: 'finish', choice: 0, reason: 'tool_calls' },
      { type: 'usage', usage: usage(1, 0, 2, 0) },
    ]
    const { response, rebuilt } = responsesEvents(streamText(responses, context, events))
    assert.deepEqual(rebuilt, response['output'])
    assert.deepEqual(
      rebuilt.map(item => item['arguments']),
      ['{"x":1}', '{}'],
    )
  })
})

function usage(
  promptTokens: number,
  cachedTokens: number,
  completionTokens: number,
  reasoningTokens: number,
) {
  return { promptTokens, cachedTokens, completionTokens, reasoningTokens }
}

describe('a hit', () => {
  const completion: Completion = {
    modelId: 'sha256:00' as Completion['modelId'],
    created: 1,
    choices: [{ parts: [{ type: 'text', text: 'Hello' }], finish: 'stop' }],
    usage: { ...usage(7, 3, 1, 0), cacheWriteTokens: 2 },
  }

  it('reports all prompt tokens as cached, whatever the first asker had', () => {
    const chat = JSON.parse(
      chatCompletions.encodeReply(completion, contextOf(chatCompletions, hello, true)),
    )
    assert.equal(chat.usage.prompt_tokens_details.cached_tokens, 7)
    assert.equal(chat.usage.prompt_tokens_details.cache_write_tokens, 0)
    const body = { model: 'm', input: 'hi' }
    const response = JSON.parse(responses.encodeReply(completion, contextOf(responses, body, true)))
    const hit = { cached_tokens: 7, cache_write_tokens: 0 }
    assert.deepEqual(response.usage.input_tokens_details, hit)
    const missed = JSON.parse(responses.encodeReply(completion, contextOf(responses, body)))
    const miss = { cached_tokens: 3, cache_write_tokens: 2 }
    assert.deepEqual(missed.usage.input_tokens_details, miss)
  })

  it('writes the chunks of chat/completions as OpenAI does', () => {
    const body = { ...hello, stream: true, stream_options: { include_usage: true } }
    const text = streamText(
      chatCompletions,
      contextOf(chatCompletions, body, true),
      eventsOf(completion),
    )
    const [first, second, third, last, ...rest] = sseData(text)
    const common = {
      id: 'chatcmpl-0123456789abcdef01234567',
      object: 'chat.completion.chunk',
      created: 1_700_000_000,
      model: 'm',
      system_fingerprint: 'hyperspace',
    }
    const choice = { index: 0, logprobs: null, finish_reason: null }
    assert.deepEqual(first, {
      ...common,
      choices: [{ ...choice, delta: { role: 'assistant', content: '' } }],
      usage: null,
    })
    assert.deepEqual(second, {
      ...common,
      choices: [{ ...choice, delta: { content: 'Hello' } }],
      usage: null,
    })
    assert.deepEqual(third, {
      ...common,
      choices: [{ ...choice, delta: {}, finish_reason: 'stop' }],
      usage: null,
    })
    assert.deepEqual(last?.['choices'], [])
    assert.deepEqual(rest, [])
    assert.ok(text.endsWith('data: [DONE]\n\n'))
  })

  it('tells no usage where none was asked for', () => {
    const context = contextOf(chatCompletions, { ...hello, stream: true })
    const chunks = sseData(streamText(chatCompletions, context, eventsOf(completion)))
    assert.equal(chunks.length, 3)
    assert.ok(chunks.every(chunk => !('usage' in chunk)))
  })
})

describe('log-probabilities without text', () => {
  const logprob: TokenLogprob = { token: '�', bytes: [0xe2], logprob: -1, top: [] }

  it('go with the next text of a response', () => {
    const context = contextOf(responses, { model: 'm', input: 'hi' })
    const { response } = responsesEvents(
      streamText(responses, context, [
        { type: 'start' },
        { type: 'text', choice: 0, kind: 'text', text: '', logprobs: [logprob] },
        { type: 'text', choice: 0, kind: 'text', text: '€', logprobs: [logprob] },
        { type: 'text', choice: 0, kind: 'text', text: '', logprobs: [logprob] },
        { type: 'finish', choice: 0, reason: 'stop' },
        { type: 'usage', usage: usage(1, 0, 3, 0) },
      ]),
    )
    const told = JSON.stringify(response['output'])
    assert.equal(told.split('"logprob":-1').length - 1, 3)
  })
})
