import { enginePingMs, enginePingsUnansweredMax } from '../../../limits.ts'
import type { Clock } from '../../../std/clock.ts'

export interface WatchdogComponents {
  readonly clock: Clock
  /** Asks the other side for a sign of life. */
  readonly ping: () => void
  /** It gave none. Once; nothing is asked any more. */
  readonly onStuck: () => void
}

/**
 * Notices that the other side of a channel lives and does nothing: its event loop is stuck, or it
 * was stopped. Asks while it is owed something, so that who is idle costs nothing.
 *
 * It counts pings, not time: where this side did not run either (the machine slept, the process was
 * stopped, its loop was busy), one timer fires late, and what the other side sent meanwhile is read
 * before the next one.
 */
export class Watchdog {
  readonly #components: WatchdogComponents
  #unanswered = 0
  #isStuck = false
  #cancelTimer: (() => void) | undefined

  constructor(components: WatchdogComponents) {
    this.#components = components
  }

  /** Whether it is owed something, from now on. */
  watch(isOwed: boolean): void {
    const isWatching = this.#cancelTimer !== undefined
    if (isOwed === isWatching || this.#isStuck) return
    if (isOwed) this.#next()
    else this.#rest()
  }

  /** It gave a sign of life: any message is one. */
  heard(): void {
    this.#unanswered = 0
  }

  #next(): void {
    const { clock } = this.#components
    this.#cancelTimer = clock.after(enginePingMs, () => this.#look())
  }

  #rest(): void {
    this.#cancelTimer?.()
    this.#cancelTimer = undefined
    this.#unanswered = 0
  }

  #look(): void {
    const { ping, onStuck } = this.#components
    if (this.#unanswered >= enginePingsUnansweredMax) {
      this.#isStuck = true
      this.#rest()
      onStuck()
      return
    }
    this.#unanswered += 1
    ping()
    this.#next()
  }
}
