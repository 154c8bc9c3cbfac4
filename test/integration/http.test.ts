import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { Gate } from '../../src/engine/fake/gate.ts'
import { bodyBytesMax, bodyDepthMax } from '../../src/limits.ts'
import { httpText, RawConnection } from '../support/raw-connection.ts'
import { modelList, startTestUpstream } from '../support/test-upstream.ts'
import { post, startNode, type TestNode } from './test-node.ts'

const chat = (content: string, more: object = {}): object => ({
  model: 'fake',
  messages: [{ role: 'user', content }],
  ...more,
})
const completionPaths = [
  '/v1/chat/completions',
  '/v1/completions',
  '/v1/responses',
  '/v1/messages',
  '/api/chat',
  '/api/generate',
]
const bodyPaths = [...completionPaths, '/v1/messages/count_tokens', '/v1/embeddings', '/api/show']

const startFake = (test: TestContext): Promise<TestNode> => startNode(test, { fake: {} })

/** The message of an error, in whichever shape the path's API has it. */
async function messageOf(path: string, reply: Response): Promise<string> {
  const body = JSON.parse(await reply.text())
  if (path.startsWith('/api/')) return String(body.error)
  if (path.startsWith('/v1/messages')) assert.equal(body.type, 'error')
  return String(body.error.message)
}

describe('errors of an upstream', () => {
  it('are JSON, and say so, when the upstream’s are a web page', async test => {
    const upstream = await startTestUpstream({
      'GET /v1/models': modelList('fake'),
      'POST /v1/chat/completions': ({ response }) => {
        response.writeHead(500, { 'content-type': 'text/html' })
        response.end('<h1>Out of order</h1>')
      },
    })
    test.after(() => upstream.stop())
    const { url } = await startNode(test, { flags: { upstream: [upstream.url] } })
    for (const path of ['/v1/chat/completions', '/api/chat']) {
      const reply = await post(`${url}${path}`, chat('hello'))
      assert.equal(reply.status, 500)
      assert.equal(reply.headers.get('content-type'), 'application/json')
      assert.match(await messageOf(path, reply), /answered 500/)
    }
  })
})

describe('failures of the engine', () => {
  for (const stream of [false, true]) {
    it(`are in the log and counted, ${stream ? 'after' : 'before'} the head of the reply`, async test => {
      const node = await startFake(test)
      const question = '/fail-late with my secret'
      const reply = await post(`${node.url}/v1/chat/completions`, chat(question, { stream }))
      assert.equal(reply.status, stream ? 200 : 500)
      assert.match(await reply.text(), /"code":"engine_failed"/)
      const metrics = await (await fetch(`${node.url}/metrics`)).text()
      assert.match(metrics, /hyperspace_failures_total\{code="engine_failed"\} 1\n/)
      await node.stop()
      const log = readFileSync(join(node.data, 'logs', 'node.log'), 'utf8')
      assert.match(log, /"engine_failed".*"request failed"/)
      assert.doesNotMatch(log, /my secret/)
    })
  }
})

describe('bodies that cannot be read', () => {
  it('get 400 in the shape of their API, without an echo', async test => {
    const { url } = await startFake(test)
    const secret = 'my-private-words'
    const bodies = [
      `{"model": "fake", "${secret}": tru}`,
      `{"model": "${secret}`,
      `["${secret}"]`,
      `"${secret}"`,
      '',
      'null',
      '\u{feff}{}',
      `{"a":${'['.repeat(bodyDepthMax + 1)}${']'.repeat(bodyDepthMax + 1)}}`,
    ]
    for (const path of bodyPaths) {
      for (const body of bodies) {
        const reply = await post(`${url}${path}`, body)
        const message = await messageOf(path, reply)
        assert.equal(reply.status, 400, `${path} ${body}: ${message}`)
        assert.ok(message.length > 10 && !message.includes(secret), message)
        assert.equal(reply.headers.get('x-should-retry'), 'false')
      }
    }
  })

  it('get 413 before they have come, and after when their size was not told', async test => {
    const { url } = await startFake(test)
    const declared = await RawConnection.open(url)
    const headers = { 'content-length': String(bodyBytesMax + 1) }
    declared.write(httpText('POST /v1/messages', { headers }))
    assert.match(await declared.closed(), /^HTTP\/1\.1 413 .*"request_too_large"/s)

    const chunked = await RawConnection.open(url)
    chunked.write(
      httpText('POST /v1/chat/completions', { headers: { 'transfer-encoding': 'chunked' } }),
    )
    const chunk = Buffer.alloc(1024 * 1024, ' ')
    for (let sent = 0; sent <= bodyBytesMax; sent += chunk.length) {
      chunked.write(`${chunk.length.toString(16)}\r\n`)
      chunked.write(chunk)
      chunked.write('\r\n')
    }
    assert.match((await chunked.received(/\}$/)) ?? '', /^HTTP\/1\.1 413 /)
    assert.equal((await post(`${url}/v1/chat/completions`, chat('still there?'))).status, 200)
  })

  it('count as gone when their client leaves half-way', async test => {
    const { url, node } = await startFake(test)
    for (const path of bodyPaths) {
      const connection = await RawConnection.open(url)
      const headers = { 'content-length': '100' }
      connection.write(httpText(`POST ${path}`, { headers, body: '{"model":' }))
      connection.end()
      await connection.closed()
    }
    // A second connection is accepted after the first ones: their requests have ended by then.
    assert.equal((await fetch(`${url}/health`)).status, 200)
    assert.equal(node.status().requestsRunning, 0)
  })
})

describe('paths and methods', () => {
  it('unknown paths get 404, other methods 405 with those there are', async test => {
    const { url } = await startFake(test)
    const unknown = ['/v2', '/v1', '/v1/chat', '/v1/messages/x', '/api/x', '/%', '/..%2f..%2fetc']
    for (const path of unknown) {
      const reply = await fetch(`${url}${path}`)
      assert.equal(reply.status, 404, path)
      assert.ok((await messageOf(path, reply)).includes(path))
    }
    for (const path of bodyPaths) {
      for (const method of ['GET', 'PUT', 'DELETE', 'PATCH']) {
        const reply = await fetch(`${url}${path}`, { method })
        assert.equal(reply.status, 405, `${method} ${path}`)
        assert.equal(reply.headers.get('allow'), 'POST')
        assert.match(await messageOf(path, reply), new RegExp(`does not take ${method}`))
      }
    }
    const models = await fetch(`${url}/v1/models`, { method: 'POST' })
    assert.equal(models.status, 405)
    assert.equal(models.headers.get('allow'), 'GET, HEAD')
  })

  it('HEAD says what GET would, without a body', async test => {
    const { url } = await startFake(test)
    for (const path of ['/', '/health', '/v1/models', '/api/tags', '/version', '/none']) {
      const got = await fetch(`${url}${path}`)
      const head = await fetch(`${url}${path}`, { method: 'HEAD' })
      assert.equal(head.status, got.status, path)
      assert.equal(head.headers.get('content-length'), got.headers.get('content-length'), path)
      assert.ok((await got.text()).length > 0)
      assert.equal(await head.text(), '')
    }
  })
})

describe('web pages', () => {
  it('of loopback may call, after a preflight; others may not', async test => {
    const { url } = await startFake(test)
    const path = `${url}/v1/chat/completions`
    const asks = {
      'access-control-request-method': 'POST',
      'access-control-request-headers': 'authorization,content-type,x-stainless-os',
    }
    const own = { origin: 'http://localhost:3000' }
    const preflight = await fetch(path, { method: 'OPTIONS', headers: { ...own, ...asks } })
    assert.equal(preflight.status, 204)
    const allow = (name: string) => preflight.headers.get(`access-control-allow-${name}`)
    assert.equal(allow('origin'), own.origin)
    assert.match(allow('methods') ?? '', /\bPOST\b/)
    assert.equal(allow('headers'), asks['access-control-request-headers'])
    const reply = await post(path, chat('hello'), own)
    assert.equal(reply.status, 200)
    assert.equal(reply.headers.get('access-control-allow-origin'), own.origin)
    assert.equal(reply.headers.get('vary'), 'origin')

    for (const origin of ['https://evil.example', 'http://localhost.evil.example', 'null']) {
      const refused = await fetch(path, { method: 'OPTIONS', headers: { origin, ...asks } })
      assert.equal(refused.status, 403, origin)
      assert.equal(refused.headers.get('access-control-allow-origin'), null)
      assert.equal((await post(path, chat('hello'), { origin })).status, 403)
    }
  })

  it('that --allow-origin names may call', async test => {
    const flags = { allowOrigin: ['https://app.example'] }
    const { url } = await startNode(test, { fake: {}, flags })
    const path = `${url}/v1/chat/completions`
    assert.equal((await post(path, chat('x'), { origin: 'https://app.example' })).status, 200)
    assert.equal((await post(path, chat('x'), { origin: 'https://other.example' })).status, 403)
  })

  it('cannot reach the node under a name of their own (DNS rebinding)', async test => {
    const { url } = await startFake(test)
    const statusFor = async (host: string): Promise<string | undefined> => {
      const connection = await RawConnection.open(url)
      connection.write(httpText('GET /v1/models', { headers: { host, connection: 'close' } }))
      return /^HTTP\/1\.1 (\d+)/.exec(await connection.closed())?.[1]
    }
    for (const host of ['evil.example', '127.0.0.1.evil.example', '10.0.0.1', 'localhost.evil']) {
      assert.equal(await statusFor(host), '403', host)
    }
    for (const host of ['localhost', 'LOCALHOST:80', '127.0.0.1:1', '[::1]:11500', 'a.localhost']) {
      assert.equal(await statusFor(host), '200', host)
    }
  })
})

describe('connections', () => {
  it('are kept for the next request', async test => {
    const { url } = await startFake(test)
    const connection = await RawConnection.open(url)
    for (let round = 1; round <= 3; round++) {
      const body = JSON.stringify(chat(`round ${round}`))
      connection.write(httpText('POST /v1/chat/completions', { body }))
      const replies = new RegExp(`(HTTP/1.1 200 .*?"chat.completion".*?){${round}}$`, 's')
      assert.ok(await connection.received(replies))
    }
    connection.destroy()
  })

  it('take pipelined requests and answer them in order, streams included', async test => {
    const gate = new Gate()
    const { url } = await startNode(test, { fake: { pace: gate.pass } })
    const connection = await RawConnection.open(url)
    const body = JSON.stringify(chat('slow', { stream: true }))
    const close = { headers: { connection: 'close' } }
    connection.write(
      httpText('POST /v1/chat/completions', { body }) +
        httpText('GET /version') +
        httpText('GET /none', close),
    )
    await gate.whenWaiting(1)
    gate.open()
    const all = await connection.closed()
    const order = [...all.matchAll(/HTTP\/1\.1 (\d+)/g)].map(match => match[1])
    assert.deepEqual(order, ['200', '200', '404'])
    assert.match(all, /text\/event-stream.*\[DONE\].*"name":"hyperspace".*nothing at \/none/s)
  })

  it('survive garbage on others', async test => {
    const { url } = await startFake(test)
    const garbage = [
      'GET\r\n\r\n',
      '\u0000\u0001\u0002\r\n\r\n',
      'GET / HTTP/9.9\r\n\r\n',
      `GET /${'a'.repeat(40_000)} HTTP/1.1\r\nhost: localhost\r\n\r\n`,
      `GET / HTTP/1.1\r\nhost: localhost\r\nx: ${'a'.repeat(40_000)}\r\n\r\n`,
      'POST /v1/messages HTTP/1.1\r\nhost: localhost\r\ncontent-length: -1\r\n\r\n',
      'POST /v1/messages HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n',
      'POST /v1/messages HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n',
      `${httpText('GET /health')}\u0000garbage\r\n\r\n`,
      'GET / HTTP/1.1\r\n\r\n',
    ]
    for (const text of garbage) {
      const connection = await RawConnection.open(url)
      connection.write(text)
      const received = await connection.closed()
      assert.doesNotMatch(received, /^HTTP\/1\.1 5/, JSON.stringify(text.slice(0, 60)))
    }
    assert.equal((await fetch(`${url}/health`)).status, 200)
  })
})
