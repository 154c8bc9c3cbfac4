import { OperationError } from '../../../errors.ts'
import type { Network, PeerId } from '../../../interface/network.ts'
import type { Store } from '../../../interface/store.ts'
import type { LookupKey } from '../../../key/response-key.ts'
import {
  recordReplyBytesMax,
  servedBytesMax,
  servedPerPeerBytesMax,
  streamPieceBytes,
} from '../../../limits.ts'
import type { AbortOptions } from '../../../std/signal.ts'
import {
  decodeKey,
  decodeKeys,
  encodeAnswers,
  type RecordAnswer,
} from '../../../wire/record-messages.ts'
import { flightProtocol, recordProtocol, recordStreamProtocol } from './protocols.ts'
import type { SharedFlights } from './shared-flights.ts'
import type { SharedKeys } from './shared-keys.ts'

export interface RecordServerComponents {
  readonly network: Network
  readonly store: Store
  readonly shared: SharedKeys
  readonly flights: SharedFlights
  /** Counts what was given to whom. */
  readonly onServed: (peer: PeerId, bytes: number) => void
  /** A message that is not of the protocol. */
  readonly onMisbehaviour: (peer: PeerId) => void
}

/** Gives sealed records to members who ask for them by look-up key. */
export class RecordServer {
  readonly #parts: RecordServerComponents
  /** Bytes being streamed, by peer: a reader that takes its time holds them. */
  readonly #streaming = new Map<PeerId, number>()
  #streamingBytes = 0

  constructor(components: RecordServerComponents) {
    this.#parts = components
  }

  /** Before the network starts. */
  register(): void {
    const { network } = this.#parts
    network.serve(recordProtocol, async (body, from) => this.#answer(body, from))
    network.serveStream(recordStreamProtocol, (body, from) => this.#stream(body, from))
    network.serveStream(flightProtocol, (body, from, options) => this.#await(body, from, options))
  }

  #answer(body: Uint8Array, from: PeerId): Uint8Array {
    let room = recordReplyBytesMax
    const answers = this.#decode(from, () => decodeKeys(body)).map((key): RecordAnswer => {
      const bytes = this.#read(key)
      if (bytes === undefined) {
        const leftMs = this.#parts.flights.leftMs(key)
        return leftMs === undefined ? { type: 'none' } : { type: 'in-flight', leftMs }
      }
      if (bytes.length > room) return { type: 'large' }
      room -= bytes.length
      this.#parts.onServed(from, bytes.length)
      return { type: 'record', bytes }
    })
    return encodeAnswers(answers)
  }

  async *#stream(body: Uint8Array, from: PeerId): AsyncGenerator<Uint8Array> {
    yield* this.#send(
      from,
      this.#decode(from, () => decodeKey(body)),
    )
  }

  async *#await(
    body: Uint8Array,
    from: PeerId,
    { signal }: AbortOptions,
  ): AsyncGenerator<Uint8Array> {
    const key = this.#decode(from, () => decodeKey(body))
    const landedKey = await this.#parts.flights.landing(key, signal)
    if (landedKey !== undefined) yield* this.#send(from, landedKey)
  }

  *#send(peer: PeerId, key: LookupKey): Generator<Uint8Array> {
    const bytes = this.#read(key)
    if (bytes === undefined) return
    this.#hold(peer, bytes.length)
    try {
      for (let start = 0; start < bytes.length; start += streamPieceBytes) {
        yield bytes.subarray(start, start + streamPieceBytes)
      }
      this.#parts.onServed(peer, bytes.length)
    } finally {
      this.#hold(peer, -bytes.length)
    }
  }

  /** @throws peer_overloaded when that is more than a peer, or all of them, may hold */
  #hold(peer: PeerId, bytes: number): void {
    const held = (this.#streaming.get(peer) ?? 0) + bytes
    const isOver = held > servedPerPeerBytesMax || this.#streamingBytes + bytes > servedBytesMax
    if (bytes > 0 && isOver) {
      const message = 'Cannot stream the record: too many are being streamed'
      throw new OperationError('peer_overloaded', message, { origin: 'self', retryable: true })
    }
    this.#streamingBytes += bytes
    if (held > 0) this.#streaming.set(peer, held)
    else this.#streaming.delete(peer)
  }

  /** What is not shared is not read: a private entry and no entry are the same from outside. */
  #read(key: LookupKey): Uint8Array | undefined {
    const { shared, store } = this.#parts
    if (!shared.has(key)) return undefined
    const record = store.peek(key)
    if (record === undefined) {
      // Evicted or expired since it was announced.
      shared.remove(key)
      return undefined
    }
    store.countUse(key)
    return record.bytes
  }

  #decode<Message>(from: PeerId, decode: () => Message): Message {
    try {
      return decode()
    } catch (error) {
      this.#parts.onMisbehaviour(from)
      throw error
    }
  }
}
