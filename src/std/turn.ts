/**
 * Calls back once this turn of the event loop has handled what it has at hand: what was started
 * together can travel together, at no delay that a timer would cost.
 */
export function afterThisTurn(callback: () => void): void {
  setImmediate(callback)
}

/** Resolves when everything that can go on without time passing has gone on. */
export async function nextTurn(): Promise<void> {
  // What was put off in this turn by `afterThisTurn` runs in the next one, and may put off more:
  // a look-up waits so for all of an owner's answer, then for others to share its message.
  for (let turn = 0; turn < 3; turn++) await new Promise<void>(resolve => setImmediate(resolve))
}
