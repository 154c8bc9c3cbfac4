import type { LookupKey } from '../../../key/response-key.ts'
import type { FoundStripe } from '../fetch/found-stripe.ts'
import { BlockPlacer, type BlockPlacerComponents } from './block-placer.ts'
import { type LonelyBlock, LonelyBlocks, type LonelyBlocksComponents } from './lonely-blocks.ts'
import { PlaceQueue } from './place-queue.ts'
import { RepairPolicy } from './repair-policy.ts'
import { StripePlacer, type StripePlacerComponents } from './stripe-placer.ts'
import { StripeRepairer, type StripeRepairerComponents } from './stripe-repairer.ts'
import { StripeWriter, type StripeWriterComponents } from './stripe-writer.ts'

export interface PlacingComponents
  extends Omit<
      BlockPlacerComponents,
      'queue' | 'policy' | 'writer' | 'repairer' | 'lonely' | 'self'
    >,
    Omit<StripeWriterComponents, 'placer'>,
    Omit<StripeRepairerComponents, 'placer'>,
    Omit<LonelyBlocksComponents, 'onReady'>,
    StripePlacerComponents {}

/** How this node's blocks get onto peers. */
export interface Placing {
  readonly placer: BlockPlacer
  /** A block was fetched, with what is left of its stripe. Copies what it keeps of it. */
  onFetched(found: FoundStripe, sealed: Uint8Array): void
  /** Whether there is nothing to do for a block that this node has, as `SwarmBlocks.recall`. */
  recall(block: LonelyBlock): boolean
  /** This node does not have the block any more. */
  forget(key: LookupKey): void
  start(): void
  stop(): void
}

export function createPlacing(components: PlacingComponents): Placing {
  const queue = new PlaceQueue()
  const policy = new RepairPolicy(components.clock)
  const lonely: LonelyBlocks = new LonelyBlocks({
    ...components,
    onReady: job => placer.add(job),
  })
  const stripes = { ...components, placer: new StripePlacer(components) }
  const writer = new StripeWriter(stripes)
  const repairer = new StripeRepairer(stripes)
  const { self } = components.network
  const placer = new BlockPlacer({ ...components, queue, policy, writer, repairer, lonely, self })
  return {
    placer,
    onFetched(found, sealed) {
      const { lookupKey: key } = found.stripe.manifest
      if (policy.wants(found))
        placer.add({ type: 'repair', key, sealed: new Uint8Array(sealed), found })
    },
    recall(block) {
      const stripe = components.own.get(block.key)
      if (stripe === undefined) return false
      if (stripe.isPlaced) return true
      if (stripes.placer.candidates().length > 0) return false
      lonely.add(block)
      return true
    },
    forget(key) {
      queue.remove(key)
      lonely.remove(key)
    },
    start: () => lonely.start(),
    stop() {
      lonely.stop()
      queue.clear()
    },
  }
}
