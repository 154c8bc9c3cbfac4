import type { Network, PeerId } from '../../interface/network.ts'
import { reputationPeersMax } from '../../limits.ts'
import { Lru } from '../../std/lru.ts'

/**
 * Members that this node has been connected with. A signature alone costs its maker nothing: what
 * an issuer whom nobody has ever met states could not be held against anyone.
 */
export class KnownMembers {
  readonly #network: Network
  readonly #seen = new Lru<PeerId, true>(reputationPeersMax)
  #endTelling = (): void => undefined

  constructor(network: Network) {
    this.#network = network
  }

  start(): void {
    const see = (peer: PeerId): void => this.#seen.set(peer, true, 1)
    this.#endTelling = this.#network.onPeerChange(({ peer }) => see(peer))
    for (const { id } of this.#network.peers()) see(id)
  }

  stop(): void {
    this.#endTelling()
  }

  has(peer: PeerId): boolean {
    return peer === this.#network.self || this.#seen.get(peer) === true
  }
}
