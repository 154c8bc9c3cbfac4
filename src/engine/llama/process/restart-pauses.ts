import {
  engineRestartFirstMs,
  engineRestartLongestMs,
  engineSteadyAfterMs,
} from '../../../limits.ts'
import type { Clock } from '../../../std/clock.ts'

/**
 * How long to wait before an engine process is replaced: not at all for one that had served a
 * while, else twice as long as before the last one.
 */
export class RestartPauses {
  readonly #clock: Clock
  #servedAtMs: number | undefined
  #nextMs = 0

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** A process serves now. */
  served(): void {
    this.#servedAtMs = this.#clock.monotonicMs()
  }

  /** A process has ended, or could not be started. Tells the pause before the next. */
  ended(): number {
    const servedMs =
      this.#servedAtMs === undefined ? 0 : this.#clock.monotonicMs() - this.#servedAtMs
    this.#servedAtMs = undefined
    const pauseMs = servedMs >= engineSteadyAfterMs ? 0 : this.#nextMs
    this.#nextMs = Math.min(engineRestartLongestMs, Math.max(engineRestartFirstMs, pauseMs * 2))
    return pauseMs
  }
}
