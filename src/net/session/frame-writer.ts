import { peerSendBytesMax, peerSendPiecesMax } from '../../limits.ts'
import { assert } from '../../std/assert.ts'
import { afterThisTurn } from '../../std/turn.ts'
import { encodeFrame, type Frame } from '../../wire/frame.ts'
import { peerError } from '../peer-error.ts'
import type { ByteChannel } from './byte-channel.ts'

/** Bytes given to the transport at once: more make one long frame that delays all others. */
const pieceBytes = 128 * 1024
/** Joining what is longer costs more than sending it alone. */
const joinBytes = 16 * 1024
/** Bytes sent without a pause. Other connections and timers get their turn after it. */
const turnBytes = 256 * 1024

/**
 * Sends frames in order. What is written in one turn of the event loop leaves in one piece, and
 * no more is given to the transport than it takes: the library's own buffer would grow without end.
 */
export class FrameWriter {
  readonly #channel: ByteChannel
  #queue: Uint8Array[] = []
  #queuedBytes = 0
  #isSending = false
  #waiting: (() => void)[] = []

  constructor(channel: ByteChannel) {
    this.#channel = channel
  }

  get queuedBytes(): number {
    return this.#queuedBytes
  }

  /** @throws peer_unreachable after the close; peer_overloaded when the peer reads too slowly */
  write(frame: Frame): void {
    if (!this.#channel.isOpen) throw peerError('peer_unreachable')
    const bytes = frame.body.length
    const isOver = this.#queuedBytes > 0 && this.#queuedBytes + bytes > peerSendBytesMax
    if (isOver || this.#queue.length >= peerSendPiecesMax) {
      throw peerError('peer_overloaded')
    }
    for (const piece of encodeFrame(frame)) {
      this.#queue.push(piece)
      this.#queuedBytes += piece.length
    }
    if (this.#isSending) return
    this.#isSending = true
    afterThisTurn(() => this.#send())
  }

  /** Resolves when all has been handed to the transport, or the channel has closed. */
  flushed(): Promise<void> {
    if (!this.#isSending) return Promise.resolve()
    return new Promise(resolve => this.#waiting.push(resolve))
  }

  /** Sends until the transport is full or a turn's worth has left, then comes back. */
  #send(): void {
    let sentBytes = 0
    while (this.#queue.length > 0 && this.#channel.isOpen) {
      if (sentBytes >= turnBytes) {
        afterThisTurn(() => this.#send())
        return
      }
      const piece = this.#takePiece()
      sentBytes += piece.length
      if (this.#channel.send(piece)) continue
      this.#channel.drained().then(() => afterThisTurn(() => this.#send()))
      return
    }
    this.#queue = []
    this.#queuedBytes = 0
    this.#isSending = false
    const waiting = this.#waiting
    this.#waiting = []
    for (const resolve of waiting) resolve()
  }

  /** The next bytes of the queue: many small ones joined, or a part of a large one as it is. */
  #takePiece(): Uint8Array {
    const first = this.#queue[0]
    assert(first !== undefined, 'there is something to send')
    if (first.length > joinBytes) {
      const piece = first.subarray(0, pieceBytes)
      if (piece.length === first.length) this.#queue.shift()
      else this.#queue[0] = first.subarray(piece.length)
      this.#queuedBytes -= piece.length
      return piece
    }
    let bytes = 0
    let count = 0
    for (const next of this.#queue) {
      if (next.length > joinBytes || bytes + next.length > pieceBytes) break
      bytes += next.length
      count += 1
    }
    const parts = this.#queue.splice(0, count)
    this.#queuedBytes -= bytes
    return parts.length === 1 ? first : Buffer.concat(parts, bytes)
  }
}
