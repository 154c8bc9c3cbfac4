import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import type { GenerationEvent } from '../../../interface/generation.ts'
import { emptyRequest } from '../../../key/completion-request.ts'
import { upstreamToolCallsMax } from '../../../limits.ts'
import { isJsonObject, type JsonObject } from '../../../std/json.ts'
import { retryAfterMsOf } from '../http/upstream-errors.ts'
import { serverSentEvents } from './server-sent-events.ts'
import { StreamDecoder } from './stream-decoder.ts'

class Failure extends Error {}

function decode(chunks: readonly JsonObject[], choiceCount = 1): readonly GenerationEvent[] {
  const decoder = new StreamDecoder({
    request: {
      ...emptyRequest,
      kind: 'chat',
      model: 'm',
      choiceCount,
      unknown: { api: 'openai', fields: {} },
    },
    fail: what => new Failure(what),
  })
  return [...chunks.flatMap(chunk => decoder.push(chunk)), ...decoder.end()]
}

/** Calls as `id name(arguments)`, put together from their pieces. */
function callsOf(deltas: readonly JsonObject[]): readonly string[] {
  const chunks = deltas.map(delta => ({ id: 'r', choices: [{ index: 0, delta }] }))
  const events = decode(chunks)
  assert.deepEqual(events.at(-2), { type: 'finish', choice: 0, reason: 'tool_calls' })
  return events
    .filter(event => event.type === 'tool-call')
    .map(({ call, id, name }) => {
      const pieces = events
        .filter(event => event.type === 'tool-arguments')
        .filter(event => event.call === call)
      return `${id} ${name}(${pieces.map(piece => piece.text).join('')})`
    })
}

const calls = (...toolCalls: readonly JsonObject[]): JsonObject => ({ tool_calls: toolCalls })

describe('StreamDecoder reads what the upstream cached', () => {
  const counts = { prompt_tokens: 100, completion_tokens: 2 }
  const usageOf = (usage: JsonObject) => {
    const choice = { index: 0, delta: { content: 'x' }, finish_reason: 'stop' }
    const end = decode([{ choices: [choice] }, { choices: [], usage: { ...counts, ...usage } }])
    const last = end.at(-1)
    assert.ok(last?.type === 'usage')
    return last.usage
  }

  it('as OpenAI tells it, and as gateways before Anthropic do', () => {
    const details = { cached_tokens: 60, cache_write_tokens: 30 }
    for (const usage of [
      { prompt_tokens_details: details },
      { prompt_tokens_details: { cached_tokens: 60 }, cache_creation_input_tokens: 30 },
    ]) {
      const { cachedTokens, cacheWriteTokens } = usageOf(usage)
      assert.deepEqual([cachedTokens, cacheWriteTokens], [60, 30])
    }
  })

  it('as nothing where it tells nothing, or what is no count', () => {
    assert.equal('cacheWriteTokens' in usageOf({}), false)
    const odd = { cached_tokens: -1, cache_write_tokens: '3' }
    const { cachedTokens, ...rest } = usageOf({ prompt_tokens_details: odd })
    assert.equal(cachedTokens, 0)
    assert.equal('cacheWriteTokens' in rest, false)
  })
})

describe('StreamDecoder reads tool calls', () => {
  it('in pieces, several at once', () => {
    const found = callsOf([
      calls({ index: 0, id: 'a', function: { name: 'f', arguments: '' } }),
      calls({ index: 0, function: { arguments: '{"x"' } }),
      calls({ index: 1, id: 'b', function: { name: 'g', arguments: '{}' } }),
      calls({ index: 0, function: { arguments: ':1}' } }),
    ])
    assert.deepEqual(found, ['a f({"x":1})', 'b g({})'])
  })

  it('with the id and name repeated in every piece', () => {
    const piece = (text: string): JsonObject =>
      calls({ index: 0, id: 'a', function: { name: 'f', arguments: text } })
    assert.deepEqual(callsOf([piece('{'), piece('}')]), ['a f({})'])
  })

  it('that are all numbered 0 and differ by id', () => {
    const found = callsOf([
      calls({ index: 0, id: 'a', function: { name: 'f', arguments: '{}' } }),
      calls({ index: 0, id: 'b', function: { name: 'f', arguments: '{}' } }),
    ])
    assert.deepEqual(found, ['a f({})', 'b f({})'])
  })

  it('without an index, with arguments as an object', () => {
    const found = callsOf([
      calls(
        { id: 'a', function: { name: 'f', arguments: { x: 1 } } },
        { id: 'b', function: { name: 'g', arguments: {} } },
      ),
    ])
    assert.deepEqual(found, ['a f({"x":1})', 'b g({})'])
  })

  it('without ids: each gets its own, the same every time', () => {
    const deltas = [
      calls({ index: 0, function: { name: 'f', arguments: '{}' } }),
      calls({ index: 1, function: { name: 'g', arguments: '{}' } }),
    ]
    const found = callsOf(deltas)
    assert.match(found[0] ?? '', /^call_[0-9a-f]{24} f\(\{\}\)$/)
    assert.notEqual(found[0]?.split(' ')[0], found[1]?.split(' ')[0])
    assert.deepEqual(callsOf(deltas), found)
  })

  it('whose arguments come before the name, and the legacy function_call', () => {
    const late = callsOf([
      calls({ index: 0, id: 'a', function: { arguments: '{"x":' } }),
      calls({ index: 0, function: { name: 'f', arguments: '1}' } }),
    ])
    assert.deepEqual(late, ['a f({"x":1})'])
    const [legacy] = callsOf([
      { function_call: { name: 'f', arguments: '{' } },
      { function_call: { arguments: '}' } },
    ])
    assert.match(legacy ?? '', / f\(\{\}\)$/)
  })

  it('up to a limit', () => {
    const many = Array.from({ length: upstreamToolCallsMax + 1 }, (_, index) => ({
      index,
      id: `c${index}`,
      function: { name: 'f', arguments: '' },
    }))
    assert.throws(() => callsOf([calls(...many)]), Failure)
  })
})

describe('StreamDecoder', () => {
  it('throws nothing but its failure, whatever the chunks are', () => {
    const names = ['id', 'choices', 'usage', 'delta', 'index', 'tool_calls', 'function', 'logprobs']
    const more = ['content', 'finish_reason', 'top_logprobs', 'tokens', 'prompt_tokens', 'text']
    const { value } = fc.letrec(tie => ({
      value: fc.oneof(
        { maxDepth: 6 },
        fc.constantFrom<unknown>(0, 1, -1, 1.5, 'stop', '', null, true, 1e300),
        fc.array(tie('value'), { maxLength: 3 }),
        fc.dictionary(fc.constantFrom(...names, ...more), tie('value'), { maxKeys: 5 }),
      ),
    }))
    fc.assert(
      fc.property(fc.array(value), values => {
        const chunks = values.filter(isJsonObject)
        try {
          decode([...chunks, { choices: values.filter(isJsonObject) }], 2)
        } catch (error) {
          assert.ok(error instanceof Failure)
        }
      }),
    )
  })
})

describe('serverSentEvents()', () => {
  it('gives equal events however the bytes are cut', async () => {
    const text = 'data: a😀\n\n: ping\n\ndata:b\r\n\r\nevent: error\ndata: c\n\ndata: [DONE]'
    const bytes = Buffer.from(text)
    const label = { name: 'box', url: 'http://box' }
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat(bytes.length)), async cuts => {
        const edges = [0, ...cuts.toSorted((a, b) => a - b), bytes.length]
        const pieces = edges.map((edge, index) => bytes.subarray(edge, edges[index + 1] ?? edge))
        async function* body(): AsyncGenerator<Uint8Array> {
          yield* pieces
        }
        const found: string[] = []
        for await (const { event, data } of serverSentEvents(body(), label)) {
          found.push(`${event ?? ''}:${data}`)
        }
        assert.deepEqual(found, [':a😀', ':b', 'error:c', ':[DONE]'])
      }),
    )
  })
})

describe('retryAfterMsOf()', () => {
  it('reads milliseconds, seconds and dates, and believes no year', () => {
    const nowMs = Date.UTC(2026, 0, 1)
    assert.equal(retryAfterMsOf({ 'retry-after-ms': '250', 'retry-after': '9' }, nowMs), 250)
    assert.equal(retryAfterMsOf({ 'retry-after': '1.5' }, nowMs), 1_500)
    const date = new Date(nowMs + 4_000).toUTCString()
    assert.equal(retryAfterMsOf({ 'retry-after': date }, nowMs), 4_000)
    assert.equal(retryAfterMsOf({ 'retry-after': '99999999' }, nowMs), 3_600_000)
    assert.equal(retryAfterMsOf({ 'retry-after': 'soon' }, nowMs), undefined)
  })
})
