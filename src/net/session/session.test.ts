import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { silentLog } from '../../interface/log.ts'
import type { PeerId, RequestHandler } from '../../interface/network.ts'
import {
  MiB,
  messageBytesMax,
  peerPingIntervalMs,
  peerPingTimeoutMs,
  peerRequestBytesMax,
  peerSendPiecesMax,
  requestsPerPeerMax,
} from '../../limits.ts'
import { VirtualClock } from '../../std/clock.ts'
import { encodeFrame, type Frame, FrameDecoder, type FrameType } from '../../wire/frame.ts'
import { encodeRequestBody } from '../../wire/request-body.ts'
import { Identity } from '../identity.ts'
import { Session } from './session.ts'
import { channelPair, settled, type TestChannel } from './test-channel.ts'

const protocol = '/hyperspace/test/1'
const peer: PeerId = Identity.fromSeed(new Uint8Array(32).fill(1)).peerId
const signal = new AbortController().signal
const none = new Uint8Array(0)

interface Opened {
  readonly session: Session
  readonly ends: unknown[]
  readonly roundTrips: number[]
  quietCount: number
}

function open(channel: TestChannel, handler: RequestHandler, clock = new VirtualClock()): Opened {
  const opened: Opened = {
    ends: [],
    roundTrips: [],
    quietCount: 0,
    session: new Session(
      { clock, log: silentLog },
      {
        peer,
        channel,
        handlers: new Map([[protocol, handler]]),
        onRoundTrip: ms => opened.roundTrips.push(ms),
        onEnd: error => opened.ends.push(error),
        onQuiet: () => {
          opened.quietCount += 1
        },
      },
    ),
  }
  opened.session.begin()
  return opened
}

/** A peer that speaks frames by hand, as a hostile one would. */
function rawPeer(channel: TestChannel) {
  const frames: Frame[] = []
  const decoder = new FrameDecoder(2 * MiB)
  channel.listen({
    onBytes: bytes => frames.push(...decoder.push(bytes)),
    onClose: () => undefined,
  })
  const send = (type: FrameType, id: number, body: Uint8Array = none): void => {
    for (const piece of encodeFrame({ type, id, body })) channel.send(piece)
  }
  const request = (id: number, body: Uint8Array): void =>
    send('request', id, encodeRequestBody(protocol, body))
  const answers = (): string[] =>
    frames.filter(({ type }) => type === 'reply' || type === 'failure').map(frame => labelOf(frame))
  return { send, request, answers }
}

function labelOf({ type, id, body }: Frame): string {
  return `${type} ${id}${type === 'failure' ? ` ${body[0]}` : ''}`
}

const forever: RequestHandler = (_body, _from, options) =>
  new Promise((_, reject) => {
    options.signal.addEventListener('abort', () => reject(options.signal.reason))
  })

describe('Session', () => {
  it('refuses requests past their number, and serves again when some are done', async () => {
    const [near, far] = channelPair()
    const { session } = open(near, forever)
    const raw = rawPeer(far)
    for (let id = 1; id <= requestsPerPeerMax + 1; id++) raw.request(id, none)
    await settled()
    assert.deepEqual(raw.answers(), [`failure ${requestsPerPeerMax + 1} 2`])
    raw.send('cancel', 1)
    await settled()
    raw.request(5_000, none)
    await settled()
    assert.equal(raw.answers().length, 1, 'the place of the cancelled one is free')
    await session.end(undefined)
  })

  it('refuses requests past their bytes', async () => {
    const [near, far] = channelPair()
    const { session } = open(near, forever)
    const raw = rawPeer(far)
    // What waits to be sent counts too, so that the last whole one is one too many.
    const count = peerRequestBytesMax / messageBytesMax - 1
    for (let id = 1; id <= count + 1; id++) raw.request(id, new Uint8Array(messageBytesMax))
    await settled()
    assert.deepEqual(raw.answers(), [`failure ${count + 1} 2`])
    await session.end(undefined)
  })

  it('stops serving a peer that does not read its replies', async () => {
    const [near, far] = channelPair()
    const { session } = open(near, async () => new Uint8Array(messageBytesMax))
    const raw = rawPeer(far)
    far.isHeld = true
    for (let id = 1; id <= 100; id++) {
      raw.request(id, none)
      await settled()
    }
    assert.ok(near.sentBytes < 2 * MiB, 'what the transport does not take is not pushed into it')
    far.release()
    while (raw.answers().length < 100) await settled()
    assert.ok(session.isOpen)
    const refused = raw.answers().filter(answer => answer.endsWith(' 2')).length
    assert.ok(refused > 80, `${refused} refused`)
    await session.end(undefined)
  })

  it('one id does not run twice', async () => {
    const [near, far] = channelPair()
    const { session } = open(near, forever)
    const raw = rawPeer(far)
    raw.request(7, none)
    raw.request(7, none)
    await settled()
    assert.deepEqual(raw.answers(), ['failure 7 1'])
    await session.end(undefined)
  })

  it('ends with the peer at fault for frames that are none of a session', async () => {
    for (const type of ['open', 'message', 'credit', 'end'] as const) {
      const [near, far] = channelPair()
      const { ends } = open(near, forever)
      rawPeer(far).send(type, 1)
      await settled()
      assert.equal(Reflect.get(Object(ends[0]), 'code'), 'peer_message_invalid')
      assert.ok(!near.isOpen)
    }
  })

  it('ignores replies and cancels of what is not there', async () => {
    const [near, far] = channelPair()
    const { session, ends } = open(near, forever)
    const raw = rawPeer(far)
    for (const type of ['reply', 'failure', 'cancel', 'pong'] as const) raw.send(type, 99)
    await settled()
    assert.deepEqual(ends, [])
    await session.end(undefined)
  })

  it('random bytes never crash it, and end it as the fault of the peer', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 8 }), async all => {
        const [near, far] = channelPair()
        const { session, ends } = open(near, async body => body)
        for (const bytes of all) far.send(bytes)
        await settled()
        for (const error of ends) {
          assert.equal(Reflect.get(Object(error), 'code'), 'peer_message_invalid')
        }
        await session.end(undefined)
      }),
      { numRuns: 50 },
    )
  })

  it('measures round trips in intervals, and ends when the peer is silent', async () => {
    const clock = new VirtualClock()
    const [near, far] = channelPair()
    const { ends, roundTrips } = open(near, forever, clock)
    const other = open(far, forever, clock)
    await settled()
    assert.equal(roundTrips.length, 1, 'the first, cold one is left out')
    clock.advance(peerPingIntervalMs)
    await settled()
    assert.equal(roundTrips.length, 2)
    far.isHeld = true
    clock.advance(peerPingIntervalMs)
    await settled()
    clock.advance(peerPingTimeoutMs)
    assert.equal(Reflect.get(Object(ends[0]), 'code'), 'peer_timeout')
    await other.session.end(undefined)
  })

  it('does not take a peer for silent that was pinged a moment ago', async () => {
    const clock = new VirtualClock()
    const [near, far] = channelPair()
    const { session, ends } = open(near, forever, clock)
    const other = open(far, forever, clock)
    await settled()
    clock.advance(peerPingTimeoutMs - 1)
    const pinged = session.ping()
    clock.advance(1)
    await settled()
    await pinged
    assert.deepEqual(ends, [])
    for (const one of [session, other.session]) await one.end(undefined)
  })

  it('ends with a peer that pings and does not read the pongs, before they fill memory', async () => {
    const [near, far] = channelPair()
    const { ends } = open(near, forever)
    const raw = rawPeer(far)
    far.isHeld = true
    for (let id = 0; id < 2 * peerSendPiecesMax; id++) raw.send('ping', id)
    await settled()
    assert.equal(Reflect.get(Object(ends[0]), 'code'), 'peer_overloaded')
    assert.ok(!near.isOpen)
  })

  it('becomes quiet when both sides said goodbye and nothing is under way', async () => {
    const gate = Promise.withResolvers<Uint8Array>()
    const [near, far] = channelPair()
    const one = open(near, () => gate.promise)
    const two = open(far, () => gate.promise)
    const clockOptions = { signal, timeoutMs: 60_000 }
    const reply = one.session.request(protocol, none, clockOptions)
    await settled()
    one.session.sayGoodbye()
    await settled()
    assert.deepEqual([one.quietCount, two.session.isQuiet], [0, false])
    gate.resolve(none)
    await reply
    await settled()
    assert.ok(one.quietCount > 0 && one.session.isQuiet && two.session.isQuiet)
    for (const { session } of [one, two]) await session.end(undefined)
  })

  it('end() rejects what is asked, ends the handlers, and leaves no timer', async () => {
    const clock = new VirtualClock()
    const [near, far] = channelPair()
    const one = open(near, forever, clock)
    const two = open(far, forever, clock)
    const asked = one.session.request(protocol, none, { signal, timeoutMs: 60_000 })
    const rejected = assert.rejects(asked, { code: 'peer_unreachable' })
    await settled()
    await two.session.end(undefined)
    await settled()
    await rejected
    await one.session.end(undefined)
    assert.deepEqual([one.ends.length, two.ends.length], [1, 1])
    clock.advance(10 * peerPingIntervalMs)
  })
})
