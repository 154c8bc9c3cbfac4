import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { OperationError } from '../errors.ts'
import { encodeFrame, type Frame, FrameDecoder, type FrameType, frameHeaderBytes } from './frame.ts'

const types: readonly FrameType[] = ['request', 'reply', 'failure', 'cancel', 'credit', 'end']
const frame: fc.Arbitrary<Frame> = fc.record({
  type: fc.constantFrom(...types),
  id: fc.integer({ min: 0, max: 0xffff_ffff }),
  body: fc.uint8Array({ maxLength: 300 }),
})

function encode(frames: readonly Frame[]): Buffer {
  return Buffer.concat(frames.flatMap(encodeFrame))
}

function cut(bytes: Uint8Array, cuts: readonly number[]): readonly Uint8Array[] {
  const at = [...new Set(cuts.map(cut => cut % (bytes.length + 1)))].sort((a, b) => a - b)
  return [0, ...at].map((start, index) => bytes.subarray(start, at[index] ?? bytes.length))
}

describe('frames', () => {
  it('are the bytes of spec/wire.md', () => {
    const bytes = encode([{ type: 'request', id: 0x01020304, body: Buffer.from('ab') }])
    assert.equal(bytes.toString('hex'), '0200000004030201016162')
  })

  it('come out as they went in, however the bytes are cut', () => {
    fc.assert(
      fc.property(fc.array(frame), fc.array(fc.nat()), (frames, cuts) => {
        const decoder = new FrameDecoder(300)
        const bytes = encode(frames)
        const read = cut(bytes, cuts).flatMap(piece => [...decoder.push(piece)])
        assert.deepEqual(
          read.map(({ type, id, body }) => [type, id, Buffer.from(body).toString('hex')]),
          frames.map(({ type, id, body }) => [type, id, Buffer.from(body).toString('hex')]),
        )
      }),
    )
  })

  it('of a large body come out byte by byte as well, and do not share memory with the input', () => {
    const body = Buffer.alloc(200_000, 7)
    const decoder = new FrameDecoder(200_000)
    const pieces = Buffer.concat(encodeFrame({ type: 'message', id: 1, body }))
    const frames: Frame[] = []
    for (let at = 0; at < pieces.length; at += 13) {
      frames.push(...decoder.push(pieces.subarray(at, at + 13)))
    }
    pieces.fill(0)
    assert.equal(frames.length, 1)
    assert.deepEqual(Buffer.from(frames[0]?.body ?? []), body)
  })

  it('over the limit are refused by their header alone', () => {
    const header = encode([{ type: 'request', id: 1, body: Buffer.alloc(101) }])
    const decoder = new FrameDecoder(100)
    assert.throws(() => [...decoder.push(header.subarray(0, frameHeaderBytes))], {
      code: 'peer_message_invalid',
    })
  })

  it('from random bytes never throw anything but peer_message_invalid', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 64 })), pieces => {
        const decoder = new FrameDecoder(1_000)
        try {
          for (const piece of pieces) for (const { body } of decoder.push(piece)) void body
        } catch (error) {
          assert.ok(error instanceof OperationError && error.code === 'peer_message_invalid')
        }
      }),
    )
  })
})
