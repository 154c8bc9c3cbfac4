import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Gate } from '../engine/fake/gate.ts'
import { OperationError } from '../errors.ts'
import type { GenerationEvent } from '../interface/generation.ts'
import { localScope } from '../key/scope.ts'
import { CompletionCollector } from './collect.ts'
import type { PromptPlanner } from './prefix/answer-generation.ts'
import { type Served, type ServeRequest, serveRequest } from './serve-request.ts'
import { ask, createTestCache, question, type TestCache, testSecret } from './test-cache.ts'

async function answerOf(parts: TestCache, served: Served): Promise<string> {
  if (served.outcome === 'hit') return textOfChoice(served.entry.completion.choices[0])
  const collector = new CompletionCollector()
  for await (const event of served.follower.events) collector.add(event)
  const completion = collector.result(served.model.id, served.follower.created)
  await parts.background.drain()
  return textOfChoice(completion?.choices[0])
}

function textOfChoice(choice: { readonly parts: readonly { type: string }[] } | undefined): string {
  return JSON.stringify(choice?.parts)
}

const serve = (parts: TestCache, request: ServeRequest): Served =>
  serveRequest(parts, request, parts.options)

describe('serveRequest()', () => {
  it('answers the second equal request from memory, and from disk after a restart', async () => {
    const parts = createTestCache()
    const first = serve(parts, ask(question('What is a KV cache?')))
    assert.equal(first.outcome, 'miss')
    assert.equal(first.source, 'engine')
    const text = await answerOf(parts, first)
    const second = serve(parts, ask(question('What is a KV cache?')))
    assert.equal(second.outcome, 'hit')
    assert.equal(second.source, 'memory')
    assert.equal(await answerOf(parts, second), text)
    const third = serve(parts.reopened(), ask(question('What is a KV cache?')))
    assert.equal(third.outcome, 'hit')
    assert.equal(await answerOf(parts, third), text)
    assert.equal(parts.engine.generationCount, 1)
  })

  it('gives 2,000 concurrent clients of one key one generation and the same text', async () => {
    const gate = new Gate()
    const parts = createTestCache({ pace: gate.pass })
    const all = Array.from({ length: 2_000 }, () => serve(parts, ask(question('hello'))))
    assert.equal(all.filter(served => served.outcome === 'collapsed').length, 1_999)
    gate.open()
    const texts = new Set(await Promise.all(all.map(served => answerOf(parts, served))))
    assert.equal(texts.size, 1)
    assert.equal(parts.engine.generationCount, 1)
  })

  it('keeps each draw of a sampled answer under its own sample number', async () => {
    const parts = createTestCache()
    await answerOf(parts, serve(parts, ask(question('draw'), { sample: 0 })))
    assert.equal(serve(parts, ask(question('draw'), { sample: 1 })).outcome, 'miss')
    assert.equal(serve(parts, ask(question('draw'), { sample: 0 })).outcome, 'hit')
  })

  it('keeps tenants apart', async () => {
    const parts = createTestCache()
    const scope = localScope(testSecret, 'key of tenant one')
    await answerOf(parts, serve(parts, ask(question('secret plan'), { scope })))
    const other = localScope(testSecret, 'key of tenant two')
    assert.equal(serve(parts, ask(question('secret plan'), { scope: other })).outcome, 'miss')
    assert.equal(serve(parts, ask(question('secret plan'), { scope })).outcome, 'hit')
  })

  it('serves a complete answer to every limit that it fits into', async () => {
    const parts = createTestCache()
    const full = await answerOf(parts, serve(parts, ask(question('limits'))))
    const roomy = serve(parts, ask(question('limits', { maxTokens: 1_000 })))
    assert.equal(roomy.outcome, 'hit')
    assert.equal(await answerOf(parts, roomy), full)
    const tight = serve(parts, ask(question('limits', { maxTokens: 1 })))
    assert.equal(tight.outcome, 'miss')
    assert.match(tight.outcome === 'miss' ? tight.reason : '', /more than the limit of 1/)
    const cut = await answerOf(parts, tight)
    assert.notEqual(cut, full)
    assert.equal(serve(parts, ask(question('limits', { maxTokens: 1 }))).outcome, 'hit')
    assert.equal(serve(parts, ask(question('limits', { maxTokens: 2 }))).outcome, 'miss')
    const again = serve(parts, ask(question('limits')))
    assert.equal(again.outcome, 'hit', 'a cut answer does not replace a complete one')
    assert.equal(await answerOf(parts, again), full)
  })

  it('makes an answer anew that a smaller context cut off', async () => {
    const small = createTestCache({ contextTokens: 12 })
    const cut = await answerOf(small, serve(small, ask(question('contexts'))))
    assert.equal(serve(small.reopened(), ask(question('contexts'))).outcome, 'hit')
    const large = createTestCache({}, { store: small.store })
    const anew = serve(large, ask(question('contexts')))
    assert.match(reasonOf(anew), /cut at the end of a smaller context/)
    assert.ok((await answerOf(large, anew)).length > cut.length)
    assert.equal(serve(large.reopened(), ask(question('contexts'))).outcome, 'hit')
  })

  it('obeys Cache-Control', async () => {
    const parts = createTestCache()
    const once = (control: Partial<ServeRequest['control']>): Served =>
      serve(parts, ask(question('controls'), { control }))
    assert.throws(() => once({ onlyIfCached: true }), { code: 'cache_miss' })
    assert.throws(() => once({ onlyIfCached: true, noStore: true }), { code: 'cache_miss' })
    const unstored = once({ noStore: true })
    assert.equal(unstored.outcome, 'bypass')
    await answerOf(parts, unstored)
    assert.throws(() => once({ onlyIfCached: true }), { code: 'cache_miss' })
    await answerOf(parts, once({}))
    assert.equal(once({ onlyIfCached: true }).outcome, 'hit')
    assert.equal(once({ noStore: true }).outcome, 'bypass')
    parts.clock.advance(61_000)
    assert.equal(once({ maxAgeSeconds: 61 }).outcome, 'hit')
    assert.match(reasonOf(once({ maxAgeSeconds: 60 })), /61 s old/)
    assert.match(reasonOf(once({ noCache: true })), /already|being answered|fresh/)
  })

  it('never serves an expired answer, whatever the clock does', async () => {
    const parts = createTestCache({}, { ttlMs: 60_000 })
    await answerOf(parts, serve(parts, ask(question('time'))))
    parts.clock.jump(-3_600_000)
    assert.equal(serve(parts, ask(question('time'))).outcome, 'hit', 'set back: still young')
    parts.clock.jump(3_600_000)
    parts.clock.advance(60_001)
    const late = serve(parts, ask(question('time')))
    assert.equal(late.outcome, 'miss')
    assert.match(reasonOf(late), /expired|no entry/)
  })

  it('stores nothing of a stream that its last client left', async () => {
    const gate = new Gate(2)
    const parts = createTestCache({ pace: gate.pass })
    const served = serve(parts, ask(question('leave early')))
    assert.ok(served.outcome === 'miss')
    await served.follower.events.next()
    served.follower.leave()
    gate.open()
    await parts.background.drain()
    assert.deepEqual([...parts.store.list()], [])
    assert.equal(serve(parts, ask(question('leave early'))).outcome, 'miss')
  })

  it('stores nothing of a stream that broke off, and tells its clients', async () => {
    const broken = (): never => {
      throw new OperationError('engine_failed', 'out of memory', { origin: 'engine' })
    }
    let tokens = 0
    const parts = createTestCache({
      pace: async () => {
        tokens += 1
        if (tokens > 2) broken()
      },
    })
    await assert.rejects(answerOf(parts, serve(parts, ask(question('break')))), {
      code: 'engine_failed',
    })
    assert.deepEqual([...parts.store.list()], [])
  })

  it('--sampled skip stores greedy answers only', async () => {
    const parts = createTestCache()
    const options = { ...parts.options, sampled: 'skip' as const }
    const sampled = serveRequest(parts, ask(question('x')), options)
    assert.equal(sampled.outcome, 'bypass')
    assert.match(reasonOf(sampled), /--sampled skip/)
    await answerOf(parts, sampled)
    const greedy = question('x', { sampling: { temperature: 0 } })
    await answerOf(parts, serveRequest(parts, ask(greedy), options))
    assert.equal(serveRequest(parts, ask(greedy), options).outcome, 'hit')
  })

  it('asks peers for KV state unless the prompt is private, or the answer is to be fresh', async () => {
    const asked: unknown[] = []
    const prefix: PromptPlanner = {
      async plan({ asksPeers, keeps }) {
        asked.push([asksPeers, keeps])
        return undefined
      },
      partitionOf: () => 'here',
      refuses: () => false,
      noteAnswer: () => undefined,
    }
    const test = createTestCache()
    const parts = { ...test, prefix, options: { ...test.options, sampled: 'skip' as const } }
    const controls = [{}, { noCache: true }, { noStore: true }]
    for (const control of controls)
      await answerOf(parts, serve(parts, ask(question('x'), { control })))
    assert.deepEqual(asked, [
      [true, true],
      [false, true],
      [false, false],
    ])
  })

  it('names the models when the asked one is unknown', () => {
    const parts = createTestCache()
    assert.throws(() => serve(parts, ask(question('x', { model: 'gpt-9' }))), {
      code: 'model_not_found',
      message: /'gpt-9'.*fake/,
    })
  })

  it('replays tool calls, reasoning and log-probabilities as they were', async () => {
    const parts = createTestCache()
    const request = question('weather?', {
      tools: [
        { type: 'function', name: 'weather', parameters: { type: 'object', properties: {} } },
      ],
      toolChoice: { type: 'required' },
      topLogprobs: 2,
    })
    const live: GenerationEvent[] = []
    const first = serve(parts, ask(request))
    assert.ok(first.outcome === 'miss')
    for await (const event of first.follower.events) live.push(event)
    await parts.background.drain()
    const collector = new CompletionCollector()
    for (const event of live) collector.add(event)
    const again = serve(parts.reopened(), ask(request))
    assert.ok(again.outcome === 'hit')
    const expected = collector.result(first.model.id, first.follower.created)
    assert.deepEqual(again.entry.completion, expected)
    assert.ok(again.entry.completion.choices[0]?.parts.some(part => part.type === 'tool-call'))
  })
})

function reasonOf(served: Served): string {
  return served.outcome === 'hit' ? '' : served.reason
}
