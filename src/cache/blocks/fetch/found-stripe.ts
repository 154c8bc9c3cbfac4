import type { PeerId } from '../../../interface/network.ts'
import type { Manifest } from '../../../wire/manifest.ts'
import {
  countOf,
  firstShards,
  intersection,
  noShards,
  type ShardMask,
  union,
} from '../shard-mask.ts'
import type { Stripe } from '../stripe.ts'

/** A stripe that peers, or this node itself, say they have something of. */
export interface FoundStripe {
  readonly stripe: Stripe
  readonly holders: readonly Holder[]
  /** Whether all who might have some of it have answered. */
  readonly isComplete: boolean
}

export interface Holder {
  readonly peer: PeerId
  /** Held as shards: what is lost when the peer is. */
  readonly shards: ShardMask
  /** It has the block itself: it can give every data shard. */
  readonly isWhole: boolean
}

/** Shards that a holder can give. It may claim some that the stripe does not have. */
export function givenBy({ shards, isWhole }: Holder, manifest: Manifest): ShardMask {
  const held = intersection(shards, firstShards(manifest.shards))
  return isWhole ? union(held, firstShards(manifest.dataShards)) : held
}

/** Different shards that can be had of anybody. */
export function availableOf({ stripe, holders }: FoundStripe): ShardMask {
  return holders.reduce((all, holder) => union(all, givenBy(holder, stripe.manifest)), noShards)
}

/** Different shards that are held as such. */
export function placedOf({ stripe, holders }: FoundStripe): ShardMask {
  const held = holders.reduce((all, { shards }) => union(all, shards), noShards)
  return intersection(held, firstShards(stripe.manifest.shards))
}

export function isEnough(found: FoundStripe): boolean {
  return countOf(availableOf(found)) >= found.stripe.manifest.dataShards
}

/**
 * Whether so few shards are left that the next losses would end it: fewer than k + (n − k) / 2
 * (research/erasure-and-placement.md §5: repair on read at 11 of (8,14) keeps 99.8 % for 72 h).
 */
export function isWeak({ dataShards, shards }: Manifest, placedCount: number): boolean {
  return placedCount < dataShards + (shards - dataShards) / 2
}
