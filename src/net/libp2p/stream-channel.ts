import type { Stream } from '@libp2p/interface'
import type { ByteChannel, ByteChannelListeners } from '../session/byte-channel.ts'
import type { PeerMeasures } from '../session/measures.ts'

/**
 * A libp2p stream as a byte channel, around what does not work in the library (ADR 0004): waits
 * for the `drain` event and not for `onDrain()`, never calls `pause()`, and reads by events.
 */
export class StreamChannel implements ByteChannel {
  readonly #stream: Stream
  readonly #measures: PeerMeasures

  constructor(stream: Stream, measures: PeerMeasures) {
    this.#stream = stream
    this.#measures = measures
  }

  get isOpen(): boolean {
    return this.#stream.status === 'open' && this.#stream.writeStatus === 'writable'
  }

  send(bytes: Uint8Array): boolean {
    try {
      this.#measures.bytesSent += bytes.length
      return this.#stream.send(bytes)
    } catch (error) {
      // Closed under our hands: `onClose` tells, and there is nothing to wait for.
      this.abort(error instanceof Error ? error : new Error('The stream is closed'))
      return true
    }
  }

  async drained(): Promise<void> {
    // One event is not enough: the stream may fill again before anybody gets to send.
    while (this.isOpen && this.#stream.writableNeedsDrain) await nextDrain(this.#stream)
  }

  listen({ onBytes, onClose }: ByteChannelListeners): void {
    const stream = this.#stream
    let isClosed = false
    const close = (): void => {
      if (isClosed) return
      isClosed = true
      onClose()
    }
    stream.addEventListener('message', ({ data }) => {
      this.#measures.bytesReceived += data.byteLength
      // A list's parts one by one: joining them would copy every byte once more.
      if (data instanceof Uint8Array) onBytes(data)
      else for (const part of data) onBytes(part)
    })
    stream.addEventListener('end', close)
    stream.addEventListener('close', close)
    // Both events may have passed before anybody listened.
    if (stream.readableEnded || stream.status !== 'open') close()
  }

  async close(): Promise<void> {
    try {
      await this.#stream.close({ signal: AbortSignal.timeout(closeTimeoutMs) })
    } catch (error) {
      this.abort(error instanceof Error ? error : new Error('The stream does not close'))
    }
  }

  abort(error: Error): void {
    this.#stream.abort(error)
  }
}

/** Time for the last bytes to leave. */
const closeTimeoutMs = 5_000

function nextDrain(stream: Stream): Promise<void> {
  return new Promise(resolve => {
    const done = (): void => {
      stream.removeEventListener('drain', done)
      stream.removeEventListener('close', done)
      resolve()
    }
    stream.addEventListener('drain', done)
    stream.addEventListener('close', done)
  })
}
