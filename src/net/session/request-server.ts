import { OperationError } from '../../errors.ts'
import type { PeerId, ProtocolName, RequestHandler } from '../../interface/network.ts'
import { messageBytesMax, peerRequestBytesMax, requestsPerPeerMax } from '../../limits.ts'
import { TaskScope } from '../../std/task-scope.ts'
import type { Frame } from '../../wire/frame.ts'
import { decodeRequestBody } from '../../wire/request-body.ts'
import { failureCode } from './pending-requests.ts'

export interface RequestServerComponents {
  readonly peer: PeerId
  readonly handlers: ReadonlyMap<ProtocolName, RequestHandler>
  /** Bytes of replies that wait to be sent. */
  readonly queuedBytes: () => number
  readonly send: (frame: Frame) => void
  /** A handler failed for a reason that is ours to look into. */
  readonly onFailure: (protocol: string, error: unknown) => void
}

/** Runs the handlers of one peer's requests, within that peer's share of memory. */
export class RequestServer {
  readonly #parts: RequestServerComponents
  readonly #running = new Map<number, AbortController>()
  readonly #scope: TaskScope
  #runningBytes = 0

  constructor(components: RequestServerComponents) {
    this.#parts = components
    this.#scope = new TaskScope(components.onFailure)
  }

  get count(): number {
    return this.#running.size
  }

  /** @throws peer_message_invalid, which ends the session */
  receive({ id, body }: Frame): void {
    const request = decodeRequestBody(body)
    const heldBytes = this.#runningBytes + this.#parts.queuedBytes() + request.body.length
    const isOver = heldBytes > peerRequestBytesMax || this.#running.size >= requestsPerPeerMax
    const handler = findHandler(this.#parts.handlers, request.protocol)
    // An id in use twice would let one reply answer another request.
    const isRefused = handler === undefined || this.#running.has(id)
    if (isOver) this.#fail(id, 'peer_overloaded')
    else if (isRefused) this.#fail(id, 'peer_failed')
    else this.#run(id, handler, request)
  }

  #run(
    id: number,
    handler: RequestHandler,
    request: { readonly protocol: string; readonly body: Uint8Array },
  ): void {
    const controller = new AbortController()
    this.#running.set(id, controller)
    this.#runningBytes += request.body.length
    this.#scope.spawn(request.protocol, async () => {
      try {
        await this.#answer(id, handler, request.body)
      } finally {
        this.#running.delete(id)
        this.#runningBytes -= request.body.length
      }
    })
  }

  cancel(id: number): void {
    this.#running.get(id)?.abort(new DOMException('The peer gave up', 'AbortError'))
  }

  /** Ends the handlers; resolves when none runs any more. */
  async end(): Promise<void> {
    const gone = new DOMException('The connection ended', 'AbortError')
    for (const controller of this.#running.values()) controller.abort(gone)
    await this.#scope.close()
  }

  async #answer(id: number, handler: RequestHandler, body: Uint8Array): Promise<void> {
    const signal = this.#running.get(id)?.signal ?? this.#scope.signal
    try {
      const reply = await handler(body, this.#parts.peer, { signal })
      if (signal.aborted) return
      if (reply.length > messageBytesMax) throw new RangeError('The reply is too large')
      this.#parts.send({ type: 'reply', id, body: reply })
    } catch (error) {
      if (signal.aborted) return
      this.#fail(id, error instanceof OperationError ? error.code : 'peer_failed')
      if (!(error instanceof OperationError)) throw error
    }
  }

  #fail(id: number, code: string): void {
    this.#parts.send({ type: 'failure', id, body: failureCode(code) })
  }
}

/** A peer may ask for any name; only ours are in the map. */
export function findHandler<Handler>(
  handlers: ReadonlyMap<ProtocolName, Handler>,
  protocol: string,
): Handler | undefined {
  for (const [name, handler] of handlers) if (name === protocol) return handler
  return undefined
}
