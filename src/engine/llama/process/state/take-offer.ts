import type { BlockRows, StateOffer } from '../../../../interface/kv-state.ts'
import type { Log } from '../../../../interface/log.ts'
import type { AbortOptions } from '../../../../std/signal.ts'
import type { TaskScope } from '../../../../std/task-scope.ts'

export interface OfferOptions extends AbortOptions {
  readonly blocksMax: number
  readonly blockBytes: number
  /** Called with each block in turn, as soon as it is there. Must not throw. */
  readonly onBlock: (rows: BlockRows) => void
  readonly log: Log
  /** Owns the end of an offer that nobody waits for. */
  readonly scope: TaskScope
}

/**
 * The leading blocks of an offer, in shared memory, as far as they come.
 * @throws the signal's reason at once, even while the offer does not move
 */
export async function takeOffer(
  offer: StateOffer,
  options: OfferOptions,
): Promise<readonly BlockRows[]> {
  const { signal, blocksMax, log } = options
  const blocks: BlockRows[] = []
  const source = offer.blocks({ signal })[Symbol.asyncIterator]()
  try {
    while (blocks.length < blocksMax) {
      const next = await unlessAborted(source.next(), signal)
      if (next.done === true) return blocks
      if (next.value.length !== options.blockBytes) {
        log.warn('offered block has a wrong size', { index: blocks.length })
        break
      }
      const rows = shared(next.value)
      blocks.push(rows)
      options.onBlock(rows)
    }
  } catch (error) {
    signal.throwIfAborted()
    // Against its contract; what has come is as good as ever.
    log.warn('state offer failed', { error })
    return blocks
  } finally {
    options.scope.spawn('end of a state offer', async signal => {
      // An offer that never ends is its owner's affair.
      await unlessAborted(Promise.resolve(source.return?.()), signal)
    })
  }
  return blocks
}

/** Rows that can be handed to a thread without copying. Copies those that cannot. */
function shared(rows: BlockRows): BlockRows {
  if (rows.buffer instanceof SharedArrayBuffer) return rows
  const copy = new Uint8Array(new SharedArrayBuffer(rows.length))
  copy.set(rows)
  return copy
}

function unlessAborted<Value>(promise: Promise<Value>, signal: AbortSignal): Promise<Value> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason)
    if (signal.aborted) onAbort()
    signal.addEventListener('abort', onAbort, { once: true })
    const leave = (): void => signal.removeEventListener('abort', onAbort)
    promise.then(
      value => {
        leave()
        resolve(value)
      },
      error => {
        leave()
        reject(error)
      },
    )
  })
}
