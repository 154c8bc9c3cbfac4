import type { AbortOptions } from './signal.ts'

/** Gives a permit back; called again it does nothing. */
export type Release = () => void

/** Lets so many work at once, and a bounded number wait, first come first served. */
export class Permits {
  readonly #waitersMax: number
  readonly #waiters: (() => void)[] = []
  #free: number

  constructor(count: number, waitersMax: number) {
    this.#free = count
    this.#waitersMax = waitersMax
  }

  /** Undefined when too many wait. @throws the signal's reason */
  async acquire({ signal }: AbortOptions): Promise<Release | undefined> {
    signal.throwIfAborted()
    const release = this.tryAcquire()
    if (release !== undefined) return release
    if (this.#waiters.length >= this.#waitersMax) return undefined
    await this.#wait(signal)
    return this.#permit()
  }

  /** At once, or undefined when none is free. */
  tryAcquire(): Release | undefined {
    if (this.#free === 0) return undefined
    this.#free -= 1
    return this.#permit()
  }

  #permit(): Release {
    let isHeld = true
    return () => {
      if (isHeld) this.#release()
      isHeld = false
    }
  }

  #release(): void {
    const next = this.#waiters.shift()
    if (next === undefined) this.#free += 1
    else next()
  }

  #wait(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const go = (): void => {
        signal.removeEventListener('abort', onAbort)
        resolve()
      }
      const onAbort = (): void => {
        this.#waiters.splice(this.#waiters.indexOf(go), 1)
        reject(signal.reason)
      }
      signal.addEventListener('abort', onAbort, { once: true })
      this.#waiters.push(go)
    })
  }
}
