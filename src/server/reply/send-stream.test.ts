import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http'
import { describe, it, type TestContext } from 'node:test'
import { OperationError } from '../../errors.ts'
import type { GenerationEvent, Usage } from '../../interface/generation.ts'
import { VirtualClock } from '../../std/clock.ts'
import type { StreamEncoder } from '../wire-format.ts'
import { sendStream } from './send-stream.ts'

const usage: Usage = { promptTokens: 3, completionTokens: 2, cachedTokens: 0, reasoningTokens: 0 }

const encoder: StreamEncoder = {
  contentType: 'text/event-stream; charset=utf-8',
  encode: event => (event.type === 'text' ? event.text : ''),
  end: () => '[end]',
  fail: (error, requestId) => `[${error.code} ${requestId}]`,
  keepAlive: () => '[ping]',
}

function text(piece: string): GenerationEvent {
  return { type: 'text', choice: 0, kind: 'text', text: piece }
}

/** A reply on a real connection, and the message that its client reads. */
async function exchange(
  test: TestContext,
): Promise<{ readonly reply: ServerResponse; readonly received: Promise<IncomingMessage> }> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  assert.ok(typeof address === 'object' && address !== null)
  const client = request({ port: address.port, host: '127.0.0.1' })
  client.on('error', () => undefined)
  client.end()
  test.after(() => {
    client.destroy()
    server.closeAllConnections()
    server.close()
  })
  const [, reply]: (ServerResponse | undefined)[] = await once(server, 'request')
  assert.ok(reply !== undefined)
  const received = once(client, 'response').then(([message]: IncomingMessage[]) => {
    assert.ok(message !== undefined)
    return message.setEncoding('utf8')
  })
  return { reply, received }
}

async function send(
  reply: ServerResponse,
  events: AsyncGenerator<GenerationEvent, undefined, void>,
  clock: VirtualClock = new VirtualClock(),
): Promise<Usage | undefined> {
  const first = events.next()
  const stream = { events, first, encoder, requestId: 'req_1' }
  return (await sendStream(reply, stream, clock)).usage
}

async function textOf(message: IncomingMessage): Promise<string> {
  let all = ''
  for await (const piece of message) all += piece
  return all
}

describe('sendStream()', () => {
  it('writes what the encoder makes of each event, and tells the usage', async test => {
    const { reply, received } = await exchange(test)
    const sent = send(reply, events())
    assert.equal(await textOf(await received), 'one two[end]')
    assert.equal(await sent, usage)

    async function* events(): AsyncGenerator<GenerationEvent, undefined, void> {
      yield { type: 'start', promptTokens: 3, cachedTokens: 0 }
      yield text('one')
      yield text(' two')
      yield { type: 'usage', usage }
      return undefined
    }
  })

  it('tells of a failure in the way of the API, after what came before it, and throws it', async test => {
    const { reply, received } = await exchange(test)
    const sent = assert.rejects(send(reply, events()), { code: 'upstream_failed' })
    assert.equal(await textOf(await received), 'one[upstream_failed req_1]')
    await sent

    async function* events(): AsyncGenerator<GenerationEvent, undefined, void> {
      yield text('one')
      throw new OperationError('upstream_failed', 'It broke off', { origin: 'upstream' })
    }
  })

  it('sends a sign of life when nothing came for 15 s, and again, but not after the end', async test => {
    const { reply, received } = await exchange(test)
    const clock = new VirtualClock()
    const rest = Promise.withResolvers<void>()
    const sent = send(reply, events(), clock)
    const message = await received
    const pieces = message[Symbol.asyncIterator]()
    assert.equal((await pieces.next()).value, 'one')
    clock.advance(14_999)
    clock.advance(1)
    assert.equal((await pieces.next()).value, '[ping]')
    clock.advance(15_000)
    assert.equal((await pieces.next()).value, '[ping]')
    rest.resolve()
    let tail = ''
    for await (const piece of { [Symbol.asyncIterator]: () => pieces }) tail += piece
    assert.equal(tail, 'two[end]')
    await sent
    clock.advance(60_000)

    async function* events(): AsyncGenerator<GenerationEvent, undefined, void> {
      yield text('one')
      await rest.promise
      yield text('two')
      return undefined
    }
  })

  it('waits for a client that reads slowly instead of piling up what it has not read', async test => {
    const { reply, received } = await exchange(test)
    const pieces = 4_096
    const piece = 'x'.repeat(16_384)
    let given = 0
    const sent = send(reply, events())
    const message = await received
    // Nothing of the body is read yet.
    assert.ok(given < pieces, 'the generator waits')
    assert.equal((await textOf(message)).length, pieces * piece.length + '[end]'.length)
    assert.equal(given, pieces)
    await sent

    async function* events(): AsyncGenerator<GenerationEvent, undefined, void> {
      for (; given < pieces; given++) yield text(piece)
      return undefined
    }
  })

  it('stops and lets go of the events when the client goes away', async test => {
    const { reply, received } = await exchange(test)
    const hasLeft = Promise.withResolvers<void>()
    const sent = send(reply, events())
    const message = await received
    await once(message, 'data')
    message.destroy()
    await once(reply, 'close')
    assert.equal(await sent, undefined)
    await hasLeft.promise

    async function* events(): AsyncGenerator<GenerationEvent, undefined, void> {
      try {
        yield text('one')
        await once(reply, 'close')
        yield text('two')
        return undefined
      } finally {
        hasLeft.resolve()
      }
    }
  })
})
