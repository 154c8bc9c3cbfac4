import type { Clock } from '../../../std/clock.ts'

export interface AnswersOptions {
  readonly clock: Clock
  /** Whether what has come would do. */
  readonly isEnough: () => boolean
  readonly signal: AbortSignal
}

/** Others are waited for at least this long, and as long as it took until there was enough. */
const graceMsMin = 10

/**
 * Waits for all of the promises, which must not reject; not for those that take twice as long as it
 * took until there was enough, and not beyond the signal. Whether all have settled.
 */
export function answersOf(
  answers: readonly Promise<void>[],
  { clock, isEnough, signal }: AnswersOptions,
): Promise<boolean> {
  const startMs = clock.monotonicMs()
  return new Promise(resolve => {
    let left = answers.length
    let cancelGrace: (() => void) | undefined
    const finish = (areAll: boolean): void => {
      cancelGrace?.()
      signal.removeEventListener('abort', onAbort)
      resolve(areAll)
    }
    const onAbort = (): void => finish(false)
    const onAnswer = (): void => {
      left -= 1
      if (left === 0) {
        finish(true)
        return
      }
      if (cancelGrace !== undefined || !isEnough()) return
      const graceMs = Math.max(graceMsMin, clock.monotonicMs() - startMs)
      cancelGrace = clock.after(graceMs, () => finish(false))
    }
    if (left === 0) return finish(true)
    if (signal.aborted) return finish(false)
    signal.addEventListener('abort', onAbort, { once: true })
    for (const answer of answers) answer.then(onAnswer, onAnswer)
  })
}
