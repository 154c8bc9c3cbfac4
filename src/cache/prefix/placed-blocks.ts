import { type BlockHash, blockLookupKey } from '../../key/block-hash.ts'
import type { LookupKey } from '../../key/response-key.ts'
import { seenBlocksMax } from '../../limits.ts'
import { Lru } from '../../std/lru.ts'
import type { PlaceableBlock, SwarmBlocks } from '../blocks/swarm-blocks.ts'

interface Placed {
  readonly hash: BlockHash
  /** Weak: a node that has left a swarm has no use for it any more. */
  readonly swarm: WeakRef<SwarmBlocks>
}

/** Blocks that swarms were given by this node: they are told when the block is here no more. */
export class PlacedBlocks {
  readonly #placed = new Lru<LookupKey, Placed>(seenBlocksMax)

  /** Whatever the swarm has already it does not take again. */
  place(swarm: SwarmBlocks, block: PlaceableBlock): void {
    this.#remember(swarm, block)
    swarm.place(block)
  }

  /** As `SwarmBlocks.recall`. */
  recall(swarm: SwarmBlocks, block: Omit<PlaceableBlock, 'sealed'>): boolean {
    const isDone = swarm.recall(block)
    if (isDone) this.#remember(swarm, block)
    return isDone
  }

  withdraw(key: LookupKey): void {
    const placed = this.#placed.peek(key)
    this.#placed.delete(key)
    placed?.swarm.deref()?.withdraw([placed.hash])
  }

  withdrawAll(): void {
    const all = [...this.#placed.entries()].map(([, { value }]) => value)
    this.#placed.clear()
    const bySwarm = Map.groupBy(all, ({ swarm }) => swarm.deref())
    for (const [swarm, placed] of bySwarm) swarm?.withdraw(placed.map(({ hash }) => hash))
  }

  #remember(swarm: SwarmBlocks, { hash }: Pick<PlaceableBlock, 'hash'>): void {
    this.#placed.set(blockLookupKey(hash), { hash, swarm: new WeakRef(swarm) }, 1)
  }
}
