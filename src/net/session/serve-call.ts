import { OperationError } from '../../errors.ts'
import type { PeerId, ProtocolName, StreamHandler } from '../../interface/network.ts'
import {
  membershipTimeoutMs,
  messageBytesMax,
  streamAheadMax,
  streamIdleTimeoutMs,
} from '../../limits.ts'
import type { Clock } from '../../std/clock.ts'
import { type Frame, FrameDecoder } from '../../wire/frame.ts'
import { decodeRequestBody, protocolBytesMax } from '../../wire/request-body.ts'
import { peerError } from '../peer-error.ts'
import type { ByteChannel } from './byte-channel.ts'
import { FrameWriter } from './frame-writer.ts'
import { failureCode } from './pending-requests.ts'
import { findHandler } from './request-server.ts'

export interface ServeCallOptions {
  readonly clock: Clock
  readonly peer: PeerId
  readonly handlers: ReadonlyMap<ProtocolName, StreamHandler>
  /** Ends the call, as the node's stop does. */
  readonly signal: AbortSignal
}

/** Bytes that wait for the transport before the handler is asked for more. */
const queuedBytesMax = 256 * 1024
/** A reader that asks for more than this ahead is not one of ours. */
const creditMax = 1_024

/**
 * The answering side of a stream call: runs the handler, asks it for a message only when the
 * reader may get one, and ends it when the reader goes away or takes nothing for long.
 * @throws what the handler throws, after telling the peer that it failed; peer_message_invalid
 */
export async function serveCall(channel: ByteChannel, options: ServeCallOptions): Promise<void> {
  const call = new ServedCall(channel, options.clock)
  const onAbort = (): void => channel.abort(new Error('The node stops'))
  options.signal.addEventListener('abort', onAbort)
  const cancelTimer = options.clock.after(membershipTimeoutMs, () => {
    if (!call.isOpened) channel.abort(peerError('peer_timeout'))
  })
  try {
    await call.run(options)
  } finally {
    cancelTimer()
    options.signal.removeEventListener('abort', onAbort)
    if (channel.isOpen) await channel.close()
  }
  if (call.fault !== undefined) throw call.fault
}

class ServedCall {
  readonly #channel: ByteChannel
  readonly #clock: Clock
  readonly #writer: FrameWriter
  readonly #decoder = new FrameDecoder(messageBytesMax + protocolBytesMax + 1)
  readonly #controller = new AbortController()
  /** What the peer sent and must not. */
  fault: unknown
  #opening: Uint8Array | undefined
  #credit = 0
  #wake: () => void = () => undefined

  constructor(channel: ByteChannel, clock: Clock) {
    this.#channel = channel
    this.#clock = clock
    this.#writer = new FrameWriter(channel)
    channel.listen({
      onBytes: bytes => {
        try {
          for (const frame of this.#decoder.push(bytes)) this.#receive(frame)
        } catch (error) {
          this.fault = error
          channel.abort(peerError('peer_message_invalid'))
        }
      },
      onClose: () => {
        this.#controller.abort(new DOMException('The reader went away', 'AbortError'))
        this.#wake()
      },
    })
  }

  /** Whether the peer has said what it wants. */
  get isOpened(): boolean {
    return this.#opening !== undefined
  }

  async run({ peer, handlers }: ServeCallOptions): Promise<void> {
    const { signal } = this.#controller
    while (this.#opening === undefined && !signal.aborted) await this.#woken()
    if (this.#opening === undefined) return
    try {
      const { protocol, body } = decodeRequestBody(this.#opening)
      const handler = findHandler(handlers, protocol)
      if (handler === undefined) throw peerError('peer_failed')
      await this.#sendAll(handler(body, peer, { signal }))
      if (signal.aborted) return
      this.#writer.write({ type: 'end', id: 0, body: new Uint8Array(0) })
    } catch (error) {
      if (signal.aborted) return
      const code = error instanceof OperationError ? error.code : 'peer_failed'
      this.#writer.write({ type: 'failure', id: 0, body: failureCode(code) })
      if (!(error instanceof OperationError)) throw error
    } finally {
      await this.#writer.flushed()
    }
  }

  async #sendAll(messages: AsyncIterable<Uint8Array>): Promise<void> {
    const { signal } = this.#controller
    const iterator = messages[Symbol.asyncIterator]()
    try {
      for (;;) {
        while (this.#credit === 0 && !signal.aborted) await this.#orHangUp(this.#woken())
        if (signal.aborted) return
        this.#credit -= 1
        const { done, value } = await iterator.next()
        if (signal.aborted || done) return
        if (value.length > messageBytesMax) throw new RangeError('The message is too large')
        this.#writer.write({ type: 'message', id: 0, body: value })
        if (this.#writer.queuedBytes >= queuedBytesMax) {
          await this.#orHangUp(this.#writer.flushed())
        }
      }
    } finally {
      await iterator.return?.()
    }
  }

  #receive({ type, id, body }: Frame): void {
    if (type === 'open' && this.#opening === undefined) {
      this.#opening = body
      this.#credit = Math.min(id, streamAheadMax)
    } else if (type === 'credit' && this.#credit + id <= creditMax) this.#credit += id
    else throw peerError('peer_message_invalid')
    this.#wake()
  }

  /** A reader that neither reads nor asks for more must not hold what it was to get for ever. */
  async #orHangUp(progress: Promise<void>): Promise<void> {
    const cancel = this.#clock.after(streamIdleTimeoutMs, () =>
      this.#channel.abort(peerError('peer_timeout')),
    )
    try {
      await progress
    } finally {
      cancel()
    }
  }

  #woken(): Promise<void> {
    return new Promise(resolve => {
      this.#wake = resolve
    })
  }
}
