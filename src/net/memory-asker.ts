import type { ProtocolName, RequestOptions } from '../interface/network.ts'
import { bytesAheadMax, messageBytesMax, streamAheadMax, streamedPieceBytes } from '../limits.ts'
import type { Clock } from '../std/clock.ts'
import { type AbortOptions, linkSignal } from '../std/signal.ts'
import type { AnswererFrame, AskerFrame } from './memory-frame.ts'
import { asPeerErrorCode, peerError } from './peer-error.ts'

export interface AskerComponents {
  readonly clock: Clock
  readonly send: (frame: AskerFrame) => void
}

interface PendingReply {
  readonly resolve: (body: Uint8Array) => void
  readonly reject: (error: unknown) => void
}

interface Opening {
  readonly protocol: ProtocolName
  readonly body: Uint8Array
  /** Messages that may come unasked. */
  readonly ahead: number
}

/** Messages of one stream that have arrived and wait for the reader. */
interface Inbox {
  readonly messages: Uint8Array[]
  readonly ahead: number
  end: { readonly error: unknown } | undefined
  wake: () => void
}

/** The asking end of one simulated connection. */
export class MemoryAsker {
  readonly #clock: Clock
  readonly #send: (frame: AskerFrame) => void
  readonly #pending = new Map<number, PendingReply>()
  readonly #inboxes = new Map<number, Inbox>()
  #nextId = 0
  #isClosed = false

  constructor({ clock, send }: AskerComponents) {
    this.#clock = clock
    this.#send = send
  }

  async request(
    protocol: ProtocolName,
    body: Uint8Array,
    { signal, timeoutMs }: RequestOptions,
  ): Promise<Uint8Array> {
    signal.throwIfAborted()
    refuseLarge(body)
    const id = this.#newId()
    const linked = linkSignal(this.#clock, [signal], timeoutMs)
    let isAnswered = false
    try {
      return await new Promise<Uint8Array>((resolve, reject) => {
        const settle = (act: () => void): void => {
          isAnswered = true
          act()
        }
        this.#pending.set(id, {
          resolve: reply => settle(() => resolve(reply)),
          reject: error => settle(() => reject(error)),
        })
        linked.signal.addEventListener('abort', () => {
          reject(signal.aborted ? signal.reason : peerError('peer_timeout'))
        })
        this.#send({ type: 'request', id, protocol, body: body.slice() })
      })
    } finally {
      linked[Symbol.dispose]()
      this.#pending.delete(id)
      if (!isAnswered) this.#send({ type: 'cancel', id })
    }
  }

  openStream(
    protocol: ProtocolName,
    body: Uint8Array,
    options: AbortOptions,
  ): AsyncGenerator<Uint8Array> {
    return this.#open({ protocol, body, ahead: streamAheadMax }, options)
  }

  /** A stream whose sender may be as far ahead as a plain connection lets it. */
  openBytes(
    protocol: ProtocolName,
    body: Uint8Array,
    options: AbortOptions,
  ): AsyncGenerator<Uint8Array> {
    return this.#open({ protocol, body, ahead: bytesAheadMax / streamedPieceBytes }, options)
  }

  async *#open(call: Opening, { signal }: AbortOptions): AsyncGenerator<Uint8Array> {
    const { protocol, body, ahead } = call
    signal.throwIfAborted()
    refuseLarge(body)
    const id = this.#newId()
    const inbox: Inbox = { messages: [], ahead, end: undefined, wake: () => undefined }
    this.#inboxes.set(id, inbox)
    const onAbort = (): void => inbox.wake()
    signal.addEventListener('abort', onAbort)
    try {
      this.#send({ type: 'open', id, protocol, ahead, body: body.slice() })
      for (;;) {
        signal.throwIfAborted()
        const message = inbox.messages.shift()
        if (message !== undefined) {
          this.#send({ type: 'take', id })
          yield message
        } else if (inbox.end === undefined) {
          await new Promise<void>(resolve => {
            inbox.wake = resolve
          })
        } else if (inbox.end.error === undefined) return
        else throw inbox.end.error
      }
    } finally {
      signal.removeEventListener('abort', onAbort)
      this.#inboxes.delete(id)
      if (inbox.end === undefined) this.#send({ type: 'cancel', id })
    }
  }

  receive(frame: AnswererFrame): void {
    const pending = this.#pending.get(frame.id)
    const inbox = this.#inboxes.get(frame.id)
    if (frame.type === 'reply') pending?.resolve(frame.body)
    else if (frame.type === 'failure') {
      const error = peerError(asPeerErrorCode(frame.code))
      pending?.reject(error)
      if (inbox !== undefined) endInbox(inbox, error)
    } else if (inbox === undefined) return
    else if (frame.type === 'end') endInbox(inbox, undefined)
    else if (inbox.messages.length >= inbox.ahead) {
      endInbox(inbox, peerError('peer_message_invalid'))
    } else {
      inbox.messages.push(frame.body)
      inbox.wake()
    }
  }

  /** The connection is gone: nothing will be answered any more. */
  close(): void {
    this.#isClosed = true
    const error = peerError('peer_unreachable')
    for (const pending of this.#pending.values()) pending.reject(error)
    for (const inbox of this.#inboxes.values()) endInbox(inbox, error)
  }

  #newId(): number {
    if (this.#isClosed) throw peerError('peer_unreachable')
    this.#nextId += 1
    return this.#nextId
  }
}

function endInbox(inbox: Inbox, error: unknown): void {
  inbox.end ??= { error }
  inbox.wake()
}

/** @throws RangeError */
export function refuseLarge(body: Uint8Array): void {
  if (body.length <= messageBytesMax) return
  throw new RangeError(`A message of ${body.length} bytes is over the limit of ${messageBytesMax}`)
}
