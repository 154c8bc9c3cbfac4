/**
 * The first value that any of the promises resolves with and that is not undefined; undefined when
 * none does, or as soon as the signal fires. The promises must not reject.
 */
export function firstDefined<Value>(
  promises: readonly Promise<Value | undefined>[],
  signal: AbortSignal,
): Promise<Value | undefined> {
  return new Promise(resolve => {
    let left = promises.length
    const finish = (value: Value | undefined): void => {
      signal.removeEventListener('abort', onAbort)
      resolve(value)
    }
    const onAbort = (): void => finish(undefined)
    if (left === 0 || signal.aborted) return finish(undefined)
    signal.addEventListener('abort', onAbort, { once: true })
    for (const promise of promises) {
      promise.then(
        value => {
          left -= 1
          if (value !== undefined || left === 0) finish(value)
        },
        () => {
          left -= 1
          if (left === 0) finish(undefined)
        },
      )
    }
  })
}
