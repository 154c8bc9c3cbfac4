import { watch } from 'node:fs'
import { systemClock } from '../../std/clock.ts'
import type { AbortOptions } from '../../std/signal.ts'

export interface FolderChangesOptions extends AbortOptions {
  /** Also yields after this long without a change. @default never */
  readonly atLeastEveryMs?: number
}

/**
 * Yields at the start (something may have happened while the watch was set up) and after every
 * change in a folder; changes that come in between are told once. Ends when the signal fires.
 */
export async function* folderChanges(
  folder: string,
  { signal, atLeastEveryMs }: FolderChangesOptions,
): AsyncGenerator<void> {
  let hasChanged = true
  let wake: () => void = () => undefined
  const note = (): void => {
    hasChanged = true
    wake()
  }
  const watcher = watch(folder, note)
  watcher.on('error', note)
  signal.addEventListener('abort', note, { once: true })
  try {
    while (!signal.aborted) {
      if (hasChanged) {
        hasChanged = false
        yield
        continue
      }
      const woken = new Promise<void>(resolve => {
        wake = resolve
      })
      const cancel =
        atLeastEveryMs === undefined ? undefined : systemClock.after(atLeastEveryMs, note)
      await woken
      cancel?.()
    }
  } finally {
    signal.removeEventListener('abort', note)
    watcher.close()
  }
}
