import { OperationError } from '../errors.ts'

/**
 * The frames of a session and of a stream call (spec/wire.md §3):
 *
 *     u32-LE body length ‖ u32-LE id ‖ u8 type ‖ body
 */
export interface Frame {
  readonly type: FrameType
  /** Which request it belongs to; in `credit` and `open` how many messages may come. */
  readonly id: number
  readonly body: Uint8Array
}

export type FrameType = keyof typeof codes

const codes = {
  request: 1,
  reply: 2,
  failure: 3,
  cancel: 4,
  ping: 5,
  pong: 6,
  goodbye: 7,
  open: 8,
  message: 9,
  credit: 10,
  end: 11,
} as const

const typeOfCode: ReadonlyMap<number, FrameType> = new Map(
  Object.entries(codes).flatMap(([type, code]) => (isType(type) ? [[code, type]] : [])),
)

export const frameHeaderBytes = 9
/** Below this a body is copied into one piece with its header, which costs less than two pieces. */
const joinBytesMax = 64 * 1024

/** The frame as pieces to send in order. */
export function encodeFrame({ type, id, body }: Frame): readonly Uint8Array[] {
  const isJoined = body.length <= joinBytesMax
  const head = Buffer.allocUnsafe(frameHeaderBytes + (isJoined ? body.length : 0))
  head.writeUInt32LE(body.length, 0)
  head.writeUInt32LE(id, 4)
  head[8] = codes[type]
  if (!isJoined) return [head, body]
  head.set(body, frameHeaderBytes)
  return [head]
}

/**
 * Cuts a byte stream of a peer into frames. Checks the length before it makes room for a body, and
 * makes room as bytes arrive: a peer that only announces a large frame costs nothing.
 */
export class FrameDecoder {
  readonly #bodyBytesMax: number
  readonly #header: Uint8Array = new Uint8Array(frameHeaderBytes)
  #headerFilled = 0
  #open: OpenFrame | undefined

  constructor(bodyBytesMax: number) {
    this.#bodyBytesMax = bodyBytesMax
  }

  /** The frames that are complete with this piece. @throws peer_message_invalid */
  *push(piece: Uint8Array): Generator<Frame> {
    let rest = piece
    for (;;) {
      if (this.#open === undefined) {
        const part = rest.subarray(0, frameHeaderBytes - this.#headerFilled)
        this.#header.set(part, this.#headerFilled)
        this.#headerFilled += part.length
        rest = rest.subarray(part.length)
        if (this.#headerFilled < frameHeaderBytes) return
        this.#headerFilled = 0
        this.#open = openFrame(this.#header, this.#bodyBytesMax)
      }
      const { type, id, length, body, filled } = this.#open
      const part = rest.subarray(0, length - filled)
      const room = roomFor(body, filled + part.length, length)
      room.set(part, filled)
      rest = rest.subarray(part.length)
      if (filled + part.length < length) {
        this.#open = { ...this.#open, body: room, filled: filled + part.length }
        return
      }
      this.#open = undefined
      yield { type, id, body: room }
    }
  }
}

export interface FrameHeader {
  readonly type: FrameType
  readonly id: number
  /** Bytes of the body. */
  readonly length: number
}

interface OpenFrame extends FrameHeader {
  readonly body: Uint8Array
  readonly filled: number
}

function openFrame(header: Uint8Array, bodyBytesMax: number): OpenFrame {
  return { ...readFrameHeader(header, bodyBytesMax), body: new Uint8Array(0), filled: 0 }
}

/** @throws peer_message_invalid */
export function readFrameHeader(header: Uint8Array, bodyBytesMax: number): FrameHeader {
  const view = new DataView(header.buffer, header.byteOffset, header.byteLength)
  const length = view.getUint32(0, true)
  if (length > bodyBytesMax) throw invalid(`a frame of ${length} bytes`)
  const code = view.getUint8(8)
  const type = typeOfCode.get(code)
  if (type === undefined) throw invalid(`a frame of unknown type ${code}`)
  return { type, id: view.getUint32(4, true), length }
}

/**
 * Once this much of a body has come, the rest is taken to be on its way. Bytes come in records of
 * TLS, 16 KiB each: growing with them would copy a body several times.
 */
const earnestBytes = 16 * 1024

/** `body`, or a copy with room for `needed` bytes. Exactly `length` once all is at hand. */
function roomFor(body: Uint8Array, needed: number, length: number): Uint8Array {
  if (needed <= body.length) return body
  const wanted = needed >= earnestBytes ? length : 2 * body.length
  const room = new Uint8Array(Math.min(length, Math.max(needed, wanted)))
  room.set(body)
  return room
}

function isType(text: string): text is FrameType {
  return Object.hasOwn(codes, text)
}

function invalid(what: string): OperationError {
  return new OperationError('peer_message_invalid', `Cannot read the peer's message: ${what}`, {
    origin: 'peer',
  })
}
