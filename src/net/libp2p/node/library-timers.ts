/**
 * Stops what the library leaves behind after its own stop: two calls that it puts off by a second
 * and does not take back (ADR 0004 §11). Each is a function with a `stop` of its own.
 */
export function stopLibraryTimers(holders: readonly LibraryTimerHolder[]): void {
  for (const { owner, method } of holders) {
    const putOff: unknown = Reflect.get(owner, method)
    if (typeof putOff !== 'function') continue
    const stop: unknown = Reflect.get(putOff, 'stop')
    if (typeof stop === 'function') stop()
  }
}

export interface LibraryTimerHolder {
  readonly owner: object
  readonly method: '_updatePeerStoreAddresses' | '_push'
}
