import type { PeerId } from '../../../interface/network.ts'
import type { LookupKey } from '../../../key/response-key.ts'
import type { StripeOffer } from '../../../wire/block-messages.ts'
import type { StripeId } from '../../../wire/manifest.ts'
import { countOf } from '../shard-mask.ts'
import type { Stripe } from '../stripe.ts'
import { availableOf, type FoundStripe, type Holder, isEnough } from './found-stripe.ts'

interface Collected {
  stripe: Stripe | undefined
  readonly holders: Map<PeerId, Holder>
}

/** So many shards more than are needed are enough to stop waiting for others. */
const spareShards = 2

/** What peers have said that they have, by key and stripe, while they are being asked. */
export class CollectedOffers {
  readonly #byKey = new Map<LookupKey, Map<StripeId, Collected>>()

  /** `stripe` where its manifest came along and was right. */
  add(key: LookupKey, peer: PeerId, offer: StripeOffer, stripe: Stripe | undefined): void {
    const stripes = this.#byKey.get(key) ?? new Map<StripeId, Collected>()
    this.#byKey.set(key, stripes)
    const collected = stripes.get(offer.stripe) ?? { stripe, holders: new Map<PeerId, Holder>() }
    stripes.set(offer.stripe, collected)
    collected.stripe ??= stripe
    collected.holders.set(peer, { peer, shards: offer.shards, isWhole: offer.isWhole })
  }

  /** Stripes of which enough can be had, those with the most to spare first. */
  stripesOf(key: LookupKey, isComplete: boolean): readonly FoundStripe[] {
    const stripes = [...(this.#byKey.get(key)?.values() ?? [])]
    const found = stripes.flatMap(({ stripe, holders }) =>
      stripe === undefined ? [] : [{ stripe, holders: [...holders.values()], isComplete }],
    )
    return found.filter(isEnough).toSorted((a, b) => spareOf(b) - spareOf(a))
  }

  /** Keys of which not enough is known, and who could tell the manifests that are lacking. */
  withoutManifest(keys: readonly LookupKey[]): ReadonlyMap<LookupKey, readonly PeerId[]> {
    const lacking = keys.flatMap(key => {
      const stripes = [...(this.#byKey.get(key)?.values() ?? [])]
      const unread = stripes.filter(({ stripe }) => stripe === undefined)
      if (unread.length === 0 || this.stripesOf(key, false).length > 0) return []
      return [[key, unread.flatMap(({ holders }) => [...holders.keys()])] as const]
    })
    return new Map(lacking)
  }

  /** Whether waiting for more answers could only make it better. */
  isAmple(key: LookupKey): boolean {
    return this.stripesOf(key, false).some(found => {
      const { dataShards, shards } = found.stripe.manifest
      return countOf(availableOf(found)) >= Math.min(shards, dataShards + spareShards)
    })
  }
}

function spareOf(found: FoundStripe): number {
  return countOf(availableOf(found)) - found.stripe.manifest.dataShards
}
