import type { BlobStore } from '../../interface/blob-store.ts'
import type { Random } from '../../std/random.ts'
import type { BlockMemory } from '../block-memory.ts'
import { Admission } from './admission.ts'
import { RunJudge } from './audit/judge-runs.ts'
import { RefusedIssuers } from './audit/refused-issuers.ts'
import { PlacedBlocks } from './placed-blocks.ts'
import { PrefixCache, type PrefixCacheOptions, type PrefixCacheParts } from './prefix-cache.ts'
import { Rates } from './rates.ts'
import { BlockTiers } from './tiers/block-tiers.ts'
import { FillQueue } from './tiers/fill-queue.ts'

/** Store and codec start before the cache and stop after it; `scope` stops before it. */
export interface CreatePrefixCacheComponents
  extends Pick<PrefixCacheParts, 'swarmOf' | 'codec' | 'clock' | 'log' | 'metrics' | 'scope'> {
  /** For this node's own sealed blocks alone. */
  readonly store: BlobStore
  readonly memory: BlockMemory
  readonly random: Random
}

export interface CreatePrefixCacheOptions extends PrefixCacheOptions {
  /** Open blocks in memory. */
  readonly memoryBytesMax: number
}

export function createPrefixCache(
  components: CreatePrefixCacheComponents,
  options: CreatePrefixCacheOptions,
): PrefixCache {
  const rates = new Rates(components.clock)
  const refused = new RefusedIssuers()
  const tiers = new BlockTiers({ ...components, rates, refused }, options)
  const judge = new RunJudge({ ...components, tiers, refused })
  const fills = new FillQueue({ ...components, tiers, refused })
  const placed = new PlacedBlocks()
  tiers.onLost(key => placed.withdraw(key))
  const admission = new Admission()
  const parts = { ...components, rates, refused, tiers, judge, fills, placed, admission }
  return new PrefixCache(parts, options)
}
