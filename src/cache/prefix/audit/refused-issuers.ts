import type { PeerId } from '../../../key/peer-id.ts'
import { reputationPeersMax } from '../../../limits.ts'
import { Lru } from '../../../std/lru.ts'
import type { BlockOrigin } from '../tiers/block-note.ts'

/** Who was proven to send wrong state: nothing more of theirs is used while the node runs. */
export class RefusedIssuers {
  readonly #refused = new Lru<PeerId, true>(reputationPeersMax)

  add(issuer: PeerId): void {
    this.#refused.set(issuer, true, 1)
  }

  has(issuer: PeerId): boolean {
    return this.#refused.peek(issuer) === true
  }

  /** Whether a block is theirs, or was computed on one that is. */
  includes(origin: BlockOrigin): boolean {
    return origin.type !== 'own' && this.has(origin.issuer)
  }
}
