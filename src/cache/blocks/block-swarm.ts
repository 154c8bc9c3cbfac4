import { type BlockHash, blockLookupKey } from '../../key/block-hash.ts'
import { parseModelId } from '../../key/model-id.ts'
import { assert } from '../../std/assert.ts'
import type { Startable } from '../../std/lifecycle.ts'
import type { AbortOptions } from '../../std/signal.ts'
import type { TaskScope } from '../../std/task-scope.ts'
import type { Blame } from './fetch/blame.ts'
import type { BlockFetcher } from './fetch/block-fetcher.ts'
import { type BlockFinder, emptyRun } from './fetch/block-finder.ts'
import type { Holding } from './hold/create-holding.ts'
import type { KnownMembers } from './known-members.ts'
import type { Placing } from './place/create-placing.ts'
import type { ShardLedger } from './shard-ledger.ts'
import type {
  FetchedBlock,
  FindBlocksOptions,
  FoundRun,
  PlaceableBlock,
  SwarmBlockStats,
  SwarmBlocks,
} from './swarm-blocks.ts'

export interface BlockSwarmComponents {
  readonly finder: BlockFinder
  readonly fetcher: BlockFetcher
  readonly blame: Blame
  readonly placing: Placing
  readonly holding: Holding
  readonly members: KnownMembers
  readonly ledger: ShardLedger
  /** Owner of all that goes on in the background. */
  readonly scope: TaskScope
}

/** What a node does with the KV blocks of its swarm. Made by `createSwarmBlocks`. */
export class BlockSwarm implements SwarmBlocks, Startable {
  readonly name = 'swarm blocks'
  /** Bytes of shards given to and taken from each peer. */
  readonly ledger: ShardLedger
  readonly #parts: BlockSwarmComponents

  constructor(components: BlockSwarmComponents) {
    this.#parts = components
    this.ledger = components.ledger
  }

  /** After the network, the directory and the shard store. */
  async start(): Promise<void> {
    const { members, placing, holding } = this.#parts
    members.start()
    placing.start()
    holding.start()
  }

  async stop(): Promise<void> {
    const { members, placing, holding, scope } = this.#parts
    placing.stop()
    members.stop()
    await scope.close()
    holding.stop()
  }

  get hasPeers(): boolean {
    return this.#parts.finder.hasPeers
  }

  async find(blocks: readonly BlockHash[], options: FindBlocksOptions): Promise<FoundRun> {
    options.signal.throwIfAborted()
    const isOver = this.#parts.scope.signal.aborted
    return isOver || blocks.length === 0 ? emptyRun : await this.#parts.finder.find(blocks, options)
  }

  fetch(run: FoundRun, options: AbortOptions): AsyncIterable<FetchedBlock> {
    return this.#parts.fetcher.fetch(run, options)
  }

  reportInvalid(block: FetchedBlock): void {
    const provenance = this.#parts.fetcher.provenanceOf(block)
    if (provenance !== undefined) this.#parts.blame.wrongBlock(provenance)
  }

  place({ hash, sealed, modelId, numericClass }: PlaceableBlock): void {
    const model = parseModelId(modelId)
    assert(model !== undefined, 'A block that is placed is one of a model')
    const key = blockLookupKey(hash)
    this.#parts.placing.placer.add({ type: 'place', key, sealed, modelId: model, numericClass })
  }

  recall({ hash, modelId, numericClass }: Omit<PlaceableBlock, 'sealed'>): boolean {
    const model = parseModelId(modelId)
    assert(model !== undefined, 'A block that was placed is one of a model')
    const key = blockLookupKey(hash)
    return this.#parts.placing.recall({ key, modelId: model, numericClass })
  }

  withdraw(blocks: readonly BlockHash[]): void {
    const { holding, placing, scope } = this.#parts
    const keys = blocks.map(blockLookupKey)
    for (const key of keys) placing.forget(key)
    scope.spawn('withdraw blocks', async () => {
      await Promise.all(keys.map(key => holding.own.remove(key)))
    })
  }

  stats(): SwarmBlockStats {
    const { holding, placing } = this.#parts
    return {
      placed: holding.own.placed,
      placing: placing.placer.placing,
      shardsHeld: holding.held.count,
      shardBytes: holding.held.bytes,
      shardBytesMax: holding.bytesMax(),
    }
  }
}
