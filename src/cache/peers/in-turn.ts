import type { Clock } from '../../std/clock.ts'
import { settlesWithin } from '../../std/signal.ts'
import { firstDefined } from './first-defined.ts'

export interface TurnOptions {
  readonly clock: Clock
  /** How long one has the turn alone: it may be stalling. */
  readonly patienceMs: number
  readonly signal: AbortSignal
}

/**
 * Asks one after the other as they become known: the next one when one has nothing, or beside it
 * once patience is lost. The first value that any of them gives; undefined when none does or the
 * signal fires. `ask` must not reject.
 */
export async function firstInTurn<Item, Value>(
  items: AsyncIterable<Item>,
  ask: (item: Item) => Promise<Value | undefined>,
  { clock, patienceMs, signal }: TurnOptions,
): Promise<Value | undefined> {
  let found: Value | undefined
  const answers: Promise<Value | undefined>[] = []
  for await (const item of items) {
    const answer = ask(item).then(value => {
      found ??= value
      return value
    })
    answers.push(answer)
    const news = Promise.race([answer, firstDefined(answers, signal)])
    await settlesWithin(clock, news, patienceMs)
    if (found !== undefined || signal.aborted) return found
  }
  return await firstDefined(answers, signal)
}
