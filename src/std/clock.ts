/**
 * Time comes in through this interface, so that the simulator can run the same code on virtual
 * time. The only file that reads the system's clock or sets its timers.
 */
export interface Clock {
  /** Wall clock in milliseconds since 1970. May jump when the system's clock is set. */
  now(): number
  /** Monotonic milliseconds from an arbitrary start. Never jumps: use it for durations. */
  monotonicMs(): number
  /** Calls back once after `ms`; returns what cancels it. */
  after(ms: number, callback: () => void): () => void
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonicMs: () => performance.now(),
  after(ms, callback) {
    const timer = setTimeout(callback, ms)
    return () => clearTimeout(timer)
  },
}

/** Calls back after `ms` if the process still runs then: waiting for it does not keep it alive. */
export function ifStillRunning(ms: number, callback: () => void): void {
  setTimeout(callback, ms).unref()
}

/** Resolves after `ms`; rejects with the signal's reason when that fires first. */
export function delay(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason)
    const onAbort = (): void => {
      cancel()
      reject(signal.reason)
    }
    const cancel = clock.after(ms, () => {
      signal.removeEventListener('abort', onAbort)
      resolve()
    })
    signal.addEventListener('abort', onAbort, { once: true })
  })
}

/** A clock that moves only when told to. For tests and the simulator. */
export class VirtualClock implements Clock {
  #wallOffsetMs: number
  #elapsedMs = 0
  readonly #timers = new Set<{ atMs: number; callback: () => void }>()

  constructor(startMs = 1_700_000_000_000) {
    this.#wallOffsetMs = startMs
  }

  now(): number {
    return this.#wallOffsetMs + this.#elapsedMs
  }

  monotonicMs(): number {
    return this.#elapsedMs
  }

  after(ms: number, callback: () => void): () => void {
    const timer = { atMs: this.#elapsedMs + ms, callback }
    this.#timers.add(timer)
    return () => this.#timers.delete(timer)
  }

  /** Moves time forward and fires the timers that fall due, in their order. */
  advance(ms: number): void {
    const untilMs = this.#elapsedMs + ms
    for (;;) {
      const due = [...this.#timers].filter(timer => timer.atMs <= untilMs)
      const next = due.sort((a, b) => a.atMs - b.atMs)[0]
      if (next === undefined) break
      this.#timers.delete(next)
      this.#elapsedMs = next.atMs
      next.callback()
    }
    this.#elapsedMs = untilMs
  }

  /** Sets the wall clock without moving monotonic time: what NTP or a person does. */
  jump(ms: number): void {
    this.#wallOffsetMs += ms
  }
}
