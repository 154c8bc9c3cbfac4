import assert from 'node:assert/strict'
import { once } from 'node:events'
import { get, type IncomingMessage } from 'node:http'
import { describe, it, type TestContext } from 'node:test'
import { createTestCache, testSecret } from '../cache/test-cache.ts'
import { silentLog } from '../interface/log.ts'
import { drainTimeoutMs, MiB } from '../limits.ts'
import type { VirtualClock } from '../std/clock.ts'
import { systemRandom } from '../std/random.ts'
import { Answerer } from './answer.ts'
import type { PlainEndpoint } from './endpoint.ts'
import { Guard } from './guard.ts'
import { HttpServer } from './http-server.ts'
import { Router } from './router.ts'

/** Far more than the buffers of a loopback connection hold. */
const largeBytes = 64 * MiB

async function startServer(
  test: TestContext,
  handle: PlainEndpoint['handle'],
): Promise<{ readonly server: HttpServer; readonly url: string; readonly clock: VirtualClock }> {
  const cache = createTestCache()
  const parts = { ...cache, random: systemRandom, log: silentLog }
  const router = new Router()
  const encodeError = (): string => 'failed'
  router.add('GET', '/', { kind: 'plain', api: 'other', access: 'nobody', encodeError, handle })
  const guard = new Guard({
    apiKeys: [],
    allowOrigins: [],
    nodeSecret: testSecret,
    isLoopback: true,
  })
  const answerer = new Answerer(parts, cache.options)
  const server = new HttpServer(
    { ...parts, guard, router, answerer },
    { host: '127.0.0.1', port: 0, adminToken: 'admin' },
  )
  await server.start()
  test.after(() => {
    server.abort()
    return server.stop()
  })
  return { server, url: `http://127.0.0.1:${server.address.port}/`, clock: cache.clock }
}

async function responseOf(url: string): Promise<IncomingMessage> {
  const [message]: (IncomingMessage | undefined)[] = await once(
    get(url, { agent: false }),
    'response',
  )
  assert.ok(message !== undefined)
  return message
}

/** An endpoint that answers only when its client is cut off. */
function hanging(): {
  readonly reached: Promise<void>
  readonly handle: PlainEndpoint['handle']
} {
  const reached = Promise.withResolvers<void>()
  return {
    reached: reached.promise,
    handle: async ({ signal }) => {
      reached.resolve()
      await once(signal, 'abort')
      signal.throwIfAborted()
      return { body: '' }
    },
  }
}

describe('HttpServer.stop()', () => {
  it('lets a slow client read its reply to the end', async test => {
    const { server, url } = await startServer(test, () => ({ body: Buffer.alloc(largeBytes) }))
    const message = await responseOf(url)
    const stopped = server.stop()
    let length = 0
    for await (const chunk of message) length += chunk.length
    assert.equal(length, largeBytes)
    await stopped
    assert.equal(server.runningCount, 0)
  })

  it('cuts what still runs at the drain deadline, not before', async test => {
    const { reached, handle } = hanging()
    const { server, url, clock } = await startServer(test, handle)
    const failed = assert.rejects(responseOf(url), { code: 'ECONNRESET' })
    await reached
    const stopped = server.stop()
    clock.advance(drainTimeoutMs - 1)
    assert.equal(server.runningCount, 1)
    clock.advance(1)
    await Promise.all([stopped, failed])
    assert.equal(server.runningCount, 0)
  })

  it('ends at once when it is aborted', async test => {
    const { reached, handle } = hanging()
    const { server, url } = await startServer(test, handle)
    const failed = assert.rejects(responseOf(url), { code: 'ECONNRESET' })
    await reached
    const stopped = server.stop()
    server.abort()
    await Promise.all([stopped, failed])
  })

  it('takes no new connections', async test => {
    const { server, url } = await startServer(test, () => ({ body: 'here' }))
    const message = await responseOf(url)
    message.resume()
    await once(message, 'end')
    await server.stop()
    await assert.rejects(responseOf(url), { code: 'ECONNREFUSED' })
  })
})
