import type { AbortOptions } from './signal.ts'

/** A part with a life. `start` either succeeds or leaves nothing behind; `stop` is idempotent. */
export interface Startable {
  readonly name: string
  start(options: AbortOptions): Promise<void>
  stop(): Promise<void>
}

/**
 * Starts parts in order. When one fails, those before it are stopped in reverse and its error is
 * thrown.
 */
export async function startAll(parts: readonly Startable[], options: AbortOptions): Promise<void> {
  const started: Startable[] = []
  for (const part of parts) {
    try {
      options.signal.throwIfAborted()
      await part.start(options)
      started.push(part)
    } catch (error) {
      await stopAll(started)
      throw error
    }
  }
}

/** Stops parts in reverse order, all of them even if one fails; throws an `AggregateError` then. */
export async function stopAll(parts: readonly Startable[]): Promise<void> {
  const failures: unknown[] = []
  for (const part of parts.toReversed()) {
    try {
      await part.stop()
    } catch (error) {
      failures.push(error)
    }
  }
  if (failures.length > 0) throw new AggregateError(failures, 'Some parts did not stop cleanly')
}
