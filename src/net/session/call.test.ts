import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import type { PeerId, StreamHandler } from '../../interface/network.ts'
import { MiB, membershipTimeoutMs, streamAheadMax, streamIdleTimeoutMs } from '../../limits.ts'
import { VirtualClock } from '../../std/clock.ts'
import { nextTurn } from '../../std/turn.ts'
import { encodeFrame, type Frame, FrameDecoder, type FrameType } from '../../wire/frame.ts'
import { encodeRequestBody } from '../../wire/request-body.ts'
import { Identity } from '../identity.ts'
import { PeerMeasures } from './measures.ts'
import { readCall } from './read-call.ts'
import { serveCall } from './serve-call.ts'
import { channelPair, settled, type TestChannel } from './test-channel.ts'

const protocol = '/hyperspace/test/1'
const peer: PeerId = Identity.fromSeed(new Uint8Array(32).fill(1)).peerId
const signal = new AbortController().signal
const none = new Uint8Array(0)

function serve(channel: TestChannel, handler: StreamHandler, clock = new VirtualClock()) {
  return serveCall(channel, { clock, peer, handlers: new Map([[protocol, handler]]), signal })
}

function read(channel: TestChannel): AsyncGenerator<Uint8Array> {
  const options = { clock: new VirtualClock(), measures: new PeerMeasures(), signal }
  return readCall(channel, { protocol, body: none }, options)
}

function send(channel: TestChannel, type: FrameType, id: number, body: Uint8Array = none): void {
  for (const piece of encodeFrame({ type, id, body })) channel.send(piece)
}

function framesOf(channel: TestChannel): readonly Frame[] {
  const frames: Frame[] = []
  const decoder = new FrameDecoder(2 * MiB)
  channel.listen({
    onBytes: bytes => frames.push(...decoder.push(bytes)),
    onClose: () => undefined,
  })
  return frames
}

async function* endless(): AsyncGenerator<Uint8Array> {
  for (;;) yield Uint8Array.of(1)
}

describe('stream calls', () => {
  it('send only what is asked for', async () => {
    const [near, far] = channelPair()
    const served = serve(near, endless)
    const frames = framesOf(far)
    send(far, 'open', 3, encodeRequestBody(protocol, none))
    await settled()
    assert.equal(frames.length, 3)
    send(far, 'credit', 2)
    await settled()
    assert.equal(frames.length, 5)
    far.abort()
    await served
  })

  it('a reader that takes nothing for long is hung up on, and its handler ends', async () => {
    const [near, far] = channelPair()
    const clock = new VirtualClock()
    let hasEnded = false
    const handler = async function* (): AsyncGenerator<Uint8Array> {
      try {
        yield* endless()
      } finally {
        hasEnded = true
      }
    }
    const served = serve(near, handler, clock)
    send(far, 'open', 1, encodeRequestBody(protocol, none))
    await settled()
    clock.advance(streamIdleTimeoutMs - 1)
    send(far, 'credit', 1)
    await settled()
    clock.advance(streamIdleTimeoutMs - 1)
    await settled()
    assert.equal(hasEnded, false, 'who asks in time goes on')
    clock.advance(1)
    await served
    assert.equal(hasEnded, true)
    assert.equal(near.isOpen, false)
  })

  it('a reader cannot ask for everything at once', async () => {
    const [near, far] = channelPair()
    const served = serve(near, endless)
    const frames = framesOf(far)
    send(far, 'open', 0xffff_ffff, encodeRequestBody(protocol, none))
    await settled()
    assert.equal(frames.length, streamAheadMax)
    send(far, 'credit', 0xffff_ffff)
    await assert.rejects(served, { code: 'peer_message_invalid' })
    assert.ok(!near.isOpen)
  })

  it('a sender that sends more than was asked for is at fault', async () => {
    const [near, far] = channelPair()
    framesOf(far)
    const reader = read(near)
    const first = reader.next()
    for (let index = 0; index < streamAheadMax + 2; index++) send(far, 'message', 0)
    await assert.rejects(first, { code: 'peer_message_invalid' })
    assert.ok(!near.isOpen)
  })

  it('a sender that closes without an end has failed, after what it sent', async () => {
    const [near, far] = channelPair()
    framesOf(far)
    const reader = read(near)
    const first = reader.next()
    send(far, 'message', 0, Uint8Array.of(7))
    assert.deepEqual((await first).value, Uint8Array.of(7))
    far.abort()
    await assert.rejects(reader.next(), { code: 'peer_unreachable' })
  })

  it('a caller that does not say what it wants is hung up on', async () => {
    const clock = new VirtualClock()
    const [near] = channelPair()
    const served = serve(near, endless, clock)
    clock.advance(membershipTimeoutMs)
    await served
    assert.ok(!near.isOpen)
  })

  it('random bytes never crash either side', async () => {
    const pieces = fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 8 })
    await fc.assert(
      fc.asyncProperty(pieces, async all => {
        const [served, hostile] = channelPair()
        const serving = serve(served, endless).catch(error => {
          assert.equal(error.code, 'peer_message_invalid')
        })
        for (const bytes of all) hostile.send(bytes)
        await settled()
        hostile.abort()
        await serving
        const [reading, sender] = channelPair()
        framesOf(sender)
        const next = read(reading)
          .next()
          .catch(error => assert.match(error.code, /^peer_/))
        for (const bytes of all) sender.send(bytes)
        await settled()
        sender.abort()
        await next
      }),
      { numRuns: 50 },
    )
  })

  it('measure the bandwidth of what the reader had to wait for', async () => {
    const clock = new VirtualClock()
    const measures = new PeerMeasures()
    const [near, far] = channelPair()
    const served = serve(far, async function* () {
      for (let index = 0; index < 11; index++) {
        await nextTurn()
        clock.advance(10)
        yield new Uint8Array(100_000)
      }
    })
    const reader = readCall(near, { protocol, body: none }, { clock, measures, signal })
    for await (const message of reader) assert.equal(message.length, 100_000)
    await served
    assert.equal(measures.bandwidth, 10_000_000)
  })
})
