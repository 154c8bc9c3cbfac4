import type { Directory, FindOptions } from '../../interface/directory.ts'
import type { PeerId } from '../../interface/network.ts'
import type { LookupKey } from '../../key/response-key.ts'
import { afterThisTurn } from '../../std/turn.ts'

export interface HolderChoice extends FindOptions {
  /** Which of those that are known now to ask, best first; without those not to ask. */
  readonly rank: (peers: readonly PeerId[]) => readonly PeerId[]
  /** How many are worth asking. */
  readonly holdersMax: number
}

/**
 * Who holds a key according to the directory, the best of those known at the time first. A slow
 * owner delays nobody who is known already.
 */
export async function* findHolders(
  directory: Directory,
  key: LookupKey,
  { rank, holdersMax, signal, deadlineMs }: HolderChoice,
): AsyncGenerator<PeerId, void, void> {
  const waiting = new Set<PeerId>()
  const enough = new AbortController()
  const stop = (): void => enough.abort(new DOMException('Enough holders', 'AbortError'))
  signal.addEventListener('abort', stop, { once: true })
  let wake = (): void => undefined
  let end: { readonly error?: unknown } | undefined
  const search = async (): Promise<void> => {
    try {
      for await (const peer of directory.find(key, { signal: enough.signal, deadlineMs })) {
        waiting.add(peer)
        wake()
      }
      end = {}
    } catch (error) {
      end = { error }
    }
    wake()
  }
  const searching = search()
  try {
    for (let count = 0; count < holdersMax; ) {
      // What one message of an owner names is there together.
      await new Promise<void>(resolve => afterThisTurn(resolve))
      const [best] = rank([...waiting])
      if (best !== undefined) {
        waiting.delete(best)
        count += 1
        yield best
      } else if (end !== undefined) {
        if (end.error !== undefined && !enough.signal.aborted) throw end.error
        return
      } else {
        waiting.clear()
        await new Promise<void>(resolve => {
          wake = resolve
        })
      }
    }
  } finally {
    signal.removeEventListener('abort', stop)
    stop()
    await searching
  }
}
