import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { OperationError } from '../../errors.ts'
import {
  directPieceBytes,
  directPiecesAheadMax,
  directRoomBytes,
  directRoomsKeptMax,
  KiB,
} from '../../limits.ts'
import { VirtualClock } from '../../std/clock.ts'
import { encodeFrame, type Frame } from '../../wire/frame.ts'
import { peerError } from '../peer-error.ts'
import { DirectInbox, SpareRooms } from './direct-inbox.ts'

const none = new Uint8Array(0)
const end: Frame = { type: 'end', id: 0, body: none }

function message(body: Uint8Array): Frame {
  return { type: 'message', id: 0, body }
}

function wireOf(frames: readonly Frame[]): Buffer {
  return Buffer.concat(frames.flatMap(frame => encodeFrame(frame)))
}

/** Gives the bytes in parts of these sizes, in one buffer that is written over each time. */
function pushAll(inbox: DirectInbox, wire: Uint8Array, sizes: readonly number[]): void {
  const shared = new Uint8Array(64 * KiB)
  for (let at = 0, part = 0; at < wire.length; part++) {
    const bytes = wire.subarray(at, at + (sizes[part % sizes.length] ?? 1))
    shared.set(bytes)
    inbox.push(shared.subarray(0, bytes.length))
    shared.fill(0xee)
    at += bytes.length
  }
}

async function readAll(
  inbox: DirectInbox,
  use: (piece: Uint8Array) => Promise<void> = async () => undefined,
): Promise<Buffer> {
  const pieces: Uint8Array[] = []
  for (;;) {
    const piece = await inbox.next()
    if (piece === undefined) return Buffer.concat(pieces)
    assert.ok(piece.length > 0 && piece.length <= directRoomBytes)
    pieces.push(piece)
    await use(piece)
  }
}

const bodies = fc.array(fc.uint8Array({ maxLength: 40_000, size: 'max' }), { maxLength: 12 })
const cuts = fc.array(fc.integer({ min: 1, max: 20_000 }), { minLength: 1, maxLength: 9 })

describe('DirectInbox', () => {
  it('gives the bytes of all messages in order, however they arrive', async () => {
    await fc.assert(
      fc.asyncProperty(bodies, cuts, async (sent, sizes) => {
        const inbox = new DirectInbox(new VirtualClock())
        const frames = sent.flatMap(body => [
          message(body),
          { type: 'ping', id: 0, body: none } as const,
        ])
        pushAll(inbox, wireOf([...frames, end]), sizes)
        assert.ok(inbox.isComplete && inbox.isAnswered)
        assert.ok((await readAll(inbox)).equals(Buffer.concat(sent)))
      }),
      { numRuns: 25 },
    )
  })

  it('gives the same to a reader who is there before and takes pieces meanwhile', async () => {
    const inbox = new DirectInbox(new VirtualClock())
    const sent = Array.from({ length: 40 }, (_, index) => new Uint8Array(index * 6_501).fill(index))
    const reading = readAll(inbox)
    for (const frame of [...sent.map(message), end]) {
      pushAll(inbox, wireOf([frame]), [16 * KiB])
      await new Promise(resolve => setImmediate(resolve))
    }
    assert.ok((await reading).equals(Buffer.concat(sent)))
  })

  it('with spare rooms, gives the same to a reader who has done with each piece', async () => {
    const spare = new SpareRooms()
    await fc.assert(
      fc.asyncProperty(bodies, cuts, fc.infiniteStream(fc.nat(2)), async (sent, sizes, pauses) => {
        const inbox = new DirectInbox(new VirtualClock(), spare)
        const copies: Buffer[] = []
        const reading = readAll(inbox, async piece => {
          copies.push(Buffer.from(piece))
          for (let left = pauses.next().value ?? 0; left > 0; left--) await Promise.resolve()
        })
        const wire = wireOf([...sent.map(message), end])
        for (let at = 0; at < wire.length; at += 100_000) {
          pushAll(inbox, wire.subarray(at, at + 100_000), sizes)
          await Promise.resolve()
        }
        await reading
        assert.ok(Buffer.concat(copies).equals(Buffer.concat(sent)))
      }),
      { numRuns: 25 },
    )
  })

  it('with spare rooms, fills the same memory again and again, call after call', async () => {
    const spare = new SpareRooms()
    const memories = new Set<ArrayBufferLike>()
    for (let call = 0; call < 3; call++) {
      const inbox = new DirectInbox(new VirtualClock(), spare)
      const reading = readAll(inbox, async ({ buffer }) => void memories.add(buffer))
      for (let count = 0; count < 20; count++) {
        pushAll(inbox, wireOf([message(new Uint8Array(directRoomBytes))]), [16 * KiB])
        for (let turn = 0; turn < 4; turn++) await Promise.resolve()
      }
      pushAll(inbox, wireOf([end]), [16 * KiB])
      await reading
    }
    assert.ok(memories.size <= directRoomsKeptMax, `${memories.size} rooms`)
  })

  it('without them, leaves the reader its pieces', async () => {
    const inbox = new DirectInbox(new VirtualClock())
    const sent = Array.from({ length: 12 }, (_, index) =>
      new Uint8Array(directRoomBytes).fill(index + 1),
    )
    const reading = readAll(inbox)
    for (const body of sent) {
      pushAll(inbox, wireOf([message(body)]), [16 * KiB])
      for (let turn = 0; turn < 4; turn++) await Promise.resolve()
    }
    pushAll(inbox, wireOf([end]), [16 * KiB])
    assert.ok((await reading).equals(Buffer.concat(sent)))
  })

  it('gives out what has come of a long message, before all of it has', async () => {
    const inbox = new DirectInbox(new VirtualClock(), new SpareRooms())
    const wire = wireOf([message(new Uint8Array(directPieceBytes).fill(7))])
    assert.ok(directPieceBytes > 2 * directRoomBytes)
    inbox.push(wire.subarray(0, directRoomBytes + 16))
    assert.equal((await inbox.next())?.length, directRoomBytes)
  })

  it('says when it is full, and when there is room again', async () => {
    const inbox = new DirectInbox(new VirtualClock())
    const body = new Uint8Array(directRoomBytes)
    for (let count = 1; count <= directPiecesAheadMax; count++) {
      assert.equal(inbox.isFull, false)
      pushAll(inbox, wireOf([message(body)]), [16 * KiB])
    }
    assert.equal(inbox.isFull, true)
    await inbox.next()
    assert.equal(inbox.isFull, false)
  })

  it('a failure comes after the bytes before it, and is known by its code only', async () => {
    for (const [code, expected] of [
      [1, 'peer_failed'],
      [2, 'peer_overloaded'],
      [77, 'peer_failed'],
    ] as const) {
      const inbox = new DirectInbox(new VirtualClock())
      const failure: Frame = { type: 'failure', id: 0, body: Uint8Array.of(code) }
      inbox.push(wireOf([message(Buffer.from('one')), failure]))
      assert.equal(String(await inbox.next()), 'one')
      await assert.rejects(inbox.next(), { code: expected })
    }
  })

  it('a connection that is cut within a message does not pass for an end', async () => {
    const wire = wireOf([message(new Uint8Array(100)), end])
    for (let length = 0; length < wire.length; length++) {
      const inbox = new DirectInbox(new VirtualClock())
      inbox.push(wire.subarray(0, length))
      inbox.end(peerError('peer_unreachable'))
      assert.equal(inbox.isComplete, false)
      assert.equal(inbox.isAnswered, length > 0)
      await assert.rejects(readAll(inbox), { code: 'peer_unreachable' })
    }
  })

  it('discard() throws away what is there and what comes, and knows the end', async () => {
    const inbox = new DirectInbox(new VirtualClock())
    const wire = wireOf([message(new Uint8Array(90_000)), message(new Uint8Array(10_000)), end])
    inbox.push(wire.subarray(0, 50_000))
    inbox.discard(new Error('not wanted'))
    await assert.rejects(inbox.next(), { message: 'not wanted' })
    inbox.push(wire.subarray(50_000))
    assert.ok(inbox.isComplete)
    assert.equal(inbox.discardedBytes, 100_000 + 2 * 9 - 50_000 - 9)
  })

  it('refuses what does not belong on a call, and whatever follows its end', () => {
    const wrong: readonly Frame[] = [
      { type: 'request', id: 1, body: none },
      { type: 'open', id: 1, body: none },
      { type: 'credit', id: 1, body: none },
      { type: 'ping', id: 0, body: Uint8Array.of(1) },
      { type: 'end', id: 0, body: Uint8Array.of(1) },
      { type: 'failure', id: 0, body: none },
      { type: 'failure', id: 0, body: Uint8Array.of(1, 2) },
    ]
    for (const frame of wrong) {
      assert.throws(() => new DirectInbox(new VirtualClock()).push(wireOf([frame])), {
        code: 'peer_message_invalid',
      })
    }
    const large = Buffer.from(wireOf([message(none)]))
    large.writeUInt32LE(directPieceBytes + 1, 0)
    assert.throws(() => new DirectInbox(new VirtualClock()).push(large), {
      code: 'peer_message_invalid',
    })
    const inbox = new DirectInbox(new VirtualClock())
    inbox.push(wireOf([end]))
    assert.throws(() => inbox.push(Uint8Array.of(0)), { code: 'peer_message_invalid' })
  })

  it('whatever a peer sends, it throws nothing but that, and gives out no more than came', async () => {
    await fc.assert(
      fc.asyncProperty(
        bodies,
        fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 4 }),
        cuts,
        async (sent, changes, sizes) => {
          const wire = wireOf([...sent.map(message), end])
          for (const [place, value] of changes) wire[place % wire.length] = value
          const inbox = new DirectInbox(new VirtualClock())
          try {
            pushAll(inbox, wire, sizes)
          } catch (error) {
            assert.ok(error instanceof OperationError && error.code === 'peer_message_invalid')
          }
          inbox.end(undefined)
          try {
            assert.ok((await readAll(inbox)).length <= wire.length)
          } catch (error) {
            assert.ok(error instanceof OperationError)
          }
        },
      ),
      { numRuns: 40 },
    )
  })

  it('measures only what came while the reader waited, without the time to the first', async () => {
    const clock = new VirtualClock()
    const inbox = new DirectInbox(clock)
    const body = new Uint8Array(100_000)
    for (const ms of [5_000, 10, 20]) {
      const next = inbox.next()
      clock.advance(ms)
      inbox.push(wireOf([message(body)]))
      await next
    }
    assert.deepEqual([inbox.bulkBytes, inbox.waitedMs], [200_000, 30])
  })
})
