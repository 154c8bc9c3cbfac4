import { OperationError } from '../../../errors.ts'
import { downloadAttemptsMax } from '../../../limits.ts'
import { type Clock, delay } from '../../../std/clock.ts'
import type { AbortOptions } from '../../../std/signal.ts'

export interface RetryOptions extends AbortOptions {
  readonly clock: Clock
  /** What could not be done, for the last error: `Cannot download …`. */
  readonly purpose: string
  /** Whether the attempt that just failed brought enough to start counting anew. */
  readonly hasProgressed: () => boolean
}

const firstPauseMs = 1_000
/** A server may ask for patience, but not for more than this. */
const pauseMsMax = 60_000

/**
 * Repeats `attempt` while its failures are of a kind that passes: broken connections and errors
 * marked retryable.
 *
 * @throws the first failure that does not pass; download_failed after `downloadAttemptsMax`
 *   failures in a row
 */
export async function withRetries<T>(attempt: () => Promise<T>, options: RetryOptions): Promise<T> {
  for (let failures = 1; ; failures++) {
    try {
      return await attempt()
    } catch (error) {
      options.signal.throwIfAborted()
      if (error instanceof OperationError && !error.retryable) throw error
      if (options.hasProgressed()) failures = 1
      if (failures >= downloadAttemptsMax) throw givenUp(error, failures, options.purpose)
      const askedMs = error instanceof OperationError ? (error.retryAfterMs ?? 0) : 0
      const pauseMs = Math.max(askedMs, firstPauseMs * 2 ** (failures - 1))
      await delay(options.clock, Math.min(pauseMs, pauseMsMax), options.signal)
    }
  }
}

function givenUp(error: unknown, failures: number, purpose: string): OperationError {
  const reason = error instanceof Error ? error.message : String(error)
  return new OperationError(
    'download_failed',
    `${purpose}: ${reason}. Gave up after ${failures} attempts; ` +
      'what has arrived is kept, so try again to go on',
    { origin: 'upstream', retryable: true, cause: error },
  )
}
