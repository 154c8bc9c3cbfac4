import type { BlockHash } from '../../key/block-hash.ts'
import type { PeerId } from '../../key/peer-id.ts'
import { delay } from '../../std/clock.ts'
import type { AbortOptions } from '../../std/signal.ts'
import type { SimulatedClock } from '../../std/simulated-clock.ts'
import type {
  FetchedBlock,
  FindBlocksOptions,
  FoundRun,
  PlaceableBlock,
  SwarmBlockStats,
  SwarmBlocks,
} from '../blocks/swarm-blocks.ts'

/** What all members of a test swarm have placed: blocks by hash, and who issued each. */
export type PlacedBlocks = Map<BlockHash, { readonly sealed: Uint8Array; readonly issuer: PeerId }>

/** One member's view of a swarm whose network does what a test says. */
export class TestSwarmBlocks implements SwarmBlocks {
  readonly hasPeers = true
  /** What `find` predicts. */
  bandwidth = 100e6
  latencyMs = 2
  /** What `fetch` then takes for one block. */
  blockMs = 0
  /** The same for the first one, where that takes longer. */
  firstBlockMs = 0
  /** Changes a block on its way. */
  tamper: (sealed: Uint8Array) => Uint8Array = sealed => sealed
  /** Blocks that come before the peers are gone. */
  vanishAfter: number = Number.POSITIVE_INFINITY
  readonly invalid: FetchedBlock[] = []
  readonly placed: PlaceableBlock[] = []
  /** For which nothing is to be done. */
  readonly recalled: Set<BlockHash> = new Set()
  readonly withdrawn: BlockHash[] = []
  fetchCount = 0
  readonly #all: PlacedBlocks
  readonly #self: PeerId
  readonly #clock: SimulatedClock

  constructor(all: PlacedBlocks, self: PeerId, clock: SimulatedClock) {
    this.#all = all
    this.#self = self
    this.#clock = clock
  }

  async find(blocks: readonly BlockHash[], _options: FindBlocksOptions): Promise<FoundRun> {
    const found: FoundRun['blocks'][number][] = []
    for (const hash of blocks) {
      const placed = this.#all.get(hash)
      if (placed === undefined) break
      found.push({ hash, bytes: placed.sealed.length, issuer: placed.issuer })
    }
    const { bandwidth, latencyMs } = this
    const bytes = found.reduce((sum, block) => sum + block.bytes, 0)
    return { blocks: found, bytes, bandwidth, latencyMs }
  }

  async *fetch(run: FoundRun, { signal }: AbortOptions): AsyncGenerator<FetchedBlock> {
    this.fetchCount += 1
    for (const [position, block] of run.blocks.entries()) {
      if (position >= this.vanishAfter) return
      const takesMs = Math.max(this.blockMs, position === 0 ? this.firstBlockMs : 0)
      if (takesMs > 0) await delay(this.#clock, takesMs, signal)
      const placed = this.#all.get(block.hash)
      if (placed === undefined) return
      yield { ...block, sealed: this.tamper(placed.sealed.slice()) }
    }
  }

  reportInvalid(block: FetchedBlock): void {
    this.invalid.push(block)
  }

  recall({ hash }: Omit<PlaceableBlock, 'sealed'>): boolean {
    return this.recalled.has(hash)
  }

  place(block: PlaceableBlock): void {
    this.placed.push(block)
    if (this.#all.has(block.hash)) return
    this.#all.set(block.hash, { sealed: block.sealed, issuer: this.#self })
  }

  /** Others hold what was placed. */
  withdraw(blocks: readonly BlockHash[]): void {
    this.withdrawn.push(...blocks)
  }

  stats(): SwarmBlockStats {
    const none = { placing: 0, shardsHeld: 0, shardBytes: 0, shardBytesMax: 0 }
    return { ...none, placed: this.placed.length }
  }
}
