import type { Network, PeerId } from '../../../interface/network.ts'
import type { LookupKey } from '../../../key/response-key.ts'
import { offersPerKeyMax } from '../../../limits.ts'
import {
  decodeManifestAsks,
  encodeOffers,
  type ManifestAsk,
  type StripeOffer,
} from '../../../wire/block-messages.ts'
import { manifestProtocol } from '../protocols.ts'
import { countOf, noShards } from '../shard-mask.ts'
import type { HeldShards } from './held-shards.ts'
import type { OwnStripes } from './own-stripes.ts'

export interface ManifestServerComponents {
  readonly network: Network
  readonly held: HeldShards
  readonly own: OwnStripes
  readonly onMisbehaviour: (peer: PeerId) => void
}

/** Tells members what this node has of blocks that they ask for by look-up key. */
export class ManifestServer {
  readonly #parts: ManifestServerComponents

  constructor(components: ManifestServerComponents) {
    this.#parts = components
  }

  /** Before the network starts. */
  register(): void {
    const { network } = this.#parts
    network.serve(manifestProtocol, async (body, from) => {
      return encodeOffers(this.#decode(body, from).map(ask => this.#answer(ask)))
    })
  }

  /** What a peer is told, or this node itself. */
  offersOf(key: LookupKey): readonly StripeOffer[] {
    const { held, own } = this.#parts
    const manifest = own.manifestOf(key)
    const whole = manifest === undefined ? undefined : own.get(key)
    const offers = held.stripesOf(key).map(offer => ({
      ...offer,
      isWhole: offer.stripe === whole?.id,
    }))
    const isListed = offers.some(({ isWhole }) => isWhole)
    const ownOffer = { shards: noShards, isWhole: true, manifest }
    const all =
      whole === undefined || isListed ? offers : [{ ...ownOffer, stripe: whole.id }, ...offers]
    return all.toSorted((a, b) => worthOf(b) - worthOf(a)).slice(0, offersPerKeyMax)
  }

  #answer({ key, wantsManifest }: ManifestAsk): readonly StripeOffer[] {
    const offers = this.offersOf(key)
    return wantsManifest ? offers : offers.map(offer => ({ ...offer, manifest: undefined }))
  }

  #decode(body: Uint8Array, from: PeerId): readonly ManifestAsk[] {
    try {
      return decodeManifestAsks(body)
    } catch (error) {
      this.#parts.onMisbehaviour(from)
      throw error
    }
  }
}

/** The whole block before any shards of it. */
function worthOf({ shards, isWhole }: StripeOffer): number {
  return countOf(shards) + (isWhole ? 32 : 0)
}
