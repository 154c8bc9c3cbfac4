import type { Clock } from './clock.ts'

/** What every call that can wait takes. */
export interface AbortOptions {
  readonly signal: AbortSignal
}

export interface LinkedSignal {
  readonly signal: AbortSignal
  /** Lets go of the parents. Without it a process-long parent would keep every child alive. */
  [Symbol.dispose](): void
}

/**
 * A signal that fires when any parent does, or after `timeoutMs`.
 *
 * `AbortSignal.any` on a process-long signal retains its children (nodejs/node#54614), so this one
 * is unregistered by hand in a `finally`.
 */
export function linkSignal(
  clock: Clock,
  parents: readonly (AbortSignal | undefined)[],
  timeoutMs?: number,
): LinkedSignal {
  const controller = new AbortController()
  const present = parents.filter(parent => parent !== undefined)
  const onAbort = (event: Event): void => {
    if (event.target instanceof AbortSignal) controller.abort(event.target.reason)
  }
  for (const parent of present) {
    if (parent.aborted) controller.abort(parent.reason)
    else parent.addEventListener('abort', onAbort, { once: true })
  }
  const cancelTimer =
    timeoutMs === undefined
      ? undefined
      : clock.after(timeoutMs, () =>
          controller.abort(new DOMException(`No answer within ${timeoutMs} ms`, 'TimeoutError')),
        )
  return {
    signal: controller.signal,
    [Symbol.dispose]() {
      cancelTimer?.()
      for (const parent of present) parent.removeEventListener('abort', onAbort)
    },
  }
}

/** Whether an error is the abort of a signal, whatever its reason was. */
export function isAbort(error: unknown): boolean {
  return error instanceof Error && (error.name === 'AbortError' || error.name === 'TimeoutError')
}

/**
 * Whether a promise settles (either way) within `ms`. Never rejects; the promise stays the caller's
 * to await.
 */
export function settlesWithin(
  clock: Clock,
  promise: Promise<unknown>,
  ms: number,
): Promise<boolean> {
  return new Promise(resolve => {
    const cancel = clock.after(ms, () => resolve(false))
    const settle = (): void => {
      cancel()
      resolve(true)
    }
    promise.then(settle, settle)
  })
}
