import { OperationError } from '../../../errors.ts'
import type { PeerId } from '../../../interface/network.ts'
import { shardsServedBytesMax, shardsServedPerPeerBytesMax } from '../../../limits.ts'
import type { ShardLedger } from '../shard-ledger.ts'

/** Past this share of the whole those who have taken more than they gave are refused. */
const contendedShare = 0.5

/** Bounds the bytes that are being sent, for each peer and in all. */
export class ServingBudget {
  readonly #ledger: ShardLedger
  readonly #sending = new Map<PeerId, number>()
  #bytes = 0

  constructor(ledger: ShardLedger) {
    this.#ledger = ledger
  }

  /** Returns what gives the bytes back. @throws peer_overloaded */
  take(peer: PeerId, bytes: number): () => void {
    const sending = (this.#sending.get(peer) ?? 0) + bytes
    const all = this.#bytes + bytes
    const isContended = all > contendedShare * shardsServedBytesMax
    const isRefused =
      sending > shardsServedPerPeerBytesMax ||
      all > shardsServedBytesMax ||
      (isContended && !this.#ledger.isEven(peer))
    if (isRefused) {
      const message = 'Cannot send the shard: too many are being sent'
      throw new OperationError('peer_overloaded', message, { origin: 'self', retryable: true })
    }
    this.#bytes = all
    this.#sending.set(peer, sending)
    return () => this.#giveBack(peer, bytes)
  }

  #giveBack(peer: PeerId, bytes: number): void {
    this.#bytes -= bytes
    const left = (this.#sending.get(peer) ?? 0) - bytes
    if (left > 0) this.#sending.set(peer, left)
    else this.#sending.delete(peer)
  }
}
