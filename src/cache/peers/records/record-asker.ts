import type { Network, PeerId } from '../../../interface/network.ts'
import type { LookupKey } from '../../../key/response-key.ts'
import { peerAnswerTimeoutMs, recordKeysMax } from '../../../limits.ts'
import type { AbortOptions } from '../../../std/signal.ts'
import { afterThisTurn } from '../../../std/turn.ts'
import { decodeAnswers, encodeKeys, type RecordAnswer } from '../../../wire/record-messages.ts'
import { recordProtocol } from './protocols.ts'

export interface RecordAskerComponents {
  readonly network: Network
  /** Once per message, however many look-ups it was for. */
  readonly onFailure: (peer: PeerId, error: unknown) => void
}

type Batch = Map<LookupKey, PromiseWithResolvers<RecordAnswer | undefined>>

/**
 * Asks peers for records. Look-ups that start in the same turn share one request per peer: a burst
 * of misses costs one message, not one each.
 */
export class RecordAsker {
  readonly #parts: RecordAskerComponents
  readonly #options: AbortOptions
  readonly #batches = new Map<PeerId, Batch>()

  /** The signal ends what is under way: a message serves several look-ups, so none owns it. */
  constructor(components: RecordAskerComponents, options: AbortOptions) {
    this.#parts = components
    this.#options = options
  }

  /** What the peer says of the key; undefined when it does not answer. Never rejects. */
  ask(peer: PeerId, key: LookupKey): Promise<RecordAnswer | undefined> {
    const batch = this.#batchFor(peer)
    const waiting = batch.get(key)
    if (waiting !== undefined) return waiting.promise
    const answer = Promise.withResolvers<RecordAnswer | undefined>()
    batch.set(key, answer)
    if (batch.size >= recordKeysMax) this.#send(peer, batch)
    return answer.promise
  }

  #batchFor(peer: PeerId): Batch {
    const open = this.#batches.get(peer)
    if (open !== undefined) return open
    const batch: Batch = new Map()
    this.#batches.set(peer, batch)
    afterThisTurn(() => this.#send(peer, batch))
    return batch
  }

  #send(peer: PeerId, batch: Batch): void {
    if (this.#batches.get(peer) !== batch) return
    this.#batches.delete(peer)
    const settle = (answers: readonly RecordAnswer[] | undefined): void => {
      for (const [index, answer] of [...batch.values()].entries()) answer.resolve(answers?.[index])
    }
    this.#request(peer, [...batch.keys()]).then(settle, error => {
      if (!this.#options.signal.aborted) this.#parts.onFailure(peer, error)
      settle(undefined)
    })
  }

  async #request(peer: PeerId, keys: readonly LookupKey[]): Promise<readonly RecordAnswer[]> {
    const { network } = this.#parts
    const options = { ...this.#options, timeoutMs: peerAnswerTimeoutMs }
    const reply = await network.request(peer, recordProtocol, encodeKeys(keys), options)
    return decodeAnswers(reply, keys.length)
  }
}
