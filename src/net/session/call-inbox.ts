import { streamAheadMax } from '../../limits.ts'
import type { Clock } from '../../std/clock.ts'
import type { Frame } from '../../wire/frame.ts'
import { peerError } from '../peer-error.ts'
import { failureOfCode } from './pending-requests.ts'

/** Smaller messages tell how fast the sender makes them, not how fast the path is. */
const bulkBytesMin = 16 * 1024

/** Messages of a stream call that wait to be taken: never more than were asked for. */
export class CallInbox {
  readonly #clock: Clock
  readonly #messages: Uint8Array[] = []
  #credit = streamAheadMax
  #end: { readonly error: unknown } | undefined
  #wake: () => void = () => undefined
  #waitingSinceMs: number | undefined
  #isFirst = true
  /** Bytes that came while the reader waited for them, and for how long it did. */
  bulkBytes = 0
  waitedMs = 0

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** @throws peer_message_invalid */
  receive({ type, body }: Frame): void {
    if (type === 'end') this.end(undefined)
    else if (type === 'failure') this.end(peerError(failureOfCode(body[0])))
    else if (type === 'message' && this.#credit > 0) this.#receiveMessage(body)
    else throw peerError('peer_message_invalid')
  }

  #receiveMessage(body: Uint8Array): void {
    this.#credit -= 1
    this.#measure(body.length)
    this.#messages.push(body)
    this.#wake()
  }

  /** What has arrived before is still taken; the first end counts. */
  end(error: unknown): void {
    this.#end ??= { error }
    this.#wake()
  }

  /** Throws away what has arrived: the reader wants no more. */
  abort(error: unknown): void {
    this.#messages.length = 0
    this.#end = { error }
    this.#wake()
  }

  /** The next message; undefined after the last. The sender may then send one more. */
  async next(): Promise<Uint8Array | undefined> {
    while (this.#messages.length === 0 && this.#end === undefined) {
      this.#waitingSinceMs = this.#clock.monotonicMs()
      await new Promise<void>(resolve => {
        this.#wake = resolve
      })
    }
    const message = this.#messages.shift()
    if (message !== undefined) {
      this.#credit += 1
      return message
    }
    if (this.#end?.error !== undefined) throw this.#end.error
    return undefined
  }

  #measure(bytes: number): void {
    const sinceMs = this.#waitingSinceMs
    this.#waitingSinceMs = undefined
    // Until the first message the sender prepares; that says nothing about the path.
    if (sinceMs !== undefined && !this.#isFirst && bytes >= bulkBytesMin) {
      this.bulkBytes += bytes
      this.waitedMs += this.#clock.monotonicMs() - sinceMs
    }
    this.#isFirst = false
  }
}
