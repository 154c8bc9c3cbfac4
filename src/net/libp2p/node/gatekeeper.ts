import type { ConnectionGater } from '@libp2p/interface'
import { type PeerId, parsePeerId } from '../../../key/peer-id.ts'
import { bannedPeersMax } from '../../../limits.ts'
import { Lru } from '../../../std/lru.ts'

/** Whom the library may connect with. */
export class Gatekeeper {
  readonly #banned = new Lru<PeerId, true>(bannedPeersMax)
  readonly gater: ConnectionGater

  constructor() {
    const isRefused = (peer: { toString(): string }): boolean => this.#isRefused(peer.toString())
    this.gater = {
      denyDialPeer: isRefused,
      denyInboundEncryptedConnection: isRefused,
      denyOutboundEncryptedConnection: isRefused,
      denyInboundRelayReservation: isRefused,
      denyOutboundRelayedConnection: (from, to) => isRefused(from) || isRefused(to),
      denyInboundRelayedConnection: (_, peer) => isRefused(peer),
    }
  }

  setBanned(peer: PeerId, isBanned: boolean): void {
    if (isBanned) this.#banned.set(peer, true, 1)
    else this.#banned.delete(peer)
  }

  isBanned(peer: PeerId): boolean {
    return this.#banned.get(peer) !== undefined
  }

  /** Peers with other keys than Ed25519 have no `PeerId` here. */
  #isRefused(text: string): boolean {
    const peer = parsePeerId(text)
    return peer === undefined || this.isBanned(peer)
  }
}
