import type { Log } from '../../../interface/log.ts'
import type { Network } from '../../../interface/network.ts'
import type { Reputation } from '../../../trust/reputation.ts'
import type { KnownMembers } from '../known-members.ts'
import type { Stripe } from '../stripe.ts'
import type { Provenance } from './block-fetcher.ts'
import type { TrustedStripes } from './trusted-stripes.ts'

export interface BlameComponents {
  readonly network: Network
  readonly reputation: Reputation
  readonly members: KnownMembers
  readonly stripes: TrustedStripes
  readonly log: Log
}

/** Who answers for a stripe that is not what it says, and is not used again. */
export class Blame {
  readonly #parts: BlameComponents

  constructor(components: BlameComponents) {
    this.#parts = components
  }

  /** Its shards were right, and what was made of them no such block. */
  wrongBlock({ found, givers }: Provenance): void {
    const { reputation, network, members } = this.#parts
    const { issuer } = found.stripe.manifest
    this.wrongStripe(found.stripe)
    for (const { peer, isWhole } of found.holders) {
      if (peer === network.self || peer === issuer) continue
      // Who has the block itself has vouched for it. Who holds shards cannot know what they are;
      // but where nobody knows the issuer there is nobody else to ask less often.
      if (isWhole) reputation.note(peer, 'bad-record')
      else if (!members.has(issuer) && givers.has(peer)) reputation.note(peer, 'failed')
    }
  }

  /** Its manifest says what is not so. */
  wrongStripe({ id, manifest }: Stripe): void {
    const { reputation, network, members, stripes, log } = this.#parts
    const { issuer } = manifest
    log.info('peer coded a wrong block', { issuer, isKnown: members.has(issuer) })
    stripes.addBad(id)
    if (issuer !== network.self) reputation.note(issuer, 'bad-record')
  }
}
