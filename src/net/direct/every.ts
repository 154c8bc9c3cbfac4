import type { Clock } from '../../std/clock.ts'

/** Calls back again and again, `ms` apart; returns what ends it. */
export function every(clock: Clock, ms: number, callback: () => void): () => void {
  const tick = (): void => {
    cancel = clock.after(ms, tick)
    callback()
  }
  let cancel = clock.after(ms, tick)
  return () => cancel()
}
