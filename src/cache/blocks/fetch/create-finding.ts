import type { StripeReader } from '../stripe.ts'
import { Blame, type BlameComponents } from './blame.ts'
import { BlockFinder, type BlockFinderComponents } from './block-finder.ts'
import { BlockLookups, type BlockLookupsComponents } from './block-lookups.ts'
import { ManifestAsker } from './manifest-asker.ts'
import { PeerRates } from './peer-rates.ts'
import { TrustedStripes } from './trusted-stripes.ts'

export interface FindingComponents
  extends Omit<BlockLookupsComponents, 'asker'>,
    Omit<BlameComponents, 'stripes'>,
    Pick<BlockFinderComponents, 'coder'> {
  readonly reader: StripeReader
}

/** How this node learns who has blocks, and whom of them it believes. */
export interface Finding {
  readonly lookups: BlockLookups
  readonly finder: BlockFinder
  readonly rates: PeerRates
  readonly blame: Blame
}

export function createFinding(components: FindingComponents): Finding {
  const { reader, reputation } = components
  const shared = { ...components, stripes: new TrustedStripes(reader, reputation) }
  const rates = new PeerRates(components)
  const lookups = new BlockLookups({ ...shared, asker: new ManifestAsker(shared) })
  const finder = new BlockFinder({ ...shared, lookups, rates })
  return { lookups, finder, rates, blame: new Blame(shared) }
}
