import type { PeerId } from '../../../interface/network.ts'
import { reputationPeersMax } from '../../../limits.ts'
import { Lru } from '../../../std/lru.ts'

/** What this node gave to a peer and got from it. */
export interface PeerAccount {
  readonly servedAnswers: number
  readonly servedBytes: number
  readonly receivedAnswers: number
  readonly receivedBytes: number
}

const emptyAccount: PeerAccount = {
  servedAnswers: 0,
  servedBytes: 0,
  receivedAnswers: 0,
  receivedBytes: 0,
}

/** Who gave how much to whom (DESIGN §7, reciprocity), from this node's own experience. */
export class PeerLedger {
  readonly #accounts = new Lru<PeerId, PeerAccount>(reputationPeersMax)

  of(peer: PeerId): PeerAccount {
    return this.#accounts.get(peer) ?? emptyAccount
  }

  noteServed(peer: PeerId, bytes: number): void {
    const { servedAnswers, servedBytes, ...rest } = this.of(peer)
    const after = { servedAnswers: servedAnswers + 1, servedBytes: servedBytes + bytes, ...rest }
    this.#accounts.set(peer, after, 1)
  }

  noteReceived(peer: PeerId, bytes: number): void {
    const { receivedAnswers, receivedBytes, ...rest } = this.of(peer)
    const after = {
      receivedAnswers: receivedAnswers + 1,
      receivedBytes: receivedBytes + bytes,
      ...rest,
    }
    this.#accounts.set(peer, after, 1)
  }
}
