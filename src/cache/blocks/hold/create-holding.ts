import type { Directory } from '../../../interface/directory.ts'
import type { BlockMetrics } from '../../../interface/metrics.ts'
import { adoptStored } from './adopt-stored.ts'
import { HeldShards, type HeldShardsComponents } from './held-shards.ts'
import { HoldServer, type HoldServerComponents } from './hold-server.ts'
import { KeyOffers } from './key-offers.ts'
import { ManifestServer } from './manifest-server.ts'
import { Outgoing } from './outgoing.ts'
import { type LocalBlocks, OwnStripes } from './own-stripes.ts'
import { ShardServer, type ShardServerComponents } from './shard-server.ts'

export interface HoldingComponents
  extends Omit<HoldServerComponents, 'held'>,
    Omit<HeldShardsComponents, 'offers'>,
    Pick<ShardServerComponents, 'ledger' | 'coder' | 'memory'> {
  readonly directory: Directory
  readonly localBlocks: LocalBlocks
  readonly metrics: BlockMetrics
}

/** What this node has of blocks, and gives to peers. */
export interface Holding {
  readonly held: HeldShards
  readonly own: OwnStripes
  readonly outgoing: Outgoing
  /** Bytes that the shard store may hold. */
  bytesMax(): number
  start(): void
  stop(): void
}

/** Before the network starts: it serves the protocols from then on. */
export function createHolding(components: HoldingComponents): Holding {
  const { network, store, reputation, scope } = components
  const offers = new KeyOffers(components.directory)
  const held = new HeldShards({ ...components, offers })
  const own = new OwnStripes({ ...components, offers })
  const outgoing = new Outgoing()
  const shared = {
    ...components,
    held,
    own,
    outgoing,
    onMisbehaviour: (peer: typeof network.self) => reputation.note(peer, 'invalid-message'),
  }
  new HoldServer(shared).register()
  new ManifestServer(shared).register()
  new ShardServer(shared).register()
  let endTelling = (): void => undefined
  return {
    held,
    own,
    outgoing,
    bytesMax: () => store.stats().bytesMax,
    start() {
      endTelling = store.onLost(name => held.forget(name))
      scope.spawn('offer stored shards', signal => adoptStored(shared, signal))
    },
    stop() {
      endTelling()
      held.clear()
      own.clear()
    },
  }
}
