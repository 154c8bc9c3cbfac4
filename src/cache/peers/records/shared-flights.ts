import type { LookupKey } from '../../../key/response-key.ts'
import { sharedFlightsMax } from '../../../limits.ts'
import type { Clock } from '../../../std/clock.ts'

interface SharedFlight {
  readonly startedMs: number
  readonly expectedMs: number
  readonly landed: PromiseWithResolvers<LookupKey | undefined>
}

/**
 * Answers of the swarm's scope that this node is computing now, by the look-up key of their limited
 * key: a peer that asks for one may wait for it instead of computing it too.
 */
export class SharedFlights {
  readonly #clock: Clock
  readonly #flights = new Map<LookupKey, SharedFlight>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  get count(): number {
    return this.#flights.size
  }

  /**
   * Announces a flight; returns what ends it, with the look-up key under which the answer was
   * stored, or undefined when there is none. Whoever begins one ends it, or peers would wait.
   */
  begin(key: LookupKey, expectedMs: number): (landed: LookupKey | undefined) => void {
    if (this.#flights.has(key) || this.#flights.size >= sharedFlightsMax) return () => undefined
    const startedMs = this.#clock.monotonicMs()
    const landed = Promise.withResolvers<LookupKey | undefined>()
    this.#flights.set(key, { expectedMs, startedMs, landed })
    return landedKey => {
      if (this.#flights.get(key)?.landed === landed) this.#flights.delete(key)
      landed.resolve(landedKey)
    }
  }

  /** About how long the answer will take still; undefined when it is not being computed. */
  leftMs(key: LookupKey): number | undefined {
    const flight = this.#flights.get(key)
    if (flight === undefined) return undefined
    return Math.max(0, flight.expectedMs - (this.#clock.monotonicMs() - flight.startedMs))
  }

  /** Waits for a flight. Undefined: there is none, it came to nothing, or the signal fired. */
  async landing(key: LookupKey, signal: AbortSignal): Promise<LookupKey | undefined> {
    const flight = this.#flights.get(key)
    if (flight === undefined || signal.aborted) return undefined
    const gone = Promise.withResolvers<undefined>()
    const onAbort = (): void => gone.resolve(undefined)
    signal.addEventListener('abort', onAbort, { once: true })
    try {
      return await Promise.race([flight.landed.promise, gone.promise])
    } finally {
      signal.removeEventListener('abort', onAbort)
    }
  }
}
