import type { Libp2p } from '@libp2p/interface'
import { nextTurn } from '../../../std/turn.ts'

/** Stops the library's node, and what that leaves behind. */
export async function stopNode(
  node: Libp2p,
  holders: readonly LibraryTimerHolder[],
): Promise<void> {
  await node.stop()
  // What the stop itself put off comes within a turn.
  await nextTurn()
  stopLibraryTimers(holders)
}

/**
 * Stops what the library leaves behind after its own stop: two calls that it puts off by a second
 * and does not take back (ADR 0004 §11). Each is a function with a `stop` of its own.
 */
function stopLibraryTimers(holders: readonly LibraryTimerHolder[]): void {
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
