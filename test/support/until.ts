import { setImmediate } from 'node:timers/promises'

/**
 * Resolves once something has become true that no event tells: looks after every turn of the event
 * loop. The test's own signal ends what waits in vain.
 */
export async function until(isTrue: () => boolean, signal: AbortSignal): Promise<void> {
  while (!isTrue()) await setImmediate(undefined, { signal })
}
