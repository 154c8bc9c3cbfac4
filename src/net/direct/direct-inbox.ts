import {
  directPieceBytes,
  directPiecesAheadMax,
  directRoomBytes,
  directRoomsKeptMax,
  KiB,
} from '../../limits.ts'
import type { Clock } from '../../std/clock.ts'
import { type FrameHeader, frameHeaderBytes, readFrameHeader } from '../../wire/frame.ts'
import { peerError } from '../peer-error.ts'
import { failureOfCode } from '../session/pending-requests.ts'

/** A buffer for less than this costs as much as one of this size. */
const roomBytesMin: number = 16 * KiB
/** Shorter messages tell how fast the sender makes them, not how fast the path is. */
const bulkBytesMin: number = 16 * KiB

/**
 * Rooms that readers have done with, for the next pieces: the system makes room for bytes more
 * slowly than they are copied.
 */
export class SpareRooms {
  readonly #rooms: Uint8Array[] = []

  take(): Uint8Array | undefined {
    return this.#rooms.pop()
  }

  clear(): void {
    this.#rooms.length = 0
  }

  give(room: Uint8Array): void {
    if (room.length >= directRoomBytes && this.#rooms.length < directRoomsKeptMax) {
      this.#rooms.push(room)
    }
  }
}

/**
 * The asking end of one call on a direct connection: cuts what comes into pieces, copying each byte
 * once, and holds them for the reader.
 */
export class DirectInbox {
  readonly #clock: Clock
  readonly #spare: SpareRooms | undefined
  readonly #pieces: Uint8Array[] = []
  readonly #header: Uint8Array = new Uint8Array(frameHeaderBytes)
  #headerFilled = 0
  #frame: FrameHeader | undefined
  /** Bytes of the open frame's body that have yet to come. */
  #missing = 0
  /** Where the next bytes go; `[#from, #to)` of it has come and is in no piece yet. */
  #room: Uint8Array = new Uint8Array(0)
  #from = 0
  #to = 0
  /** The room that the reader's piece is the end of. */
  #lent: Uint8Array | undefined
  /** A message has ended in `#room`: what is there need not wait for more. */
  #isWhole = false
  #end: { readonly error: unknown } | undefined
  #wake: () => void = () => undefined
  #waitsSinceMs: number | undefined
  #isFirst = true
  #isDiscarding = false
  discardedBytes = 0
  /** Bytes that came while the reader waited for them, and for how long it did. */
  bulkBytes = 0
  waitedMs = 0
  /** The peer has said something: the call has reached its handler. */
  isAnswered = false
  /** The peer has said its last word on the call. */
  isComplete = false

  /** With `spare`, a piece is the reader's until it asks for the next one. */
  constructor(clock: Clock, spare?: SpareRooms) {
    this.#clock = clock
    this.#spare = spare
  }

  /** Whether there is as much as a reader should have waiting. */
  get isFull(): boolean {
    return this.#pieces.length >= directPiecesAheadMax
  }

  /** Since when the reader has been waiting; undefined while it does not. */
  get waitsSinceMs(): number | undefined {
    return this.#waitsSinceMs
  }

  /** Copies what it needs of `bytes`. @throws peer_message_invalid */
  push(bytes: Uint8Array): void {
    this.isAnswered ||= bytes.length > 0
    for (let at = 0; at < bytes.length; ) {
      if (this.isComplete) throw peerError('peer_message_invalid')
      if (this.#frame === undefined) at += this.#fillHeader(bytes, at)
      else at += this.#fillBody(this.#frame, bytes, at)
    }
    if (this.#pieces.length > 0 || this.#isWhole || this.#end !== undefined) this.#wake()
  }

  /** What has come before is still taken; the first end counts. */
  end(error: unknown): void {
    this.#end ??= { error }
    this.#wake()
  }

  /** The reader wants no more. What still comes is thrown away. */
  discard(error: unknown): void {
    this.#isDiscarding = true
    this.#pieces.length = 0
    this.#from = this.#to
    this.#isWhole = false
    this.#end = { error }
    this.#wake()
  }

  /** The next piece; undefined after the last. */
  async next(): Promise<Uint8Array | undefined> {
    this.#takeBack()
    for (;;) {
      const piece = this.#pieces.shift() ?? this.#takeWhole()
      if (piece !== undefined) {
        this.#measure(piece.length)
        this.#lend(piece)
        return piece
      }
      if (this.#end !== undefined) {
        if (this.#end.error !== undefined) throw this.#end.error
        return undefined
      }
      this.#waitsSinceMs ??= this.#clock.monotonicMs()
      await new Promise<void>(resolve => {
        this.#wake = resolve
      })
    }
  }

  #fillHeader(bytes: Uint8Array, at: number): number {
    const part = bytes.subarray(at, at + frameHeaderBytes - this.#headerFilled)
    this.#header.set(part, this.#headerFilled)
    this.#headerFilled += part.length
    if (this.#headerFilled < frameHeaderBytes) return part.length
    this.#headerFilled = 0
    const frame = readFrameHeader(this.#header, directPieceBytes)
    this.#missing = frame.length
    if (frame.length > 0) this.#frame = frame
    this.#begin(frame)
    return part.length
  }

  #begin({ type, length }: FrameHeader): void {
    const isRight =
      type === 'message' ||
      (type === 'failure' && length === 1) ||
      ((type === 'end' || type === 'ping') && length === 0)
    if (!isRight) throw peerError('peer_message_invalid')
    if (type === 'end') this.#complete(undefined)
  }

  #fillBody(frame: FrameHeader, bytes: Uint8Array, at: number): number {
    let count = Math.min(this.#missing, bytes.length - at)
    if (frame.type === 'failure') this.#complete(peerError(failureOfCode(bytes[at])))
    else if (this.#isDiscarding) this.discardedBytes += count
    else count = this.#store(bytes.subarray(at, at + count))
    this.#missing -= count
    if (this.#missing > 0) return count
    this.#frame = undefined
    if (this.#to > this.#from) this.#isWhole = true
    return count
  }

  /** As much of `bytes` as fits into what is at hand; how much that was. */
  #store(bytes: Uint8Array): number {
    if (this.#to === this.#room.length) {
      this.#room = this.#spare?.take() ?? this.#newRoom()
      this.#from = 0
      this.#to = 0
    }
    const part = bytes.subarray(0, this.#room.length - this.#to)
    this.#room.set(part, this.#to)
    this.#to += part.length
    if (this.#to === this.#room.length) this.#pieces.push(this.#cut())
    return part.length
  }

  /** Not zeroed: only what has been written over is ever given out. */
  #newRoom(): Uint8Array {
    const isKept = this.#spare !== undefined
    const roomBytes = isKept ? directRoomBytes : Math.max(roomBytesMin, this.#missing)
    return Buffer.allocUnsafeSlow(Math.min(directRoomBytes, roomBytes))
  }

  /** The reader has done with its piece. */
  #takeBack(): void {
    if (this.#lent !== undefined) this.#spare?.give(this.#lent)
    this.#lent = undefined
  }

  /** Nothing more is written into a room whose end is given out. */
  #lend({ buffer, byteOffset, length }: Uint8Array): void {
    if (byteOffset + length === buffer.byteLength) this.#lent = Buffer.from(buffer)
  }

  #takeWhole(): Uint8Array | undefined {
    return this.#isWhole ? this.#cut() : undefined
  }

  #cut(): Uint8Array {
    const piece = this.#room.subarray(this.#from, this.#to)
    this.#from = this.#to
    this.#isWhole = false
    return piece
  }

  #complete(error: unknown): void {
    this.isComplete = true
    this.#end ??= { error }
  }

  #measure(bytes: number): void {
    const sinceMs = this.#waitsSinceMs
    this.#waitsSinceMs = undefined
    // Until the first piece the sender prepares; that says nothing about the path.
    if (sinceMs !== undefined && !this.#isFirst && bytes >= bulkBytesMin) {
      this.bulkBytes += bytes
      this.waitedMs += this.#clock.monotonicMs() - sinceMs
    }
    this.#isFirst = false
  }
}
