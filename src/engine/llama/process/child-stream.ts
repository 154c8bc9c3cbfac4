import { engineItemsAheadMax } from '../../../limits.ts'
import type { AbortOptions } from '../../../std/signal.ts'
import type { Items } from './engine-messages.ts'

/** What a stream asks of its process. */
export interface StreamControls {
  cancel(): void
  /** Lets the process send so many more items. */
  more(count: number): void
}

/**
 * Items of one call as they come from the engine's process. It sends at most `engineItemsAheadMax`
 * that were not taken yet, so that a reader who pauses pauses the model, and none is lost.
 */
export class ChildStream {
  readonly #controls: StreamControls
  readonly #queue: Items[] = []
  #taken = 0
  #wake: (() => void) | undefined
  #state: 'running' | 'cancelled' | 'ended' = 'running'
  #error: unknown
  readonly #ended = Promise.withResolvers<void>()

  constructor(controls: StreamControls) {
    this.#controls = controls
  }

  /** The next items; undefined after the last. @throws the call's failure */
  async next(): Promise<Items | undefined> {
    while (this.#queue.length === 0 && this.#state !== 'ended') {
      await new Promise<void>(resolve => {
        this.#wake = resolve
      })
    }
    const items = this.#queue.shift()
    if (items !== undefined) {
      this.#take(items.items.length)
      return items
    }
    if (this.#error !== undefined) throw this.#error
    return undefined
  }

  /** Resolves when the process has ended the call, or has ended itself. Never rejects. */
  get ended(): Promise<void> {
    return this.#ended.promise
  }

  /** The call shall end: what has come is dropped. */
  cancel(): void {
    if (this.#state !== 'running') return
    this.#state = 'cancelled'
    this.#queue.length = 0
    this.#controls.cancel()
  }

  /** For the owner of the channel. */
  push(items: Items): void {
    if (this.#state !== 'running') return
    this.#queue.push(items)
    this.#wake?.()
  }

  /** For the owner of the channel: nothing follows. */
  end(error?: unknown): void {
    if (this.#state === 'ended') return
    this.#state = 'ended'
    this.#error = error
    this.#ended.resolve()
    this.#wake?.()
  }

  #take(count: number): void {
    this.#taken += count
    // Not for every token: half of what may be on its way is early enough.
    if (this.#taken < engineItemsAheadMax / 2 || this.#state === 'ended') return
    this.#controls.more(this.#taken)
    this.#taken = 0
  }
}

export interface ReadOptions extends AbortOptions {
  /** Whether the call shall go on although nobody reads it any more. @default never */
  readonly isLeftAlone?: () => boolean
}

/**
 * Reads a stream to its end. With the signal, or when the reader walks away, the call is cancelled;
 * when this returns, the engine's process has let go of it.
 * @throws the signal's reason, the call's failure
 */
export async function* readStream(
  stream: ChildStream,
  { signal, isLeftAlone = () => false }: ReadOptions,
): AsyncGenerator<Items> {
  const cancel = (): void => {
    if (!isLeftAlone()) stream.cancel()
  }
  signal.addEventListener('abort', cancel, { once: true })
  try {
    for (let items = await stream.next(); items !== undefined; items = await stream.next()) {
      signal.throwIfAborted()
      yield items
    }
    signal.throwIfAborted()
  } catch (error) {
    signal.throwIfAborted()
    throw error
  } finally {
    signal.removeEventListener('abort', cancel)
    cancel()
    if (!isLeftAlone()) await stream.ended
  }
}
