import type { ProtocolName, RequestOptions } from '../../interface/network.ts'
import { messageBytesMax, peerPendingMax } from '../../limits.ts'
import type { Clock } from '../../std/clock.ts'
import { linkSignal } from '../../std/signal.ts'
import type { Frame } from '../../wire/frame.ts'
import { encodeRequestBody } from '../../wire/request-body.ts'
import { type PeerErrorCode, peerError } from '../peer-error.ts'

interface Pending {
  resolve(body: Uint8Array): void
  reject(error: unknown): void
}

/** Our requests to one peer that wait for its reply. */
export class PendingRequests {
  readonly #clock: Clock
  readonly #send: (frame: Frame) => void
  readonly #pending = new Map<number, Pending>()
  #nextId = 1

  constructor(clock: Clock, send: (frame: Frame) => void) {
    this.#clock = clock
    this.#send = send
  }

  get count(): number {
    return this.#pending.size
  }

  async request(
    protocol: ProtocolName,
    body: Uint8Array,
    options: RequestOptions,
  ): Promise<Uint8Array> {
    options.signal.throwIfAborted()
    if (body.length > messageBytesMax) throw new RangeError(`${body.length} bytes are too many`)
    if (this.#pending.size >= peerPendingMax) throw peerError('peer_overloaded')
    const id = this.#nextId
    this.#nextId = id === 0xffff_ffff ? 1 : id + 1
    const linked = linkSignal(this.#clock, [options.signal], options.timeoutMs)
    const reply = new Promise<Uint8Array>((resolve, reject) => {
      this.#pending.set(id, { resolve, reject })
      linked.signal.addEventListener('abort', () => {
        this.#tellCancelled(id)
        const isOurs = options.signal.aborted
        reject(isOurs ? options.signal.reason : peerError('peer_timeout'))
      })
    })
    try {
      this.#send({ type: 'request', id, body: encodeRequestBody(protocol, body) })
      return await reply
    } catch (error) {
      // A request that could not be sent leaves its reply behind: nobody else waits for it.
      reply.catch(() => undefined)
      throw error
    } finally {
      this.#pending.delete(id)
      linked[Symbol.dispose]()
    }
  }

  /** What a peer answers to a request that is given up already is dropped. */
  receiveReply({ id, body }: Frame): void {
    this.#pending.get(id)?.resolve(body)
  }

  receiveFailure({ id, body }: Frame): void {
    this.#pending.get(id)?.reject(peerError(failureOfCode(body[0])))
  }

  end(): void {
    for (const { reject } of this.#pending.values()) reject(peerError('peer_unreachable'))
  }

  #tellCancelled(id: number): void {
    try {
      this.#send({ type: 'cancel', id, body: new Uint8Array(0) })
    } catch {
      // The connection is gone or stuck, and with it the request.
    }
  }
}

/** Only this much of a failure leaves a node: what a message says may be private. */
export function failureCode(code: string | undefined): Uint8Array {
  return Uint8Array.of(code === 'peer_overloaded' ? 2 : 1)
}

export function failureOfCode(code: number | undefined): PeerErrorCode {
  return code === 2 ? 'peer_overloaded' : 'peer_failed'
}
