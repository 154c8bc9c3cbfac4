/** The results of promises, in the order in which they arrive. A promise must not reject. */
export class Arrivals<T extends object> {
  readonly #arrived: T[] = []
  #waitingCount = 0
  #wake = (): void => undefined

  /** One more to wait for, also while others are read. */
  add(promise: Promise<T>): void {
    this.#waitingCount += 1
    promise.then(value => {
      this.#waitingCount -= 1
      this.#arrived.push(value)
      this.#wake()
    })
  }

  /** Ends when all have arrived, or when the signal fires; whoever is still out is left alone. */
  async *until(signal: AbortSignal): AsyncGenerator<T> {
    const onAbort = (): void => this.#wake()
    signal.addEventListener('abort', onAbort)
    try {
      for (;;) {
        const next = this.#arrived.shift()
        if (next !== undefined) yield next
        else if (this.#waitingCount === 0 || signal.aborted) return
        else {
          await new Promise<void>(resolve => {
            this.#wake = resolve
          })
        }
      }
    } finally {
      signal.removeEventListener('abort', onAbort)
    }
  }
}

/** Waits for a promise that does not reject, or until the signal fires. */
export async function settledBefore(promise: Promise<unknown>, signal: AbortSignal): Promise<void> {
  const arrivals = new Arrivals<object>()
  arrivals.add(promise.then(() => ({})))
  for await (const _ of arrivals.until(signal)) return
}
