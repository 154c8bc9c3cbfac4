import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, beforeEach, describe, test } from 'node:test'
import { OperationError } from '../errors.ts'
import { AdminClient } from './admin-client.ts'

/** A server that answers every request in one way and remembers the last one. */
class Scripted {
  readonly #server: Server
  status = 200
  body = '{}'
  last: { method: string; url: string; authorization: string; body: string } | undefined

  constructor() {
    this.#server = createServer(async (message, reply) => {
      this.last = {
        method: message.method ?? '',
        url: message.url ?? '',
        authorization: message.headers.authorization ?? '',
        body: await textOf(message),
      }
      reply.writeHead(this.status, { 'content-type': 'application/json' }).end(this.body)
    })
  }

  async listen(): Promise<string> {
    this.#server.listen(0, '127.0.0.1')
    await once(this.#server, 'listening')
    const { port }: AddressInfo = Object(this.#server.address())
    return `http://127.0.0.1:${port}`
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections()
    this.#server.close()
    await once(this.#server, 'close')
  }
}

async function textOf(message: IncomingMessage): Promise<string> {
  let text = ''
  for await (const chunk of message) text += String(chunk)
  return text
}

let server: Scripted
let client: AdminClient
const { signal } = new AbortController()
beforeEach(async () => {
  server = new Scripted()
  client = new AdminClient({ url: await server.listen(), adminToken: 'token' })
})
afterEach(() => server.close())

function rejectsWith(code: string, message: RegExp): (error: unknown) => boolean {
  return error => {
    assert.ok(error instanceof OperationError, String(error))
    assert.equal(error.code, code)
    assert.match(error.message, message)
    return true
  }
}

describe('AdminClient', () => {
  test('sends the token and the method', async () => {
    await client.shutdown({ signal })
    assert.deepEqual(server.last, {
      method: 'POST',
      url: '/admin/shutdown',
      authorization: 'Bearer token',
      body: '',
    })
  })

  test('escapes whatever a person types as a key', async () => {
    server.body = '{"view": {}}'
    await client.cacheEntry('../status?x#y', { signal })
    assert.equal(server.last?.url, '/admin/cache/entries/..%2Fstatus%3Fx%23y')
  })

  test('answers undefined and false for what is not there', async () => {
    server.status = 404
    server.body = '{"error": {"message": "No entry has this key", "code": "not_found"}}'
    assert.equal(await client.cacheEntry('ab', { signal }), undefined)
    assert.equal(await client.removeCacheEntry('ab', { signal }), false)
  })

  test('says what the node says, with its field', async () => {
    server.status = 400
    server.body = '{"error": {"message": "keys must be", "param": "keys", "code": "x"}}'
    await assert.rejects(client.exportRecords(['k'], { signal }), error => {
      assert.ok(error instanceof OperationError)
      assert.deepEqual([error.code, error.field], ['request_invalid', 'keys'])
      return rejectsWith('request_invalid', /^keys must be$/)(error)
    })
    assert.equal(server.last?.body, '{"keys":["k"]}')
  })

  for (const [status, code] of [
    [401, 'unauthorized'],
    [403, 'forbidden'],
    [500, 'engine_failed'],
  ] as const) {
    test(`takes HTTP ${status} without a body for ${code}`, async () => {
      server.status = status
      server.body = 'not JSON'
      await assert.rejects(
        client.cacheStats({ signal }),
        rejectsWith(code, new RegExp(`${status}`)),
      )
    })
  }

  test('tells another program from a node', async () => {
    server.body = '{"hello": "world"}'
    for (const call of [client.status({ signal }), client.cacheStats({ signal })]) {
      await assert.rejects(call, rejectsWith('node_not_running', /no Hyperspace node/))
    }
  })

  test('says that nobody answers', async () => {
    const gone = new Scripted()
    const url = await gone.listen()
    await gone.close()
    const lost = new AdminClient({ url, adminToken: 'token' })
    await assert.rejects(lost.status({ signal }), rejectsWith('node_not_running', /ECONNREFUSED/))
  })

  test('rejects with the reason of its signal', async () => {
    const reason = new Error('enough')
    const aborted = AbortSignal.abort(reason)
    await assert.rejects(client.status({ signal: aborted }), error => error === reason)
  })
})
