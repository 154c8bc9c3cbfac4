import { OperationError } from '../errors.ts'
import type { PeerId, ProtocolName, RequestHandler, StreamHandler } from '../interface/network.ts'
import { messageBytesMax, requestsPerPeerMax, streamsPerPeerMax } from '../limits.ts'
import type { TaskScope } from '../std/task-scope.ts'
import { refuseLarge } from './memory-asker.ts'
import type { AnswererFrame, AskerFrame } from './memory-frame.ts'

export interface AnswererComponents {
  readonly peer: PeerId
  readonly handlers: ReadonlyMap<ProtocolName, RequestHandler>
  readonly streamHandlers: ReadonlyMap<ProtocolName, StreamHandler>
  readonly scope: TaskScope
  readonly send: (frame: AnswererFrame) => void
  readonly onFailure: (protocol: ProtocolName, error: unknown) => void
}

type Ask = Extract<AskerFrame, { readonly body: Uint8Array }>

interface Work {
  readonly controller: AbortController
  /** Messages that a stream may still send before its reader takes one. */
  credit: number
  wake: () => void
}

/** The answering end of one simulated connection: runs the handlers, and ends them. */
export class MemoryAnswerer {
  readonly #parts: AnswererComponents
  readonly #requests = new Map<number, Work>()
  readonly #streams = new Map<number, Work>()

  constructor(components: AnswererComponents) {
    this.#parts = components
  }

  receive(frame: AskerFrame): void {
    if (frame.type === 'request') this.#begin(frame, this.#requests, requestsPerPeerMax)
    else if (frame.type === 'open') this.#begin(frame, this.#streams, streamsPerPeerMax)
    else {
      const work = this.#streams.get(frame.id) ?? this.#requests.get(frame.id)
      if (work === undefined) return
      if (frame.type === 'cancel') cancel(work, 'The peer does not want the answer any more')
      else work.credit += 1
      work.wake()
    }
  }

  close(): void {
    for (const work of [...this.#requests.values(), ...this.#streams.values()]) {
      cancel(work, 'The connection ended')
      work.wake()
    }
  }

  #begin(ask: Ask, running: Map<number, Work>, worksMax: number): void {
    const { scope, send, onFailure } = this.#parts
    if (running.size >= worksMax) {
      send({ type: 'failure', id: ask.id, code: 'peer_overloaded' })
      return
    }
    const controller = new AbortController()
    const credit = ask.type === 'open' ? ask.ahead : 0
    const work: Work = { controller, credit, wake: () => undefined }
    running.set(ask.id, work)
    scope.spawn(`answer ${ask.protocol}`, async () => {
      try {
        await (ask.type === 'request' ? this.#reply(ask, work) : this.#stream(ask, work))
      } catch (error) {
        if (controller.signal.aborted) return
        onFailure(ask.protocol, error)
        send({ type: 'failure', id: ask.id, code: codeOf(error) })
      } finally {
        running.delete(ask.id)
      }
    })
  }

  async #reply(ask: Ask, { controller }: Work): Promise<void> {
    const { handlers, peer, send } = this.#parts
    const handler = handlers.get(ask.protocol)
    if (ask.body.length > messageBytesMax || handler === undefined) throw refused()
    const body = await handler(ask.body, peer, { signal: controller.signal })
    refuseLarge(body)
    if (!controller.signal.aborted) send({ type: 'reply', id: ask.id, body: body.slice() })
  }

  async #stream(ask: Ask, work: Work): Promise<void> {
    const { streamHandlers, peer, send } = this.#parts
    const { signal } = work.controller
    const handler = streamHandlers.get(ask.protocol)
    if (ask.body.length > messageBytesMax || handler === undefined) throw refused()
    const messages = handler(ask.body, peer, { signal })[Symbol.asyncIterator]()
    try {
      for (;;) {
        while (work.credit === 0 && !signal.aborted) {
          await new Promise<void>(resolve => {
            work.wake = resolve
          })
        }
        if (signal.aborted) return
        work.credit -= 1
        const { done, value } = await messages.next()
        if (signal.aborted) return
        if (done) break
        refuseLarge(value)
        send({ type: 'message', id: ask.id, body: value.slice() })
      }
      send({ type: 'end', id: ask.id })
    } finally {
      await messages.return?.()
    }
  }
}

function cancel(work: Work, why: string): void {
  work.controller.abort(new DOMException(why, 'AbortError'))
}

function refused(): OperationError {
  return new OperationError('peer_failed', 'Nobody serves this', { origin: 'peer' })
}

/** Only this much of a failure leaves the node: what it says may be private. */
function codeOf(error: unknown): 'peer_failed' | 'peer_overloaded' {
  const isOverload = error instanceof OperationError && error.code === 'peer_overloaded'
  return isOverload ? 'peer_overloaded' : 'peer_failed'
}
