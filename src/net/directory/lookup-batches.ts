import type { PeerId } from '../../interface/network.ts'
import type { LookupKey } from '../../key/response-key.ts'
import { directoryFindKeysMax } from '../../limits.ts'
import { afterThisTurn } from '../../std/turn.ts'

/** Sends one look-up message; undefined where no answer came. */
export type AskPeer = (
  peer: PeerId,
  keys: readonly LookupKey[],
  timeoutMs: number,
) => Promise<readonly (readonly PeerId[])[] | undefined>

type Answer = readonly PeerId[] | undefined

interface Batch {
  readonly waiting: Map<LookupKey, ((answer: Answer) => void)[]>
  timeoutMs: number
}

/** Look-ups that begin in the same turn of the event loop travel in one message per peer. */
export class LookupBatches {
  readonly #askPeer: AskPeer
  readonly #batches = new Map<PeerId, Batch>()

  constructor(askPeer: AskPeer) {
    this.#askPeer = askPeer
  }

  /**
   * Who that peer says provides the key; undefined where it does not answer. Never rejects. A
   * question that is out is not called back when nobody waits any more: that would be one more
   * message.
   */
  ask(peer: PeerId, key: LookupKey, timeoutMs: number): Promise<Answer> {
    const batch = this.#batchFor(peer)
    batch.timeoutMs = Math.max(batch.timeoutMs, timeoutMs)
    return new Promise(resolve => {
      const resolvers = batch.waiting.get(key)
      if (resolvers !== undefined) resolvers.push(resolve)
      else batch.waiting.set(key, [resolve])
      if (batch.waiting.size >= directoryFindKeysMax) this.#send(peer, batch)
    })
  }

  #batchFor(peer: PeerId): Batch {
    const open = this.#batches.get(peer)
    if (open !== undefined) return open
    const batch: Batch = { waiting: new Map(), timeoutMs: 0 }
    this.#batches.set(peer, batch)
    afterThisTurn(() => this.#send(peer, batch))
    return batch
  }

  #send(peer: PeerId, batch: Batch): void {
    if (this.#batches.get(peer) !== batch) return
    this.#batches.delete(peer)
    const keys = [...batch.waiting.keys()]
    const settle = (answers: readonly (readonly PeerId[])[] | undefined): void => {
      for (const [index, key] of keys.entries()) {
        for (const resolve of batch.waiting.get(key) ?? []) resolve(answers?.[index])
      }
    }
    this.#askPeer(peer, keys, batch.timeoutMs).then(settle, () => settle(undefined))
  }
}
