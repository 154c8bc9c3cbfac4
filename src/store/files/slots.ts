import type { AbortOptions } from '../../std/signal.ts'

export interface SlotsOptions {
  readonly atOnceMax: number
  readonly waitingMax: number
  /** Of all that wait together. @default no bound but the count */
  readonly waitingBytesMax?: number
}

interface Waiting {
  readonly bytes: number
  readonly enter: (mayEnter: boolean) => void
}

/** So many at once, so many waiting in turn; more is refused. */
export class Slots {
  readonly #options: SlotsOptions
  readonly #waiting = new Set<Waiting>()
  #waitingBytes = 0
  #running = 0
  #isClosed = false
  #onEmpty: (() => void) | undefined

  constructor(options: SlotsOptions) {
    this.#options = options
  }

  /**
   * Waits for a turn. False when there are too many already, or it was closed: then there is no
   * `leave`. @throws the signal's reason
   */
  async enter(bytes: number, { signal }: Partial<AbortOptions> = {}): Promise<boolean> {
    signal?.throwIfAborted()
    const { atOnceMax, waitingMax, waitingBytesMax = Number.POSITIVE_INFINITY } = this.#options
    if (this.#isClosed) return false
    if (this.#running < atOnceMax) {
      this.#running += 1
      return true
    }
    if (this.#waiting.size >= waitingMax) return false
    if (this.#waitingBytes + bytes > waitingBytesMax) return false
    return await this.#wait(bytes, signal)
  }

  leave(): void {
    const [next] = this.#waiting
    if (next !== undefined) {
      this.#drop(next)
      next.enter(true)
      return
    }
    this.#running -= 1
    if (this.#running === 0) this.#onEmpty?.()
  }

  /** Refuses what waits and all that comes, and resolves when what runs has left. */
  async close(): Promise<void> {
    this.#isClosed = true
    for (const waiting of this.#waiting) {
      this.#drop(waiting)
      waiting.enter(false)
    }
    if (this.#running === 0) return
    await new Promise<void>(resolve => {
      this.#onEmpty = resolve
    })
  }

  #wait(bytes: number, signal: AbortSignal | undefined): Promise<boolean> {
    return new Promise((resolve, reject) => {
      const onAbort = (): void => {
        this.#drop(waiting)
        reject(signal?.reason)
      }
      const waiting: Waiting = {
        bytes,
        enter: mayEnter => {
          signal?.removeEventListener('abort', onAbort)
          resolve(mayEnter)
        },
      }
      this.#waiting.add(waiting)
      this.#waitingBytes += bytes
      signal?.addEventListener('abort', onAbort, { once: true })
    })
  }

  #drop(waiting: Waiting): void {
    if (this.#waiting.delete(waiting)) this.#waitingBytes -= waiting.bytes
  }
}
