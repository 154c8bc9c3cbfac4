import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import fc from 'fast-check'
import { findRunningNode } from '../../src/data-folder.ts'
import type { Json } from '../../src/std/json.ts'
import { startNode, type TestNode } from '../integration/test-node.ts'
import { httpText, RawConnection } from '../support/raw-connection.ts'
import { until } from '../support/until.ts'
import { type Damage, damaged, secret, validBodies } from './bodies.ts'

/** A reply that takes longer is a hang: a fake engine answers in milliseconds. */
const deadlineMs = 10_000
const paths = Object.keys(validBodies)

interface Fuzzed extends TestNode {
  readonly headers: { readonly [name: string]: string }
}

async function startFuzzed(test: TestContext): Promise<Fuzzed> {
  const node = await startNode(test, { fake: { contextTokens: 2_000 } })
  const adminToken = findRunningNode(node.data)?.adminToken
  // Completion endpoints take any key: the token opens the admin API beside them.
  return { ...node, headers: { authorization: `Bearer ${adminToken}` } }
}

interface Sent {
  readonly method?: string
  readonly path: string
  readonly body?: string | Uint8Array<ArrayBuffer>
  readonly headers?: { readonly [name: string]: string }
}

/** Sends it and checks what must hold of every reply. */
async function check(
  node: Fuzzed,
  { method = 'POST', path, body, headers }: Sent,
): Promise<number> {
  const reply = await fetch(`${node.url}${path}`, {
    method,
    headers: { ...node.headers, ...headers },
    signal: AbortSignal.timeout(deadlineMs),
    ...(body === undefined ? {} : { body }),
  })
  const text = await reply.text()
  const { status } = reply
  const isUncached = status === 504 && reply.headers.get('x-hyperspace-reason') === 'cache_miss'
  assert.ok(status < 500 || isUncached, `${status} ${text}`)
  assert.doesNotMatch(text, /The node failed to answer/, 'a stream broke off')
  if (status < 400) return status
  const message = errorMessageOf(path, text)
  assert.ok(message.length > 5, text)
  assert.ok(!text.includes(secret), text)
  return status
}

function errorMessageOf(path: string, text: string): string {
  const value = JSON.parse(text)
  if (path.startsWith('/api/')) {
    assert.deepEqual(Object.keys(value), ['error'])
    return value.error
  }
  if (path.startsWith('/v1/messages')) {
    assert.equal(value.type, 'error')
    assert.ok(typeof value.error.type === 'string' && typeof value.request_id === 'string')
    return value.error.message
  }
  assert.deepEqual(Object.keys(value.error).sort(), ['code', 'message', 'param', 'type'])
  return value.error.message
}

/** The node lives, nothing of ours went wrong in it, and its log keeps what is private. */
async function checkNode(node: Fuzzed, signal: AbortSignal): Promise<void> {
  assert.equal((await fetch(`${node.url}/ready`)).status, 200)
  await until(() => node.node.status().requestsRunning === 0, signal)
  await node.stop()
  const log = readFileSync(join(node.data, 'logs', 'node.log'), 'utf8')
  assert.doesNotMatch(log, /"level":"error"/)
  assert.ok(!log.includes(secret))
}

const anyJson: fc.Arbitrary<Json> = fc
  .oneof(
    { weight: 3, arbitrary: fc.jsonValue({ maxDepth: 4 }) },
    fc.constantFrom<Json>(
      null,
      true,
      '',
      '\u{0}',
      [],
      {},
      [null],
      { type: 'text' },
      { type: null },
    ),
    fc.constantFrom<Json>(-1, 0, -0, 0.5, 1e308, 2 ** 53, -(2 ** 63), 1e-320, 65_536),
    fc.constantFrom<Json>('\ud800', 'a\udfff', '\u{1f600}', '__proto__', 'constructor', '../..'),
    fc.constantFrom<Json>('x'.repeat(100_000), Array(20_000).fill(1), Array(3_000).fill({})),
    fc.dictionary(fc.constantFrom('__proto__', 'toString', '', 'type', 'role'), fc.jsonValue()),
  )
  .map((value): Json => JSON.parse(JSON.stringify(value)))

const damage: fc.Arbitrary<Damage> = fc.oneof(
  fc.record({ type: fc.constant('delete' as const) }),
  { weight: 4, arbitrary: fc.record({ type: fc.constant('replace' as const), value: anyJson }) },
  fc.record({ type: fc.constant('nest' as const), levels: fc.constantFrom(1, 2, 70, 2_000) }),
  fc.record({ type: fc.constant('repeat' as const), count: fc.constantFrom(2, 17, 3_000) }),
)
const turns = fc.array(fc.nat({ max: 60 }), { minLength: 1, maxLength: 6 })

describe('every endpoint', () => {
  it('takes its valid body', async test => {
    const node = await startFuzzed(test)
    for (const path of paths) {
      const body = JSON.stringify(validBodies[path])
      assert.deepEqual([path, await check(node, { path, body })], [path, 200])
    }
    await checkNode(node, test.signal)
  })

  for (const path of paths) {
    it(`${path}: refuses or takes bodies with something wrong in them`, async test => {
      const node = await startFuzzed(test)
      const valid = validBodies[path] ?? {}
      const property = fc.asyncProperty(turns, damage, async (where, what) => {
        await check(node, { path, body: JSON.stringify(damaged(valid, where, what)) ?? '' })
      })
      await fc.assert(property, { numRuns: 60 })
      await checkNode(node, test.signal)
    })
  }

  it('refuses bodies that are something else', async test => {
    const node = await startFuzzed(test)
    const whole = (path: string): string => JSON.stringify(validBodies[path])
    const property = fc.asyncProperty(
      fc.constantFrom(...paths),
      fc.oneof(
        anyJson.map(value => JSON.stringify(value)),
        fc.uint8Array({ maxLength: 300 }).map(bytes => Uint8Array.from(bytes)),
        fc.string({ unit: 'binary', maxLength: 200 }),
        fc.nat({ max: 400 }).map(length => (path: string) => {
          const text = whole(path)
          return text.slice(0, length % text.length)
        }),
        fc.nat({ max: 400 }).map(at => (path: string) => {
          const bytes = Uint8Array.from(Buffer.from(whole(path)))
          bytes[at % bytes.length] = 0xff
          return bytes
        }),
      ),
      async (path, made) => {
        const body = typeof made === 'function' ? made(path) : made
        const status = await check(node, { path, body })
        assert.ok(status >= 400, `${status} for ${JSON.stringify(body)}`)
      },
    )
    await fc.assert(property, { numRuns: 200 })
    await checkNode(node, test.signal)
  })

  it('reads headers with care', async test => {
    const node = await startFuzzed(test)
    const value = fc.oneof(
      fc.string({ unit: fc.constantFrom(...' ,;="0123456789aegmx-'), maxLength: 30 }),
      fc.constantFrom(
        'max-age=99999999999',
        'no-store, no-cache',
        'only-if-cached',
        'x'.repeat(9_000),
      ),
      fc.constantFrom('0', '1000000', '007', '1e3', '\u{e9}', 'local', 'public', 'gzip'),
    )
    const names = ['cache-control', 'x-hyperspace-sample', 'x-hyperspace-scope']
    const others = ['content-type', 'content-encoding', 'accept', 'x-api-key', 'origin', 'expect-x']
    const header = fc.constantFrom(...names, ...others)
    const property = fc.asyncProperty(
      fc.constantFrom(...paths),
      fc.dictionary(header, value, { maxKeys: 3 }),
      async (path, headers) => {
        await check(node, { path, headers, body: JSON.stringify(validBodies[path]) })
      },
    )
    await fc.assert(property, { numRuns: 150 })
    await checkNode(node, test.signal)
  })

  it('finds its way through any path and query', async test => {
    const node = await startFuzzed(test)
    const heads = [
      '/',
      '/v1/models/',
      '/admin/cache/entries/',
      '/admin/cache/entries?limit=',
      '/api/',
    ]
    const property = fc.asyncProperty(
      fc.constantFrom('GET', 'DELETE', 'POST', 'PUT'),
      fc.constantFrom(...heads),
      fc.oneof(
        fc.string({ unit: fc.constantFrom(...'%/.?&=az09~+_-:@'), maxLength: 40 }),
        fc.constantFrom('%', '%ff', '%00', '..%2f..%2fetc', 'a'.repeat(3_000), '-1', '1e9', 'NaN'),
      ),
      async (method, head, rest) => {
        await check(node, { method, path: `${head}${rest}` })
      },
    )
    await fc.assert(property, { numRuns: 200 })
    await checkNode(node, test.signal)
  })

  it('is not led astray by a wrong content-length', async test => {
    const node = await startFuzzed(test)
    const property = fc.asyncProperty(
      fc.constantFrom(...paths),
      fc.oneof(
        fc.integer({ min: 0, max: 2_000 }),
        fc.constantFrom('-5', '1e3', '0x10', '5, 6', ''),
      ),
      async (path, length) => {
        const body = JSON.stringify(validBodies[path])
        const headers = { ...node.headers, 'content-length': String(length), connection: 'close' }
        const connection = await RawConnection.open(node.url)
        connection.write(httpText(`POST ${path}`, { body, headers }))
        connection.end()
        const received = await connection.closed()
        for (const [, status] of received.matchAll(/HTTP\/1\.1 (\d+)/g)) {
          assert.ok(Number(status) < 500, received)
        }
      },
    )
    await fc.assert(property, { numRuns: 60 })
    await checkNode(node, test.signal)
  })
})
