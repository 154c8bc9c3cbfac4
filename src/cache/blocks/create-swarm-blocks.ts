import type { SwarmTag } from '../../key/scope.ts'
import { TaskScope } from '../../std/task-scope.ts'
import { BlockSwarm } from './block-swarm.ts'
import { BlockFetcher, type BlockFetcherComponents } from './fetch/block-fetcher.ts'
import type { BlockLookupsComponents } from './fetch/block-lookups.ts'
import { createFinding } from './fetch/create-finding.ts'
import { createHolding, type HoldingComponents } from './hold/create-holding.ts'
import { KnownMembers } from './known-members.ts'
import { createPlacing, type PlacingComponents } from './place/create-placing.ts'
import { ShardLedger } from './shard-ledger.ts'
import { StripeReader } from './stripe.ts'

export type { LocalBlocks } from './hold/own-stripes.ts'

/**
 * `store`: shards held for others, and manifests of this node's own blocks; nobody else uses it.
 * `localBlocks`: this node's own sealed blocks, of which those that were placed are served.
 * `signer`: the node's own key.
 */
export interface SwarmBlocksComponents
  extends Pick<BlockLookupsComponents, 'network' | 'directory' | 'reputation' | 'clock' | 'log'>,
    Pick<BlockFetcherComponents, 'coder' | 'metrics'>,
    Pick<HoldingComponents, 'store' | 'localBlocks' | 'memory'>,
    Pick<PlacingComponents, 'signer'> {}

export interface SwarmBlocksOptions {
  /** Which swarm the network is of: what is stored for another one is left alone. */
  readonly swarm: SwarmTag
}

/**
 * The KV blocks that a node gives to its swarm and takes from it (DESIGN §6). Made before the
 * network starts, since it serves three protocols from then on; started after the network, the
 * directory, the store and the coder, and stopped before them.
 *
 * What `place` is told must be in `localBlocks` by then, and of the swarm's scope: it is what peers
 * are served. What this node took from a peer may be placed once it was audited, not before.
 */
export function createSwarmBlocks(
  components: SwarmBlocksComponents,
  { swarm }: SwarmBlocksOptions,
): BlockSwarm {
  const { clock, log } = components
  const scope = new TaskScope((task, error) => log.warn('task failed', { task, error }))
  const ledger = new ShardLedger()
  const members = new KnownMembers(components.network)
  const reader = new StripeReader(clock)
  const shared = { ...components, swarm, scope, ledger, members }
  const holding = createHolding({ ...shared, stripes: reader })
  const { held, own, outgoing } = holding
  const { lookups, finder, rates, blame } = createFinding({ ...shared, held, reader })
  const placing = createPlacing({
    ...shared,
    held,
    own,
    outgoing,
    lookups,
    onPlaced: ({ manifest }) => finder.forget(manifest.lookupKey),
    onLie: stripe => blame.wrongStripe(stripe),
  })
  const fetcher = new BlockFetcher(
    {
      ...shared,
      held,
      rates,
      memoryFor: bytes => components.memory.take(bytes),
      stripesOf: block => finder.stripesOf(block),
      onFetched: (found, sealed) => placing.onFetched(found, sealed),
    },
    { signal: scope.signal },
  )
  return new BlockSwarm({ ...shared, holding, placing, finder, fetcher, blame })
}
