export interface InOrderOptions<Item> {
  readonly weightOf: (item: Item) => number
  /** Work begins on as many items as weigh this much together; on one at least. */
  readonly weightMax: number
  readonly signal: AbortSignal
}

type Settled<Value> =
  | { readonly value: Value | undefined; readonly error?: never }
  | { readonly error: unknown; readonly value?: never }

/**
 * Works on several items at once and yields what came of them, in their order: the next ones are on
 * their way while the first is used. Ends before the first item of which nothing came. Whatever way
 * it ends, when it has, none of the work runs any more.
 * @throws the signal's reason, and what `work` throws
 */
export async function* inOrder<Item, Value>(
  items: readonly Item[],
  work: (item: Item, signal: AbortSignal) => Promise<Value | undefined>,
  { weightOf, weightMax, signal }: InOrderOptions<Item>,
): AsyncGenerator<Value, void, void> {
  const ended = new AbortController()
  const onAbort = (): void => ended.abort(signal.reason)
  if (signal.aborted) onAbort()
  signal.addEventListener('abort', onAbort, { once: true })
  const running: { readonly weight: number; readonly settled: Promise<Settled<Value>> }[] = []
  let begun = 0
  let weight = 0
  try {
    for (;;) {
      for (let item = items[begun]; item !== undefined; item = items[begun]) {
        const itemWeight = weightOf(item)
        if (running.length > 0 && weight + itemWeight > weightMax) break
        running.push({ weight: itemWeight, settled: settle(work(item, ended.signal)) })
        weight += itemWeight
        begun += 1
      }
      const first = running.shift()
      if (first === undefined) return
      const { value, error } = await first.settled
      signal.throwIfAborted()
      if (error !== undefined) throw error
      if (value === undefined) return
      yield value
      weight -= first.weight
    }
  } finally {
    signal.removeEventListener('abort', onAbort)
    ended.abort(new DOMException('Nobody waits for the rest', 'AbortError'))
    await Promise.all(running.map(({ settled }) => settled))
  }
}

/** Whoever waits for the first item must not leave failures of later ones unhandled. */
function settle<Value>(promise: Promise<Value | undefined>): Promise<Settled<Value>> {
  return promise.then(
    value => ({ value }),
    (error: unknown) => ({ error }),
  )
}
