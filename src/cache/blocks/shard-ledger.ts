import type { PeerId } from '../../interface/network.ts'
import { reputationPeersMax } from '../../limits.ts'
import { Lru } from '../../std/lru.ts'

/** Bytes of shards that went to a peer and came from it. */
export interface ShardAccount {
  readonly given: number
  readonly taken: number
}

const emptyAccount: ShardAccount = { given: 0, taken: 0 }

/** Who gave how much to whom (DESIGN §7, reciprocity), from this node's own experience. */
export class ShardLedger {
  readonly #accounts = new Lru<PeerId, ShardAccount>(reputationPeersMax)

  of(peer: PeerId): ShardAccount {
    return this.#accounts.get(peer) ?? emptyAccount
  }

  noteGiven(peer: PeerId, bytes: number): void {
    const { given, taken } = this.of(peer)
    this.#accounts.set(peer, { given: given + bytes, taken }, 1)
  }

  noteTaken(peer: PeerId, bytes: number): void {
    const { given, taken } = this.of(peer)
    this.#accounts.set(peer, { given, taken: taken + bytes }, 1)
  }

  /** Whether the peer has given at least as much as it got: it is served under contention. */
  isEven(peer: PeerId): boolean {
    const { given, taken } = this.of(peer)
    return taken >= given
  }
}
