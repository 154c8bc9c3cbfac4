import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type IncomingMessage } from 'node:http'
import { connect, type Socket } from 'node:net'
import { describe, it, type TestContext } from 'node:test'
import { bodyBytesMax, bodyDepthMax } from '../limits.ts'
import { parseJsonBody, readBody } from './read-body.ts'

/** A request whose head has arrived; the test writes the rest. */
async function received(
  test: TestContext,
  head: string,
): Promise<{ readonly message: IncomingMessage; readonly client: Socket }> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  assert.ok(typeof address === 'object' && address !== null)
  const client = connect(address.port, '127.0.0.1')
  // Some tests cut the connection from the other side.
  client.on('error', () => undefined)
  test.after(() => {
    client.destroy()
    server.closeAllConnections()
    server.close()
  })
  client.write(`POST / HTTP/1.1\r\nhost: localhost\r\n${head}\r\n\r\n`)
  const [message]: IncomingMessage[] = await once(server, 'request')
  assert.ok(message !== undefined)
  return { message, client }
}

describe('readBody', () => {
  it('puts a body together that comes in pieces', async test => {
    const { message, client } = await received(test, 'transfer-encoding: chunked')
    const body = readBody(message)
    client.write('5\r\n{"a":\r\n')
    await once(message, 'data')
    client.write('4\r\n"b"}\r\n0\r\n\r\n')
    assert.equal((await body).toString(), '{"a":"b"}')
  })

  it('takes an empty body', async test => {
    const { message } = await received(test, 'content-length: 0')
    assert.equal((await readBody(message)).length, 0)
  })

  it('refuses a body that says it is too large, before it arrives', async test => {
    const { message } = await received(test, `content-length: ${bodyBytesMax + 1}`)
    await assert.rejects(readBody(message), { code: 'body_too_large', origin: 'client' })
  })

  it('refuses a body that turns out too large', async test => {
    const { message, client } = await received(test, 'transfer-encoding: chunked')
    const body = readBody(message)
    client.write(`${(bodyBytesMax + 1).toString(16)}\r\n`)
    client.write(Buffer.alloc(bodyBytesMax + 1))
    await assert.rejects(body, { code: 'body_too_large' })
  })

  it('fails when the client goes away first', async test => {
    const { message, client } = await received(test, 'content-length: 100')
    const body = readBody(message)
    client.write('half of it')
    await once(message, 'data')
    client.destroy()
    await assert.rejects(body, { code: 'aborted', origin: 'client' })
  })
})

describe('parseJsonBody', () => {
  const parse = (text: string): unknown => parseJsonBody(Buffer.from(text))
  const refused = (bytes: Uint8Array, message: RegExp): void =>
    assert.throws(() => parseJsonBody(bytes), { code: 'request_invalid', field: 'body', message })

  it('takes an object', () => {
    assert.deepEqual(parse('{"a":[1,{"b":null}]}'), { a: [1, { b: null }] })
  })

  it('refuses everything else, saying what came', () => {
    refused(Buffer.from('null'), /not null$/)
    refused(Buffer.from('[1]'), /not an array$/)
    refused(Buffer.from('"text"'), /not a string$/)
    refused(Buffer.from(''), /not valid JSON/)
  })

  it('refuses bytes that are no UTF-8', () => {
    refused(Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x7d]), /not UTF-8$/)
  })

  it('tells where a mistake is without quoting the text around it', () => {
    const text = '{"messages": "my secret plan" oops}'
    refused(Buffer.from(text), /at position 30$/)
    assert.throws(
      () => parse(text),
      error => !String(error).includes('secret'),
    )
  })

  it('refuses nesting that could exhaust the stack', () => {
    const nested = (levels: number): string => `${'{"a":'.repeat(levels)}1${'}'.repeat(levels)}`
    assert.ok(parse(nested(bodyDepthMax)))
    refused(Buffer.from(nested(bodyDepthMax + 1)), /nested deeper than 64 levels/)
  })
})
