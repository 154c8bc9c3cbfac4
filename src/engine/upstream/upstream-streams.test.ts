import assert from 'node:assert/strict'
import { after, afterEach, describe, it } from 'node:test'
import {
  type Exchange,
  modelList,
  type Route,
  type Routes,
  startTestUpstream,
  type TestUpstream,
} from '../../../test/support/test-upstream.ts'
import { contextLengthExceeded, OperationError } from '../../errors.ts'
import type { EngineModel } from '../../interface/engine.ts'
import { assertGrammar } from '../../interface/generation.compliance.ts'
import type { GenerationEvent } from '../../interface/generation.ts'
import { silentLog } from '../../interface/log.ts'
import { type CompletionRequest, emptyRequest } from '../../key/completion-request.ts'
import { upstreamErrorBytesMax, upstreamEventBytesMax } from '../../limits.ts'
import { type Clock, systemClock, VirtualClock } from '../../std/clock.ts'
import { systemRandom } from '../../std/random.ts'
import { UpstreamEngine } from './upstream-engine.ts'

const { signal } = new AbortController()
/** What fails by waiting forever. */
const hangs = { timeout: 30_000 }
const cleanUps: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp()
})

interface Subject {
  readonly upstream: TestUpstream
  readonly engine: UpstreamEngine
  readonly model: EngineModel
}

async function start(complete: Route, clock: Clock = systemClock): Promise<Subject> {
  const routes: Routes = {
    'GET /v1/models': modelList('m'),
    'POST /v1/chat/completions': complete,
    'POST /v1/completions': complete,
  }
  const upstream = await startTestUpstream(routes)
  cleanUps.push(() => upstream.stop())
  const engine = new UpstreamEngine(
    { clock, log: silentLog, random: systemRandom },
    {
      name: 'box',
      url: upstream.url,
      apiKey: 'sk-very-secret',
      connectTimeoutMs: 5_000,
      idleTimeoutMs: 30_000,
    },
  )
  await engine.start({ signal })
  cleanUps.push(() => engine.stop())
  const [model] = engine.models()
  assert.ok(model !== undefined)
  return { upstream, engine, model }
}

function chat(fields: Partial<CompletionRequest> = {}): CompletionRequest {
  return {
    ...emptyRequest,
    kind: 'chat',
    model: 'm',
    messages: [{ role: 'user', content: [{ type: 'text', text: 'What is up?' }] }],
    unknown: { api: 'openai', fields: {} },
    ...fields,
  }
}

async function eventsOf(
  model: EngineModel,
  request: CompletionRequest = chat(),
): Promise<GenerationEvent[]> {
  const events: GenerationEvent[] = []
  for await (const event of model.generate(request, { seed: 1n, signal })) events.push(event)
  assertGrammar(events, request.choiceCount)
  return events
}

async function failureOf(
  model: EngineModel,
  request: CompletionRequest = chat(),
): Promise<OperationError> {
  try {
    await eventsOf(model, request)
  } catch (error) {
    assert.ok(error instanceof OperationError, `an OperationError, not ${String(error)}`)
    assert.doesNotMatch(error.message, /sk-very-secret|What is up/)
    return error
  }
  throw new assert.AssertionError({ message: 'The upstream was expected to fail' })
}

const delta = (fields: object, rest: object = {}): object => ({
  id: 'c1',
  choices: [{ index: 0, delta: fields, ...rest }],
})
const stopped = delta({}, { finish_reason: 'stop' })
const usage = { choices: [], usage: { prompt_tokens: 5, completion_tokens: 2 } }

/** Replies with these events, and ends. */
function replying(...data: readonly unknown[]): Route {
  return exchange => {
    exchange.events(...data)
    exchange.response.end()
  }
}

/** Replies with this text as it is, and ends. */
function writing(text: string): Route {
  return exchange => {
    exchange.write(text)
    exchange.response.end()
  }
}

function textsOf(events: readonly GenerationEvent[], kind = 'text'): string {
  return events
    .filter(event => event.type === 'text')
    .filter(event => event.kind === kind)
    .map(event => event.text)
    .join('')
}

describe('UpstreamEngine generate() reads', () => {
  it('text and usage, in whatever pieces the events come', async () => {
    const { model, upstream } = await start(
      replying(delta({ role: 'assistant', content: '' }), delta({ content: 'Hi' }), stopped, {
        ...usage,
        usage: { ...usage.usage, prompt_tokens_details: { cached_tokens: 3 } },
      }),
    )
    const events = await eventsOf(model)
    assert.deepEqual(events, [
      { type: 'start' },
      { type: 'text', choice: 0, kind: 'text', text: 'Hi' },
      { type: 'finish', choice: 0, reason: 'stop' },
      {
        type: 'usage',
        usage: { promptTokens: 5, cachedTokens: 3, completionTokens: 2, reasoningTokens: 0 },
      },
    ])
    const asked = upstream.received.at(-1)
    assert.equal(asked?.headers.authorization, 'Bearer sk-very-secret')
    assert.deepEqual(asked?.body, {
      model: 'm',
      stream: true,
      stream_options: { include_usage: true },
      messages: [{ role: 'user', content: 'What is up?' }],
    })
  })

  it('events without a space, with comments, CRLF and no blank line at the end', async () => {
    const { model } = await start(
      writing(
        `: keep-alive\r\n\r\ndata:${JSON.stringify(delta({ content: 'é😀' }))}\r\n\r\n` +
          `event: message\r\ndata: ${JSON.stringify(stopped)}\r\n\r\n:\n\ndata: [DONE]`,
      ),
    )
    assert.equal(textsOf(await eventsOf(model)), 'é😀')
  })

  it('usage on the last chunk with choices, and on a choice', async () => {
    for (const last of [
      { ...stopped, usage: usage.usage },
      delta({}, { finish_reason: 'stop', usage: usage.usage }),
    ]) {
      const { model } = await start(replying(delta({ content: 'Hi' }), last, '[DONE]'))
      const end = (await eventsOf(model)).at(-1)
      assert.ok(end?.type === 'usage')
      assert.equal(end.usage.promptTokens, 5)
    }
  })

  it('an answer without usage, which it estimates', async () => {
    const { model } = await start(replying(delta({ content: 'Hi there.' }), stopped, '[DONE]'))
    const end = (await eventsOf(model)).at(-1)
    assert.ok(end?.type === 'usage')
    assert.ok(end.usage.completionTokens > 0 && end.usage.promptTokens > 0)
  })

  it('reasoning under either name, once when it comes under both', async () => {
    const { model } = await start(
      replying(
        delta({ reasoning_content: 'a' }),
        delta({ reasoning: 'b' }),
        delta({ reasoning: 'c', reasoning_content: 'c' }),
        delta({ content: 'd', refusal: 'e' }),
        stopped,
      ),
    )
    const events = await eventsOf(model)
    assert.equal(textsOf(events, 'reasoning'), 'abc')
    assert.equal(textsOf(events), 'd')
    assert.equal(textsOf(events, 'refusal'), 'e')
  })

  it('log-probabilities of chat and of completions', async () => {
    const { model } = await start(exchange => {
      const isChat = exchange.route.endsWith('/chat/completions')
      const logprobs = isChat
        ? {
            content: [
              {
                token: 'Hi',
                logprob: -0.25,
                bytes: null,
                top_logprobs: [
                  { token: 'Ho', logprob: -2, bytes: [72, 111] },
                  { token: 'Hi', logprob: -0.25, bytes: [72, 105] },
                ],
              },
            ],
          }
        : { tokens: ['Hi'], token_logprobs: [-0.25], top_logprobs: [{ Ho: -2, Hi: -0.25 }] }
      const choice = isChat ? { delta: { content: 'Hi' } } : { text: 'Hi' }
      replying({ choices: [{ index: 0, ...choice, logprobs }] }, stopped)(exchange)
    })
    const expected = {
      token: 'Hi',
      bytes: [72, 105],
      logprob: -0.25,
      top: [
        { token: 'Hi', bytes: [72, 105], logprob: -0.25 },
        { token: 'Ho', bytes: [72, 111], logprob: -2 },
      ],
    }
    const text = chat({ kind: 'text', messages: [], prompt: 'Say hi', topLogprobs: 2 })
    for (const request of [chat({ topLogprobs: 2 }), text]) {
      const found = (await eventsOf(model, request)).find(event => event.type === 'text')
      assert.deepEqual(found?.logprobs, [expected])
    }
  })

  it('a whole completion from a server that does not stream', async () => {
    const message = { role: 'assistant', content: 'Hi' }
    const { model } = await start(exchange =>
      exchange.json({
        choices: [{ index: 0, message, finish_reason: 'length' }],
        usage: usage.usage,
      }),
    )
    const events = await eventsOf(model)
    assert.equal(textsOf(events), 'Hi')
    assert.deepEqual(events.at(-2), { type: 'finish', choice: 0, reason: 'length' })
  })

  it('vLLM stop reasons as the stop string that ended it', async () => {
    const last = delta({}, { finish_reason: 'stop', stop_reason: '###' })
    const { model } = await start(replying(delta({ content: 'Hi' }), last))
    const events = await eventsOf(model, chat({ stop: ['###'] }))
    const finish = events.find(event => event.type === 'finish')
    assert.equal(finish?.stopSequence, '###')
  })

  it('each event as it comes, not only at the end', async () => {
    const { promise: release, resolve } = Promise.withResolvers<void>()
    const { model } = await start(async exchange => {
      exchange.events(delta({ content: 'first' }))
      await release
      replying(delta({ content: 'second' }), stopped)(exchange)
    })
    const seen: string[] = []
    for await (const event of model.generate(chat(), { seed: 1n, signal })) {
      if (event.type !== 'text') continue
      seen.push(event.text)
      resolve()
    }
    assert.deepEqual(seen, ['first', 'second'])
  })
})

describe('UpstreamEngine generate() fails with', () => {
  it('the status and body of an error reply, and when to retry', async () => {
    const { model } = await start(exchange =>
      exchange.json({ error: { message: 'slow down' } }, 429, { 'retry-after': '7' }),
    )
    const error = await failureOf(model)
    assert.equal(error.code, 'upstream_failed')
    assert.equal(error.retryAfterMs, 7_000)
    assert.ok(error.retryable)
    assert.equal(error.upstream?.status, 429)
    assert.deepEqual(JSON.parse(error.upstream.body), { error: { message: 'slow down' } })
  })

  it('an error page that is no JSON, cut at the limit', async () => {
    const { model } = await start(({ response }) => {
      response.writeHead(502, { 'content-type': 'text/html' })
      response.end('<html>'.padEnd(upstreamErrorBytesMax * 2, 'x'))
    })
    const error = await failureOf(model)
    assert.equal(error.upstream?.status, 502)
    assert.equal(error.upstream.contentType, 'text/html')
    assert.equal(error.upstream.body.length, upstreamErrorBytesMax)
  })

  it('context_length_exceeded and both numbers, as each server tells them', async () => {
    const says = [
      {
        code: 400,
        message: 'request (5000 tokens) exceeds the available context size (4096 tokens)',
        type: 'exceed_context_size_error',
        n_prompt_tokens: 5000,
        n_ctx: 4096,
      },
      {
        message:
          "This model's maximum context length is 4096 tokens. However, your messages " +
          'resulted in 5000 tokens.',
        code: 'context_length_exceeded',
      },
      {
        message:
          "This model's maximum context length is 4096 tokens. However, you requested 5100 " +
          'tokens (5000 in the messages, 100 in the completion).',
      },
      { message: contextLengthExceeded(5_000, 4_096).message, code: 'context_length_exceeded' },
    ]
    for (const error of says) {
      const { model } = await start(exchange => exchange.json({ error }, 400))
      const failure = await failureOf(model)
      assert.equal(failure.code, 'context_length_exceeded')
      assert.match(failure.message, /holds 4096 .* has 5000/)
      assert.equal(failure.upstream?.status, 400)
    }
  })

  it('upstream_failed when the stream is cut off', async () => {
    const cuts: Route[] = [
      replying(delta({ content: 'Hi' })),
      ({ response, events }) => {
        events(delta({ content: 'Hi' }))
        response.on('drain', () => undefined)
        setImmediate(() => response.destroy())
      },
      writing(`data: {"choices":[{"index":0,"del`),
      replying('[DONE]'),
    ]
    for (const cut of cuts) {
      const { model } = await start(cut)
      assert.equal((await failureOf(model)).code, 'upstream_failed')
    }
  })

  it('the error that comes in the middle of a stream', async () => {
    const error = { message: 'out of memory', code: 503 }
    const middles: Route[] = [
      replying(delta({ content: 'Hi' }), { error }),
      replying(delta({ content: 'Hi' }), { object: 'error', ...error }),
      writing(`event: error\ndata: ${JSON.stringify({ error })}\n\n`),
    ]
    for (const middle of middles) {
      const { model } = await start(middle)
      const failure = await failureOf(model)
      assert.equal(failure.code, 'upstream_failed')
      assert.equal(failure.upstream?.status, 503)
      assert.match(failure.upstream.body, /out of memory/)
    }
  })

  it('upstream_failed for malformed JSON, huge events and choices nobody asked for', async () => {
    const wrongs: Route[] = [
      writing('data: {oops\n\n'),
      writing(`data: "${'x'.repeat(upstreamEventBytesMax)}`),
      replying({ choices: [{ index: 7, delta: { content: 'Hi' } }] }),
      replying({ choices: [{ index: -1, delta: { content: 'Hi' } }] }),
    ]
    for (const wrong of wrongs) {
      const { model } = await start(wrong)
      assert.equal((await failureOf(model)).code, 'upstream_failed')
    }
  })

  it('upstream_failed when choices are missing', async () => {
    const { model } = await start(replying(delta({ content: 'Hi' }), stopped))
    const failure = await failureOf(model, chat({ choiceCount: 2 }))
    assert.match(failure.message, /1 of 2 choices/)
  })

  it('upstream_unreachable and the name of an upstream that went away', async () => {
    const { model, upstream } = await start(replying(stopped))
    await upstream.stop()
    const failure = await failureOf(model)
    assert.equal(failure.code, 'upstream_unreachable')
    assert.ok(failure.message.includes('box') && failure.message.includes(upstream.url))
  })

  it('upstream_timeout when nothing comes, before the reply and within', async () => {
    for (const begins of [false, true]) {
      const clock = new VirtualClock()
      const { promise: silent, resolve } = Promise.withResolvers<Exchange | undefined>()
      const { model } = await start(exchange => {
        if (begins) exchange.events(delta({ content: 'Hi' }))
        else resolve(exchange)
      }, clock)
      const reading = (async () => {
        for await (const event of model.generate(chat(), { seed: 1n, signal })) {
          // The next read begins in the same turn, so the timer runs when this one has ended.
          if (event.type === 'text') setImmediate(() => resolve(undefined))
        }
      })()
      const failed = assert.rejects(reading, { code: 'upstream_timeout' })
      await silent
      clock.advance(29_999)
      clock.advance(1)
      await failed
    }
  })
})

describe('UpstreamEngine', () => {
  it('closes the connection to the upstream as soon as the client is gone', hangs, async () => {
    for (const begins of [false, true]) {
      const { promise: asked, resolve } = Promise.withResolvers<Exchange>()
      const { model, engine } = await start(exchange => {
        if (begins) exchange.events(delta({ content: 'Hi' }))
        resolve(exchange)
      })
      const controller = new AbortController()
      const gone = new Error('client gone')
      const reading = assert.rejects(async () => {
        const options = { seed: 1n, signal: controller.signal }
        for await (const event of model.generate(chat(), options)) assert.ok(event)
      }, gone)
      const exchange = await asked
      controller.abort(gone)
      await reading
      await exchange.cutOff
      assert.equal(engine.load().running, 0)
    }
  })

  it('closes the connection when its reader walks away', hangs, async () => {
    const { promise: asked, resolve } = Promise.withResolvers<Exchange>()
    const { model } = await start(exchange => {
      exchange.events(delta({ content: 'Hi' }))
      resolve(exchange)
    })
    for await (const event of model.generate(chat(), { seed: 1n, signal })) {
      if (event.type === 'text') break
    }
    await (await asked).cutOff
  })

  it('asks again without stream_options where they are refused, and remembers that', async () => {
    const { model, upstream } = await start(exchange => {
      if (exchange.body['stream_options'] === undefined) replying(stopped)(exchange)
      else exchange.json({ detail: 'extra fields not permitted: stream_options' }, 422)
    })
    await eventsOf(model)
    await eventsOf(model)
    const asked = upstream.received.filter(({ route }) => route.startsWith('POST'))
    assert.deepEqual(
      asked.map(({ body }) => body['stream_options'] !== undefined),
      [true, false, false],
    )
  })

  it('asks once more when a kept connection turns out to be closed', async () => {
    let count = 0
    const { model } = await start(exchange => {
      count += 1
      if (count === 1) exchange.response.destroy()
      else replying(delta({ content: 'Hi' }), stopped)(exchange)
    })
    assert.equal(textsOf(await eventsOf(model)), 'Hi')
    assert.equal(count, 2)
  })

  it('stop() leaves no connection open, and ends what runs with draining', hangs, async () => {
    const { model, engine, upstream } = await start(exchange =>
      exchange.events(delta({ content: 'Hi' })),
    )
    const events = model.generate(chat(), { seed: 1n, signal })[Symbol.asyncIterator]()
    await events.next()
    assert.ok(upstream.openConnections() > 0)
    await engine.stop()
    await assert.rejects(
      async () => {
        while (!(await events.next()).done);
      },
      error => error instanceof OperationError && error.code === 'draining',
    )
    await upstream.idle()
    await assert.rejects(eventsOf(model), /not in use/)
  })
})

after(() => assert.deepEqual(cleanUps, []))
