import assert from 'node:assert/strict'
import { describe, it, type TestContext } from 'node:test'
import { FakeEngine } from '../../src/engine/fake/fake-engine.ts'
import { Gate } from '../../src/engine/fake/gate.ts'
import { VirtualClock } from '../../src/std/clock.ts'
import { post, startNode, type TestNodeOptions } from './test-node.ts'

interface Answer {
  readonly status: number
  readonly source: string | null
  readonly cacheStatus: string | null
  readonly reason: string | null
  readonly key: string | null
  readonly age: string | null
  readonly body: string
}

const hello = { model: 'fake', messages: [{ role: 'user', content: 'hello' }] }

async function start(test: TestContext, options: Omit<TestNodeOptions, 'engine' | 'fake'> = {}) {
  const gate = new Gate(Number.POSITIVE_INFINITY)
  const engine = new FakeEngine({ pace: () => gate.pass() })
  const node = await startNode(test, { engine, ...options })
  const ask = async (
    headers: { readonly [name: string]: string } = {},
    body: object = hello,
    path = '/v1/chat/completions',
  ): Promise<Answer> => {
    const reply = await post(`${node.url}${path}`, body, headers)
    const header = (name: string): string | null => reply.headers.get(name)
    return {
      status: reply.status,
      source: header('x-hyperspace-source'),
      cacheStatus: header('cache-status'),
      reason: header('x-hyperspace-reason'),
      key: header('x-hyperspace-key'),
      age: header('age'),
      body: await reply.text(),
    }
  }
  return { node, engine, ask }
}

const textOf = ({ body }: Answer): string => JSON.parse(body).choices[0].message.content

describe('Cache-Control of a request', () => {
  it('only-if-cached: 504 in the shape of the API without an entry, else the entry', async test => {
    const { engine, ask } = await start(test)
    const only = { 'cache-control': 'only-if-cached' }
    const prompts: readonly (readonly [string, object])[] = [
      ['/v1/chat/completions', hello],
      ['/v1/chat/completions', { ...hello, stream: true }],
      ['/v1/completions', { model: 'fake', prompt: 'hello' }],
      ['/v1/responses', { model: 'fake', input: 'hello' }],
      ['/v1/messages', { ...hello, max_tokens: 900 }],
      ['/api/chat', hello],
      ['/api/generate', { model: 'fake', prompt: 'hello' }],
    ]
    for (const [path, body] of prompts) {
      const answer = await ask(only, body, path)
      assert.equal(answer.status, 504, path)
      assert.equal(answer.reason, 'cache_miss')
      assert.match(answer.body, /Not in the cache \(only-if-cached\): no entry for this request/)
    }
    assert.equal(engine.generationCount, 0)
    const original = await ask()
    const cached = await ask(only)
    assert.equal(cached.source, 'memory')
    assert.equal(textOf(cached), textOf(original))
    const contradiction = await ask({ 'cache-control': 'no-cache, only-if-cached' })
    assert.equal(contradiction.status, 504)
    assert.equal(engine.generationCount, 1)
  })

  it('no-store: answered alone, neither from the cache nor for it', async test => {
    const { engine, ask, node } = await start(test)
    for (let round = 1; round <= 2; round++) {
      const answer = await ask({ 'cache-control': 'no-store' })
      assert.match(answer.cacheStatus ?? '', /^hyperspace; fwd=bypass/)
      assert.equal(answer.reason, 'the client asked not to store (no-store)')
      assert.equal(engine.generationCount, round)
    }
    assert.equal((await ask()).source, 'engine')
    assert.equal((await ask({ 'cache-control': 'no-store' })).source, 'engine')
    assert.equal(engine.generationCount, 4)
    const { bypasses, misses } = node.node.status().cache
    assert.deepEqual([bypasses, misses], [3, 1])
  })

  it('no-cache: answered anew, and that answer is what others get', async test => {
    const clock = new VirtualClock()
    const { engine, ask } = await start(test, { clock })
    await ask()
    clock.advance(60_000)
    assert.equal((await ask()).age, '60')
    const fresh = await ask({ 'cache-control': 'no-cache' })
    assert.equal(fresh.source, 'engine')
    assert.match(fresh.reason ?? '', /no-cache/)
    assert.equal(engine.generationCount, 2)
    const next = await ask()
    assert.deepEqual([next.source, next.age], ['memory', '0'])
  })

  it('max-age: an older entry is no answer', async test => {
    const clock = new VirtualClock()
    const { engine, ask } = await start(test, { clock })
    await ask()
    clock.advance(10_000)
    assert.equal((await ask({ 'cache-control': 'max-age=10' })).source, 'memory')
    assert.equal((await ask({ 'cache-control': 'MAX-AGE="10", x=y' })).source, 'memory')
    const stale = await ask({ 'cache-control': 'max-age=9, only-if-cached' })
    assert.equal(stale.status, 504)
    assert.match(stale.body, /the entry is 10 s old, older than max-age/)
    assert.equal((await ask({ 'cache-control': 'max-age=9' })).source, 'engine')
    assert.equal(engine.generationCount, 2)
    assert.equal((await ask({ 'cache-control': 'max-age=0' })).source, 'memory')
  })

  it('that makes no sense gets 400 where it has a number, else is ignored', async test => {
    const { ask } = await start(test)
    for (const value of ['max-age=soon', 'max-age=-1', 'max-age=', 'max-age=1e3']) {
      const answer = await ask({ 'cache-control': value })
      assert.equal(answer.status, 400, value)
      assert.match(answer.body, /max-age/)
    }
    for (const value of ['', ',,,', 'public', '=', 'no-transform, stale-if-error=5']) {
      assert.equal((await ask({ 'cache-control': value })).status, 200, value)
    }
  })
})

describe('x-hyperspace-sample', () => {
  it('draws another answer, which is cached like the first', async test => {
    const { engine, ask } = await start(test)
    const plain = await ask()
    const draws: Answer[] = []
    for (let sample = 0; sample < 6; sample++) {
      draws.push(await ask({ 'x-hyperspace-sample': String(sample) }))
    }
    assert.equal(draws[0]?.source, 'memory', 'sample 0 is what everybody gets')
    assert.equal(engine.generationCount, 6)
    assert.equal(new Set(draws.map(({ key }) => key)).size, 6)
    assert.ok(new Set(draws.map(textOf)).size > 1, 'some draw differs')
    const again = await ask({ 'x-hyperspace-sample': '4' })
    assert.equal(again.source, 'memory')
    assert.equal(textOf(again), textOf(draws[4] ?? plain))
  })

  it('of a wrong form gets 400 naming it', async test => {
    const { ask } = await start(test)
    for (const value of ['-1', '1.5', 'x', '1000001', '', '1, 2', '99999999999999999999']) {
      const answer = await ask({ 'x-hyperspace-sample': value })
      assert.equal(answer.status, 400, value)
      assert.match(answer.body, /x-hyperspace-sample/)
    }
  })
})

describe('x-hyperspace-scope and --sampled', () => {
  it('a request may narrow its scope, not widen it', async test => {
    const { ask } = await start(test)
    assert.equal((await ask({ 'x-hyperspace-scope': 'local' })).status, 200)
    for (const scope of ['public', 'swarm', '']) {
      assert.equal((await ask({ 'x-hyperspace-scope': scope })).status, 400, scope)
    }
  })

  it('--sampled skip leaves out what is drawn at random, and nothing else', async test => {
    const { engine, ask } = await start(test, { flags: { sampled: 'skip' } })
    for (let round = 0; round < 2; round++) {
      const answer = await ask()
      assert.match(answer.reason ?? '', /--sampled skip/)
    }
    assert.equal((await ask({ 'cache-control': 'only-if-cached' })).status, 504)
    assert.equal(engine.generationCount, 2)
    await ask({}, { ...hello, temperature: 0 })
    assert.equal((await ask({}, { ...hello, temperature: 0 })).source, 'memory')
  })
})
