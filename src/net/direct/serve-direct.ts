import type { TLSSocket } from 'node:tls'
import { OperationError } from '../../errors.ts'
import type { PeerId, ProtocolName, StreamHandler } from '../../interface/network.ts'
import {
  directIdleMs,
  directPieceBytes,
  directSignOfLifeMs,
  directTurnBytes,
  KiB,
  messageBytesMax,
  streamIdleTimeoutMs,
} from '../../limits.ts'
import type { Clock } from '../../std/clock.ts'
import { afterThisTurn } from '../../std/turn.ts'
import { encodeFrame, type Frame, FrameDecoder } from '../../wire/frame.ts'
import { decodeRequestBody, protocolBytesMax } from '../../wire/request-body.ts'
import { cutPieces } from '../cut-pieces.ts'
import { peerError } from '../peer-error.ts'
import type { PeerMeasures } from '../session/measures.ts'
import { failureCode } from '../session/pending-requests.ts'
import { findHandler } from '../session/request-server.ts'
import { every } from './every.ts'

export interface ServeDirectOptions {
  readonly clock: Clock
  readonly peer: PeerId
  readonly measures: PeerMeasures
  readonly handlers: ReadonlyMap<ProtocolName, StreamHandler>
  /** A handler failed for a reason that is ours to look into, or the peer sent what it must not. */
  readonly onFailure: (error: unknown) => void
}

const none: Uint8Array = new Uint8Array(0)
/** A write costs as much time as so many bytes, however few it has. */
const smallBytes: number = 16 * KiB

/**
 * The answering end of a direct connection: one call after the other, until either side closes it.
 * Resolves when it is closed and no handler of it runs.
 */
export async function serveDirect(socket: TLSSocket, options: ServeDirectOptions): Promise<void> {
  await new DirectResponder(socket, options).run()
}

class DirectResponder {
  readonly #socket: TLSSocket
  readonly #options: ServeDirectOptions
  readonly #decoder = new FrameDecoder(messageBytesMax + protocolBytesMax + 1)
  #opening: Uint8Array | undefined
  /** Of the call under way. */
  #controller: AbortController | undefined
  /** What waits for the asker or for the socket goes on. */
  #wake: () => void = () => undefined
  #sentBytes = 0
  /** Writes that the socket has not done with. */
  #writing = 0

  constructor(socket: TLSSocket, options: ServeDirectOptions) {
    this.#socket = socket
    this.#options = options
    socket.on('error', () => socket.destroy())
    socket.on('close', () => {
      this.#controller?.abort(new DOMException('The reader went away', 'AbortError'))
      this.#wake()
    })
    socket.on('data', bytes => this.#receiveBytes(bytes))
  }

  async run(): Promise<void> {
    while (await this.#isAskedAgain()) {
      const opening = this.#opening ?? none
      this.#opening = undefined
      const controller = new AbortController()
      this.#controller = controller
      try {
        await this.#answer(opening, controller.signal)
      } finally {
        this.#controller = undefined
      }
    }
  }

  /** Waits for the next call; who opened the connection closes an unused one long before. */
  async #isAskedAgain(): Promise<boolean> {
    const { clock } = this.#options
    const cancel = clock.after(2 * directIdleMs, () => this.#socket.destroy())
    while (this.#opening === undefined && !this.#socket.destroyed) await this.#woken()
    cancel()
    return !this.#socket.destroyed
  }

  async #answer(opening: Uint8Array, signal: AbortSignal): Promise<void> {
    const { clock, peer, handlers, onFailure } = this.#options
    let shownBytes = -1
    const endSigns = every(clock, directSignOfLifeMs, () => {
      if (this.#sentBytes === shownBytes) this.#write({ type: 'ping', id: 0, body: none })
      shownBytes = this.#sentBytes
    })
    try {
      const { protocol, body } = decodeRequestBody(opening)
      const handler = findHandler(handlers, protocol)
      if (handler === undefined) throw peerError('peer_failed')
      await this.#sendAll(handler(body, peer, { signal }), signal)
      this.#write({ type: 'end', id: 0, body: none })
    } catch (error) {
      const isExpected = signal.aborted || error instanceof OperationError
      const code = error instanceof OperationError ? error.code : 'peer_failed'
      this.#write({ type: 'failure', id: 0, body: failureCode(code) })
      if (!isExpected) onFailure(error)
    } finally {
      endSigns()
    }
  }

  async #sendAll(messages: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<void> {
    const iterator = messages[Symbol.asyncIterator]()
    let turnBytes = 0
    try {
      for (;;) {
        const { done, value } = await iterator.next()
        if (signal.aborted || done) return
        for (const body of cutPieces(value, directPieceBytes)) {
          this.#write({ type: 'message', id: 0, body })
          await this.#flushed()
          if (signal.aborted) return
          turnBytes += Math.max(body.length, smallBytes)
        }
        // A socket that takes everything would keep everybody else waiting.
        if (turnBytes < directTurnBytes) continue
        turnBytes = 0
        await new Promise<void>(afterThisTurn)
      }
    } finally {
      await iterator.return?.()
    }
  }

  /**
   * Until the system has all that was written: its memory is the handler's again. A reader that
   * takes nothing must not hold what it was to get for ever.
   */
  async #flushed(): Promise<void> {
    const { clock } = this.#options
    const cancel = clock.after(streamIdleTimeoutMs, () => this.#socket.destroy())
    while (this.#writing > 0 && !this.#socket.destroyed) await this.#woken()
    cancel()
  }

  #write(frame: Frame): void {
    if (this.#socket.destroyed) return
    for (const piece of encodeFrame(frame)) {
      this.#sentBytes += piece.length
      this.#options.measures.bytesSent += piece.length
      this.#writing += 1
      this.#socket.write(piece, () => {
        this.#writing -= 1
        if (this.#writing === 0) this.#wake()
      })
    }
  }

  #receiveBytes(bytes: Uint8Array): void {
    this.#options.measures.bytesReceived += bytes.length
    try {
      for (const frame of this.#decoder.push(bytes)) this.#receive(frame)
    } catch (error) {
      this.#options.onFailure(error)
      this.#socket.destroy()
    }
  }

  #receive({ type, body }: Frame): void {
    const isFree = this.#controller === undefined && this.#opening === undefined
    // A cancel may cross the end of what it cancels.
    if (type === 'cancel') this.#controller?.abort(new DOMException('Not wanted', 'AbortError'))
    else if (type === 'open' && isFree) this.#opening = body
    else throw peerError('peer_message_invalid')
    this.#wake()
  }

  #woken(): Promise<void> {
    return new Promise(resolve => {
      this.#wake = resolve
    })
  }
}
