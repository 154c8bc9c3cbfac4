import type { CodedObject, ShardCoder } from '../../../erasure/coder/shard-coder.ts'
import type { PlacementOutcome } from '../../../interface/metrics.ts'
import type { Network } from '../../../interface/network.ts'
import type { AbortOptions } from '../../../std/signal.ts'
import { type FoundStripe, placedOf } from '../fetch/found-stripe.ts'
import type { HeldShards } from '../hold/held-shards.ts'
import { firstShards, indicesOf, noShards, without } from '../shard-mask.ts'
import type { Stripe } from '../stripe.ts'
import { encodeBlock, joinRoots } from '../stripe-coding.ts'
import type { StripePlacer } from './stripe-placer.ts'

export interface StripeRepairerComponents {
  readonly coder: ShardCoder
  readonly network: Network
  readonly placer: StripePlacer
  readonly held: HeldShards
  /** A manifest says of its shards what is not so. */
  readonly onLie: (stripe: Stripe) => void
}

/** Makes shards that nobody holds any more anew. */
export class StripeRepairer {
  readonly #parts: StripeRepairerComponents

  constructor(components: StripeRepairerComponents) {
    this.#parts = components
  }

  /** Places them: one here, if none is. They must be those of the manifest, which stays. */
  async repair(
    found: FoundStripe,
    sealed: Uint8Array,
    { signal }: AbortOptions,
  ): Promise<PlacementOutcome> {
    const { coder, network, placer, onLie } = this.#parts
    const { stripe, holders } = found
    const { manifest } = stripe
    const lost = indicesOf(without(firstShards(manifest.shards), placedOf(found)))
    const encoded = await encodeBlock(coder, sealed, manifest, { signal })
    if (Buffer.compare(joinRoots(encoded.roots), manifest.roots) !== 0) {
      onLie(stripe)
      return 'failed'
    }
    const holding = holders.filter(({ shards }) => shards !== noShards).map(({ peer }) => peer)
    const here = holding.includes(network.self) ? undefined : lost[0]
    if (here !== undefined) await this.#holdHere(stripe, here, encoded)
    const indices = lost.filter(index => index !== here)
    const placed = await placer.place({ stripe, encoded, indices, holders: holding }, { signal })
    return placed.size > 0 || here !== undefined ? 'repaired' : 'refused'
  }

  async #holdHere(stripe: Stripe, index: number, encoded: CodedObject): Promise<void> {
    const { held, network } = this.#parts
    const bytes = encoded.shards[index]
    const leafHashes = Buffer.concat(encoded.leafHashes[index] ?? [])
    if (bytes === undefined) return
    await held.put({ stripe, index, heldFor: network.self, leafHashes, bytes })
  }
}
