import { badStripesMax } from '../../../limits.ts'
import type { Clock } from '../../../std/clock.ts'
import { Lru } from '../../../std/lru.ts'
import type { StripeId } from '../../../wire/manifest.ts'
import { type FoundStripe, isWeak, placedOf } from '../fetch/found-stripe.ts'
import { countOf } from '../shard-mask.ts'

/** Until then its holders may not all be announced. */
const youngMs = 60_000
/** One reader in this time is enough: what it places must be announced first. */
const againMs = 600_000

/**
 * Whether a stripe has lost so many shards that they should be made anew. That is asked when a
 * block is read or placed, never in the background (C. Blake and R. Rodrigues, HotOS 2003).
 */
export class RepairPolicy {
  readonly #clock: Clock
  /** When (monotonic ms) a stripe was last repaired here. */
  readonly #repaired = new Lru<StripeId, number>(badStripesMax)

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Few shards are held, as far as can be known: not all who hold some may have been asked. */
  isLosing(found: FoundStripe): boolean {
    const { manifest } = found.stripe
    const placedCount = countOf(placedOf(found))
    // The block of somebody who found nobody to place it on.
    if (manifest.shards === 1) return placedCount === 0
    const isSettled = this.#clock.now() - manifest.issuedAt >= youngMs
    return found.isComplete && isSettled && isWeak(manifest, placedCount)
  }

  /** `found`: what is left of it after it was fetched. Counts as done when it says so. */
  wants(found: FoundStripe): boolean {
    const { id, manifest } = found.stripe
    const nowMs = this.#clock.monotonicMs()
    if (manifest.shards === manifest.dataShards || !this.isLosing(found)) return false
    const lastMs = this.#repaired.get(id)
    if (lastMs !== undefined && nowMs - lastMs < againMs) return false
    this.#repaired.set(id, nowMs, 1)
    return true
  }
}
