import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect as connectTcp, createServer, type Socket } from 'node:net'
import { describe, it, type TestContext } from 'node:test'
import { type ConnectionOptions, connect as connectTls, type TLSSocket } from 'node:tls'
import { until } from '../../../test/support/until.ts'
import type { StreamHandler } from '../../interface/network.ts'
import { directIdleMs, KiB, membershipTimeoutMs, streamIdleTimeoutMs } from '../../limits.ts'
import { VirtualClock } from '../../std/clock.ts'
import { nextTurn } from '../../std/turn.ts'
import { encodeFrame, type Frame, FrameDecoder } from '../../wire/frame.ts'
import { encodeRequestBody } from '../../wire/request-body.ts'
import { directIdentity } from '../libp2p/node/certificate.ts'
import { tlsRules } from './direct-identity.ts'
import { connected, directServer, newIdentity, type TestServer } from './test-direct.ts'

const protocol = '/hyperspace/test/1'
const { signal } = new AbortController()
const opening = encodeRequestBody(protocol, Buffer.from('asked'))

const echo: StreamHandler = async function* (body) {
  yield body
}

/** A TLS connection that says what the test likes: with the member's ticket and no certificate. */
async function rawClient(
  context: TestContext,
  { offer }: TestServer,
  options: ConnectionOptions = {},
): Promise<{ socket: TLSSocket; closed: Promise<unknown>; failures: string[] }> {
  const failures: string[] = []
  const socket = connectTls({
    ...tlsRules,
    host: '127.0.0.1',
    port: offer.port,
    servername: Buffer.from(offer.ticket).toString('hex'),
    ...options,
  })
  socket.on('error', error => failures.push(String(Reflect.get(error, 'code'))))
  const closed = new Promise(resolve => socket.on('close', resolve))
  context.after(() => socket.destroy())
  return { socket, closed, failures }
}

/** As above, proved to be the member. */
async function memberClient(context: TestContext, served: TestServer) {
  const certificate = await directIdentity(served.guest).certificate()
  const client = await rawClient(context, served, certificate)
  await once(client.socket, 'secureConnect')
  const frames: Frame[] = []
  const decoder = new FrameDecoder(1024 * KiB)
  client.socket.on('data', bytes => frames.push(...decoder.push(bytes)))
  const send = (...all: readonly Frame[]): void => {
    for (const frame of all) for (const piece of encodeFrame(frame)) client.socket.write(piece)
  }
  return { ...client, frames, send }
}

async function read(pieces: AsyncIterable<Uint8Array>): Promise<string> {
  const all: Uint8Array[] = []
  for await (const piece of pieces) all.push(piece)
  return String(Buffer.concat(all))
}

describe('DirectServer', () => {
  it('serves the member whom the ticket was given to, call after call', async context => {
    const served = await directServer(context, { [protocol]: echo })
    const connection = await connected(context, served)
    for (const word of ['one', 'two']) {
      const body = encodeRequestBody(protocol, Buffer.from(word))
      assert.equal(await read(connection.read(body, { signal })), word)
      assert.ok(connection.reserve())
    }
    assert.ok(served.measures.bytesSent > 6 && served.measures.bytesReceived > 6)
    assert.deepEqual(served.blamed, [])
  })

  it('shows a stranger no certificate: without a ticket TLS itself refuses', async context => {
    const served = await directServer(context, { [protocol]: echo })
    const certificate = await directIdentity(newIdentity()).certificate()
    for (const servername of ['', 'localhost', '0'.repeat(32)]) {
      const { socket, closed, failures } = await rawClient(context, served, {
        ...certificate,
        servername,
      })
      socket.on('secureConnect', () => assert.fail('nobody is secured'))
      await closed
      assert.equal(failures[0], 'ERR_SSL_SSL/TLS_ALERT_HANDSHAKE_FAILURE')
    }
  })

  it('serves nobody who has the ticket and another certificate, or none', async context => {
    let calls = 0
    const served = await directServer(context, {
      async *[protocol]() {
        calls += 1
        yield Buffer.from('never')
      },
    })
    const other = await directIdentity(newIdentity()).certificate()
    for (const certificate of [other, {}]) {
      const { socket, closed } = await rawClient(context, served, certificate)
      await once(socket, 'secureConnect')
      for (const piece of encodeFrame({ type: 'open', id: 0, body: opening })) socket.write(piece)
      socket.on('data', () => assert.fail('nothing is said'))
      await closed
    }
    assert.equal(calls, 0)
  })

  it('ends a member’s connections and forgets its ticket when its session ends', async context => {
    const served = await directServer(context, { [protocol]: echo })
    const connection = await connected(context, served)
    await read(connection.read(opening, { signal }))
    served.direct.close(served.guest.peerId)
    await connection.closed
    await assert.rejects(connected(context, served))
    const again = served.direct.offerTo(served.guest.peerId)
    assert.ok(again && !Buffer.from(again.ticket).equals(Buffer.from(served.offer.ticket)))
  })

  it('hangs up on who says anything but calls, and blames only members', async context => {
    const waiting = '/hyperspace/wait/1'
    const served = await directServer(context, {
      async *[waiting](body, _, options) {
        await new Promise(resolve => options.signal.addEventListener('abort', resolve))
        yield body
      },
    })
    for (const words of ['GET / HTTP/1.1\r\n\r\n', '\x16\x03\x01\x00\x05hello', 'x'.repeat(1e6)]) {
      const socket = connectTcp(served.offer.port, '127.0.0.1')
      socket.on('error', () => undefined).resume()
      socket.write(words)
      await new Promise(resolve => socket.on('close', resolve))
    }
    assert.deepEqual(served.blamed, [])
    const open: Frame = { type: 'open', id: 0, body: encodeRequestBody(waiting, opening) }
    const wrong: readonly (readonly Frame[])[] = [
      [{ type: 'message', id: 0, body: opening }],
      [open, open],
      [{ type: 'ping', id: 0, body: new Uint8Array(0) }],
    ]
    for (const frames of wrong) {
      const { send, closed } = await memberClient(context, served)
      send(...frames)
      await closed
    }
    const { socket, closed } = await memberClient(context, served)
    socket.write(Buffer.alloc(9, 0xff))
    await closed
    assert.deepEqual(served.blamed, Array(4).fill(served.guest.peerId))
  })

  it('a cancel ends the handler and the call, and the connection serves the next', async context => {
    const ended = Promise.withResolvers<void>()
    const served = await directServer(context, {
      async *[protocol](body, _, options) {
        if (body.length === 0) return
        yield body
        await new Promise(resolve => options.signal.addEventListener('abort', resolve))
        ended.resolve()
      },
    })
    const connection = await connected(context, served)
    for await (const _ of connection.read(opening, { signal })) break
    await ended.promise
    await until(() => connection.reserve(), context.signal)
    assert.equal(
      await read(connection.read(encodeRequestBody(protocol, new Uint8Array(0)), { signal })),
      '',
    )
  })

  it('a cancel that comes too late is let pass', async context => {
    const served = await directServer(context, { [protocol]: echo })
    const { send, frames } = await memberClient(context, served)
    const cancel: Frame = { type: 'cancel', id: 0, body: new Uint8Array(0) }
    send({ type: 'open', id: 0, body: opening })
    await until(() => frames.length === 2, context.signal)
    send(cancel, { type: 'open', id: 0, body: opening })
    await until(() => frames.length === 4, context.signal)
    assert.deepEqual(
      frames.map(({ type }) => type),
      ['message', 'end', 'message', 'end'],
    )
  })

  it('shows signs of life while a handler thinks, and hangs up on unused connections', async context => {
    const clock = new VirtualClock()
    const served = await directServer(
      context,
      {
        async *[protocol](_, __, options) {
          await new Promise(resolve => options.signal.addEventListener('abort', resolve))
          yield new Uint8Array(0)
        },
      },
      { clock },
    )
    const { send, frames, closed } = await memberClient(context, served)
    send({ type: 'open', id: 0, body: opening })
    while (frames.length < 2) {
      clock.advance(1_000)
      await nextTurn()
    }
    assert.deepEqual(new Set(frames.map(({ type }) => type)), new Set(['ping']))
    send({ type: 'cancel', id: 0, body: new Uint8Array(0) })
    await until(() => frames.at(-1)?.type === 'end', context.signal)
    clock.advance(2 * directIdleMs)
    await closed
  })

  it('hangs up on a reader that takes nothing', async context => {
    const clock = new VirtualClock()
    const ended = Promise.withResolvers<void>()
    let made = 0
    const served = await directServer(
      context,
      {
        async *[protocol]() {
          try {
            for (;;) {
              made += 1
              yield new Uint8Array(256 * KiB)
            }
          } finally {
            ended.resolve()
          }
        },
      },
      { clock },
    )
    const { socket, send, closed } = await memberClient(context, served)
    socket.pause()
    send({ type: 'open', id: 0, body: opening })
    for (let before = -1; before !== made || made === 0; ) {
      before = made
      await new Promise(resolve => setImmediate(resolve))
      for (let turn = 0; turn < 20; turn++) await nextTurn()
    }
    clock.advance(streamIdleTimeoutMs)
    await ended.promise
    socket.resume()
    await closed
  })

  it('hangs up on who does not finish the handshake, and counts its address', async context => {
    const clock = new VirtualClock()
    const served = await directServer(context, { [protocol]: echo }, { clock })
    const sockets = Array.from({ length: 20 }, () => connectTcp(served.offer.port, '127.0.0.1'))
    context.after(() => sockets.map(socket => socket.destroy()))
    let open = sockets.length
    for (const socket of sockets) {
      socket.on('error', () => undefined).resume()
      socket.on('close', () => open--)
    }
    await until(() => open === 8, context.signal)
    clock.advance(membershipTimeoutMs)
    await until(() => open === 0, context.signal)
    const connection = await connected(context, served)
    assert.equal(await read(connection.read(opening, { signal })), 'asked')
  })

  it('outlives handshakes that break off anywhere', async context => {
    const served = await directServer(context, { [protocol]: echo }, { pendingPerAddressMax: 256 })
    const { sent, last } = await recordedHandshake(context, served)
    const all = Buffer.concat(sent)
    const cuts = [
      ...Array(24).keys(),
      ...Array.from({ length: 60 }, (_, i) => i * Math.ceil(all.length / 60)),
    ]
    for (const how of ['end', 'destroy', 'resetAndDestroy'] as const) {
      const ends = cuts.map(async length => {
        const socket = connectTcp(served.offer.port, '127.0.0.1')
        socket.on('error', () => undefined).resume()
        await once(socket, 'connect')
        socket.write(all.subarray(0, length))
        if (length % 2 === 0) await nextTurn()
        socket[how]()
        await new Promise(resolve => (socket.closed ? resolve(0) : socket.on('close', resolve)))
      })
      await Promise.all(ends)
    }
    assert.ok(last > 0)
    const connection = await connected(context, served)
    assert.equal(await read(connection.read(opening, { signal })), 'asked')
    assert.deepEqual(served.blamed, [])
  })
})

/** What a member sends until it is served, byte for byte. */
async function recordedHandshake(context: TestContext, served: TestServer) {
  const sent: Buffer[] = []
  const sockets: Socket[] = []
  const between = createServer(client => {
    const server = connectTcp(served.offer.port, '127.0.0.1')
    sockets.push(client, server)
    for (const socket of [client, server]) socket.on('error', () => undefined)
    client.on('data', bytes => sent.push(bytes)).pipe(server)
    server.pipe(client)
  })
  between.listen(0, '127.0.0.1')
  await once(between, 'listening')
  context.after(() => {
    for (const socket of sockets) socket.destroy()
    between.close()
  })
  const address = between.address()
  assert.ok(address !== null && typeof address === 'object')
  const offer = { ...served.offer, port: address.port }
  const connection = await connected(context, { ...served, offer })
  assert.equal(await read(connection.read(opening, { signal })), 'asked')
  return { sent, last: sent.length }
}
