import assert from 'node:assert/strict'
import { describe, it, type TestContext } from 'node:test'
import type { TLSSocket } from 'node:tls'
import { until } from '../../../test/support/until.ts'
import {
  directDiscardBytesMax,
  directDiscardMs,
  directIdleMs,
  directPieceBytes,
  directPiecesAheadMax,
  directRoomBytes,
  directSignOfLifeMs,
  streamIdleTimeoutMs,
} from '../../limits.ts'
import { VirtualClock } from '../../std/clock.ts'
import { nextTurn } from '../../std/turn.ts'
import { encodeFrame, type Frame } from '../../wire/frame.ts'
import { encodeRequestBody } from '../../wire/request-body.ts'
import { directIdentity } from '../libp2p/node/certificate.ts'
import { PeerMeasures } from '../session/measures.ts'
import { type DirectConnection, openDirectConnection } from './direct-connection.ts'
import { KnownCertificate } from './direct-identity.ts'
import { connected, forgedServer, newIdentity } from './test-direct.ts'

const { signal } = new AbortController()
const opening = encodeRequestBody('/hyperspace/test/1', Buffer.from('asked'))
const ticket = new Uint8Array(16)
const none = new Uint8Array(0)
const ping: Frame = { type: 'ping', id: 0, body: none }
const end: Frame = { type: 'end', id: 0, body: none }
const message: Frame = { type: 'message', id: 0, body: Buffer.from('some') }

function say(socket: TLSSocket, ...frames: readonly Frame[]): void {
  for (const frame of frames) for (const piece of encodeFrame(frame)) socket.write(piece)
}

/** A connection to a member that does as the test likes once it is asked. */
async function connectionTo(
  context: TestContext,
  onAsked: (socket: TLSSocket) => void,
  onConnection: (socket: TLSSocket) => void = () => undefined,
) {
  const clock = new VirtualClock()
  const [server, guest] = [newIdentity(), newIdentity()]
  const port = await forgedServer(context, server, socket => {
    onConnection(socket)
    socket.once('data', () => onAsked(socket))
  })
  const measures = new PeerMeasures()
  const target = { server, guest, offer: { port, ticket } }
  const connection = await connected(context, target, { clock, measures })
  return { clock, connection, measures }
}

async function readAll(connection: DirectConnection) {
  const pieces = connection.read(opening, { signal })
  const seen: Uint8Array[] = []
  for (;;) {
    const { done, value } = await pieces.next()
    if (done) return { seen: String(Buffer.concat(seen)), isAnswered: value }
    seen.push(value)
  }
}

describe('DirectConnection', () => {
  it('is not opened to somebody else at the same place, who hears nothing', async context => {
    const [server, guest] = [newIdentity(), newIdentity()]
    let heard = 0
    const port = await forgedServer(context, newIdentity(), socket => {
      socket.on('data', bytes => {
        heard += bytes.length
      })
    })
    const target = { server, guest, offer: { port, ticket } }
    await assert.rejects(connected(context, target), { name: 'UnexpectedPeerError' })
    for (let turn = 0; turn < 10; turn++) await nextTurn()
    assert.equal(heard, 0)
  })

  it('is given up when the signal fires while it is opened', async context => {
    const controller = new AbortController()
    const [server, guest] = [newIdentity(), newIdentity()]
    const identity = directIdentity(guest)
    const known = new KnownCertificate(identity)
    const port = await forgedServer(context, server, () => undefined)
    const opened = openDirectConnection(
      { clock: new VirtualClock(), identity, known, measures: new PeerMeasures() },
      { peer: server.peerId, host: '127.0.0.1', offer: { port, ticket } },
      { signal: controller.signal },
    )
    controller.abort(new DOMException('enough', 'AbortError'))
    await assert.rejects(opened, { message: 'enough' })
  })

  it('read() tells a call that got no answer from one that was cut', async context => {
    const before = await connectionTo(context, socket => socket.destroy())
    assert.deepEqual(await readAll(before.connection), { seen: '', isAnswered: false })
    const after = await connectionTo(context, socket => {
      say(socket, message)
      socket.end()
    })
    await assert.rejects(readAll(after.connection), { code: 'peer_unreachable' })
    const whole = await connectionTo(context, socket => say(socket, message, end))
    assert.deepEqual(await readAll(whole.connection), { seen: 'some', isAnswered: true })
  })

  it('takes the next call after one that was left when all of it had come', async context => {
    const frames = Array.from({ length: directPiecesAheadMax + 1 }, (_, index): Frame => {
      return { type: 'message', id: 0, body: new Uint8Array(directRoomBytes).fill(index) }
    })
    // In one write, so that the end comes with the last bytes before it, while no more is wanted.
    const wire = Buffer.concat([...frames, end].flatMap(frame => [...encodeFrame(frame)]))
    const { connection, measures } = await connectionTo(context, socket => {
      socket.write(wire)
      socket.once('data', () => say(socket, message, end))
    })
    const pieces = connection.read(opening, { signal })
    assert.equal((await pieces.next()).done, false)
    await until(() => measures.bytesReceived === wire.length, context.signal)
    await pieces.return(true)
    assert.equal(connection.reserve(), true)
    assert.deepEqual(await readAll(connection), { seen: 'some', isAnswered: true })
  })

  it('read() is peer_message_invalid when the peer sends what it must not', async context => {
    const { connection } = await connectionTo(context, socket =>
      say(socket, message, { ...ping, type: 'open' }),
    )
    await assert.rejects(readAll(connection), { code: 'peer_message_invalid' })
    await connection.closed
  })

  it('ends when the peer speaks unasked', async context => {
    const early = await connectionTo(
      context,
      () => undefined,
      socket => say(socket, message),
    ).catch(() => undefined)
    await early?.connection.closed
    const late = await connectionTo(context, socket => {
      say(socket, end)
      setImmediate(() => say(socket, message))
    })
    assert.deepEqual(await readAll(late.connection), { seen: '', isAnswered: true })
    await late.connection.closed
  })

  it('read() waits for a peer that shows signs of life, and not for a silent one', async context => {
    let asked: TLSSocket | undefined
    const { clock, connection, measures } = await connectionTo(context, socket => {
      asked = socket
    })
    let outcome: unknown
    const reading = readAll(connection).then(
      result => {
        outcome = result
      },
      error => {
        outcome = error
      },
    )
    await until(() => asked !== undefined, context.signal)
    for (let round = 0; round < 8; round++) {
      if (asked !== undefined) say(asked, ping)
      await until(() => measures.bytesReceived === 9 * (round + 1), context.signal)
      clock.advance(directSignOfLifeMs)
      await nextTurn()
      assert.equal(outcome, undefined)
    }
    clock.advance(streamIdleTimeoutMs + directSignOfLifeMs)
    await reading
    assert.equal(Reflect.get(Object(outcome), 'code'), 'peer_timeout')
    await connection.closed
    const silent = await connectionTo(context, () => undefined)
    const unanswered = readAll(silent.connection)
    await nextTurn()
    silent.clock.advance(streamIdleTimeoutMs + directSignOfLifeMs)
    assert.deepEqual(await unanswered, { seen: '', isAnswered: false })
  })

  it('is closed after it has not been used for a while, and not while it is', async context => {
    const { clock, connection } = await connectionTo(context, socket => {
      say(socket, end)
      socket.on('data', () => say(socket, end))
    })
    await readAll(connection)
    assert.ok(connection.reserve())
    clock.advance(directIdleMs)
    assert.deepEqual(await readAll(connection), { seen: '', isAnswered: true })
    clock.advance(directIdleMs)
    await connection.closed
    assert.equal(connection.reserve(), false)
  })

  it('is closed when a call that was given up does not end soon', async context => {
    const { clock, connection } = await connectionTo(context, socket => say(socket, message))
    for await (const _ of connection.read(opening, { signal })) break
    assert.equal(connection.reserve(), false)
    clock.advance(directDiscardMs)
    await connection.closed
    const body = new Uint8Array(directPieceBytes)
    const flood = await connectionTo(context, socket => {
      const count = 2 + directDiscardBytesMax / directPieceBytes
      for (let index = 0; index < 2 * count; index++) say(socket, { ...message, body })
    })
    for await (const _ of flood.connection.read(opening, { signal })) break
    await flood.connection.closed
  })

  it('is kept when a call that was given up ends soon', async context => {
    const { connection } = await connectionTo(context, socket => {
      say(socket, message)
      socket.once('data', () => say(socket, message, end))
    })
    for await (const _ of connection.read(opening, { signal })) break
    await until(() => connection.reserve(), context.signal)
  })
})
