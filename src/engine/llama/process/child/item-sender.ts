import type { GeneratedToken } from '../../../../interface/engine.ts'
import type { GenerationEvent } from '../../../../interface/generation.ts'
import type { AbortOptions } from '../../../../std/signal.ts'
import { afterThisTurn } from '../../../../std/turn.ts'
import type { Items } from '../engine-messages.ts'

export type Item =
  | { readonly method: 'generate'; readonly item: GenerationEvent }
  | { readonly method: 'generateTokens'; readonly item: GeneratedToken }

/**
 * Sends the items of one call: those of one turn of the event loop together, and never more than
 * `aheadMax` that the reader has not taken.
 */
export class ItemSender {
  readonly #send: (items: Items) => void
  readonly #signal: AbortSignal
  readonly #aheadMax: number
  #events: GenerationEvent[] = []
  #tokens: GeneratedToken[] = []
  /** Items that the reader has not taken yet, those to be sent included. */
  #ahead = 0
  #hasRoom: (() => void) | undefined

  constructor(send: (items: Items) => void, options: AbortOptions & { readonly aheadMax: number }) {
    this.#send = send
    this.#signal = options.signal
    this.#aheadMax = options.aheadMax
  }

  /** Resolves when the next item may come. */
  async push(item: Item): Promise<void> {
    if (this.#events.length + this.#tokens.length === 0) afterThisTurn(() => this.flush())
    if (item.method === 'generate') this.#events.push(item.item)
    else this.#tokens.push(item.item)
    this.#ahead += 1
    while (this.#ahead >= this.#aheadMax && !this.#signal.aborted) await this.#room()
  }

  /** Sends what waits for the end of this turn. */
  flush(): void {
    const [events, tokens] = [this.#events, this.#tokens]
    this.#events = []
    this.#tokens = []
    if (events.length > 0) this.#send({ method: 'generate', items: events })
    if (tokens.length > 0) this.#send({ method: 'generateTokens', items: tokens })
  }

  /** The reader has taken so many. */
  more(count: number): void {
    this.#ahead -= count
    this.#hasRoom?.()
  }

  #room(): Promise<void> {
    return new Promise(resolve => {
      const go = (): void => {
        this.#signal.removeEventListener('abort', go)
        this.#hasRoom = undefined
        resolve()
      }
      this.#hasRoom = go
      this.#signal.addEventListener('abort', go, { once: true })
    })
  }
}
