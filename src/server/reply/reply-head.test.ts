import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { serveRequest } from '../../cache/serve-request.ts'
import { ask, createTestCache, question, type TestCache } from '../../cache/test-cache.ts'
import {
  commonHead,
  entryHead,
  type HeadList,
  type Hit,
  hitHead,
  type Live,
  liveHead,
} from './reply-head.ts'

function serve(cache: TestCache, control: object = {}): Hit | Live {
  const asked = ask(question('What is a KV cache?'))
  const request = { ...asked, control: { ...asked.control, ...control } }
  return serveRequest(cache, request, cache.options)
}

async function hitOf(cache: TestCache): Promise<Hit> {
  const first = serve(cache)
  assert.ok(first.outcome === 'miss')
  for await (const _event of first.follower.events);
  await cache.background.drain()
  const second = serve(cache)
  assert.ok(second.outcome === 'hit')
  return second
}

function headersOf(list: HeadList): { readonly [name: string]: string } {
  assert.equal(list.length % 2, 0, 'names and values in turn')
  const { headers } = new Response(null, {
    headers: list.flatMap((name, at) =>
      at % 2 === 0 ? [[name, list[at + 1] ?? ''] as const] : [],
    ),
  })
  return Object.fromEntries(headers)
}

describe('hitHead() and entryHead()', () => {
  it('say where a hit came from, how old it is and how long it stays', async () => {
    const cache = createTestCache({}, { ttlMs: 60_000 })
    const { source, entry, key } = await hitOf(cache)
    cache.clock.advance(2_500)
    const { promptTokens, completionTokens } = entry.completion.usage
    assert.deepEqual(
      headersOf([...entryHead(key, entry), ...hitHead(source, entry, cache.clock.now())]),
      {
        age: '2',
        'cache-status': 'hyperspace; hit; ttl=57; detail=memory',
        'x-cache': 'HIT',
        'x-hyperspace-key': key,
        'x-hyperspace-saved-tokens': String(promptTokens + completionTokens),
        'x-hyperspace-source': 'memory',
      },
    )
  })

  it('stay sane when the clock is set back, or past the end', async () => {
    const cache = createTestCache({}, { ttlMs: 60_000 })
    const { source, entry } = await hitOf(cache)
    cache.clock.jump(-10_000)
    assert.equal(headersOf(hitHead(source, entry, cache.clock.now()))['age'], '0')
    cache.clock.jump(100_000)
    assert.match(
      headersOf(hitHead(source, entry, cache.clock.now()))['cache-status'] ?? '',
      /ttl=0;/,
    )
  })
})

describe('liveHead()', () => {
  const status = (live: Hit | Live): readonly (string | undefined)[] => {
    assert.ok(live.outcome !== 'hit')
    const headers = headersOf(liveHead(live, { cachedTokens: 5 }))
    assert.equal(headers['x-hyperspace-saved-tokens'], '5')
    assert.equal(headers['x-hyperspace-source'], 'engine')
    assert.equal(headers['x-hyperspace-reason'], live.reason)
    return [headers['cache-status'], headers['x-cache']]
  }

  it('says of a miss that it will be stored', () => {
    assert.deepEqual(status(serve(createTestCache())), ['hyperspace; fwd=miss; stored', 'MISS'])
  })

  it('says of a follower that it joined another', () => {
    const cache = createTestCache()
    serve(cache)
    assert.deepEqual(status(serve(cache)), ['hyperspace; fwd=miss; collapsed', 'MISS'])
  })

  it('says of a bypass why', () => {
    const live = serve(createTestCache(), { noStore: true })
    assert.ok(live.outcome === 'bypass')
    assert.deepEqual(status(live), [`hyperspace; fwd=bypass; detail="${live.reason}"`, 'BYPASS'])
  })
})

describe('commonHead()', () => {
  it('carries the id under the names of both APIs, and the time of each phase', () => {
    const phases = [
      { name: 'canonicalise', ms: 0.123_45 },
      { name: 'lookup', ms: 2 },
    ] as const
    assert.deepEqual(headersOf(commonHead('req_1', phases, [])), {
      'request-id': 'req_1',
      'server-timing': 'canonicalise;dur=0.123, lookup;dur=2',
      'x-request-id': 'req_1',
    })
  })

  it('adds warnings in one line', () => {
    const headers = headersOf(commonHead('req_1', [], ['one', 'two']))
    assert.equal(headers['x-hyperspace-warning'], 'one; two')
  })
})
