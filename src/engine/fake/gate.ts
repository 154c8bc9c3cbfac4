/** Holds whoever awaits `pass` until the test lets some through. Made open or shut; FIFO. */
export class Gate {
  #permits: number
  readonly #waiting: (() => void)[] = []
  readonly #observers: { readonly count: number; readonly resolve: () => void }[] = []

  constructor(permits = 0) {
    this.#permits = permits
  }

  /** How many wait now. */
  get waitingCount(): number {
    return this.#waiting.length
  }

  readonly pass = (): Promise<void> => {
    if (this.#permits > 0) {
      this.#permits -= 1
      return Promise.resolve()
    }
    return new Promise(resolve => {
      this.#waiting.push(resolve)
      for (const observer of this.#observers.splice(0)) {
        if (this.#waiting.length >= observer.count) observer.resolve()
        else this.#observers.push(observer)
      }
    })
  }

  /** Resolves when at least `count` wait. */
  whenWaiting(count: number): Promise<void> {
    if (this.#waiting.length >= count) return Promise.resolve()
    return new Promise(resolve => this.#observers.push({ count, resolve }))
  }

  /** Lets `count` pass, those that wait first. */
  release(count: number): void {
    this.#permits += count
    while (this.#permits > 0) {
      const next = this.#waiting.shift()
      if (next === undefined) return
      this.#permits -= 1
      next()
    }
  }

  /** Lets everybody pass from now on. */
  open(): void {
    this.release(Number.POSITIVE_INFINITY)
  }
}
