import type { BlobStats, MemoryFor, ReadBlobOptions } from '../../../interface/blob-store.ts'
import type { LookupKey } from '../../../key/response-key.ts'
import type { SwarmTag } from '../../../key/scope.ts'
import { prefixIndexBlocksMax } from '../../../limits.ts'
import type { LocalTier } from '../../../route/predict-ttft.ts'
import { PrefixIndex } from '../../../route/prefix-index.ts'
import type { Startable } from '../../../std/lifecycle.ts'
import type { AbortOptions } from '../../../std/signal.ts'
import type { RefusedIssuers } from '../audit/refused-issuers.ts'
import type { PromptBlock } from '../prompt-blocks.ts'
import { type BlockOrigin, isTrusted } from './block-note.ts'
import { DiskTier, type DiskTierComponents, type SealedBlock } from './disk-tier.ts'
import { MemoryTier, type OpenRows } from './memory-tier.ts'

export type { MemoryFor }

/** A block that is at hand. */
export interface OpenBlock extends OpenRows {
  readonly tier: LocalTier
}

export interface TierStats {
  readonly memory: { readonly blocks: number; readonly bytes: number; readonly bytesMax: number }
  readonly disk: BlobStats
}

/** What becomes of a block's origin: another one, removal with its block, or nothing. */
export type OriginChange = (origin: BlockOrigin) => BlockOrigin | 'remove' | undefined

export interface BlockTiersComponents extends DiskTierComponents {
  readonly refused: RefusedIssuers
}

const localTiers: readonly LocalTier[] = ['memory', 'disk']

/** The blocks of this node: open rows in memory, sealed ones on disk, and which are where. */
export class BlockTiers implements Startable {
  readonly name = 'block tiers'
  readonly #parts: BlockTiersComponents
  readonly #memory: MemoryTier
  readonly #disk: DiskTier
  readonly #index = new PrefixIndex<LocalTier>(prefixIndexBlocksMax)
  #onLost: (key: LookupKey) => void = () => undefined
  #endTelling: () => void = () => undefined

  constructor(components: BlockTiersComponents, options: { readonly memoryBytesMax: number }) {
    this.#parts = components
    this.#disk = new DiskTier(components)
    this.#memory = new MemoryTier(options.memoryBytesMax, key => this.#index.remove('memory', key))
  }

  /** Is told of blocks that are gone from the disk, whoever took them away. */
  onLost(listener: (key: LookupKey) => void): void {
    this.#onLost = listener
  }

  /** Learns what the disk holds. */
  async start({ signal }: AbortOptions): Promise<void> {
    this.#endTelling = this.#disk.onLost(key => this.#lost(key))
    for await (const { facts, block } of this.#disk.list()) {
      signal.throwIfAborted()
      if (block === undefined) await this.#disk.remove(facts.name)
      else this.#index.add('disk', block.key)
    }
  }

  async stop(): Promise<void> {
    this.#endTelling()
    this.#forgetAll()
  }

  /** The tiers of the leading blocks, up to the first that this node has not. */
  leading(keys: readonly LookupKey[]): readonly LocalTier[] {
    return this.#index.leading(keys, localTiers)
  }

  /** Whether a block is where it survives a restart. */
  isOnDisk(key: LookupKey): boolean {
    return this.#index.has('disk', key)
  }

  /** Who computed what is here; undefined when there is nothing. */
  originOf(key: LookupKey): BlockOrigin | undefined {
    return this.#memory.peek(key)?.origin ?? this.#disk.noteOf(key)?.origin
  }

  /** Whether members of the swarm may have the block: it is on disk, of theirs, and trusted. */
  isServable(key: LookupKey, swarm: SwarmTag): boolean {
    const note = this.#disk.noteOf(key)
    if (note === undefined || this.#parts.refused.includes(note.origin)) return false
    return note.swarm === swarm && isTrusted(note.origin)
  }

  /** A block as it lies on disk, unopened. */
  async sealed(key: LookupKey, options: ReadBlobOptions): Promise<Uint8Array | undefined> {
    return await this.#disk.sealed(key, options)
  }

  /**
   * The rows of a block, checked against what the prompt says they are of; undefined: gone, or not
   * to be used.
   */
  async read(block: PromptBlock, options: AbortOptions): Promise<OpenBlock | undefined> {
    const { key } = block
    const open = this.#memory.get(key)
    if (open !== undefined) {
      // What is served from here would otherwise look unused on disk, and be evicted there.
      this.#disk.countUse(key)
      return this.#unlessRefused(key, { tier: 'memory', ...open })
    }
    const read = await this.#disk.read(block, options)
    if (read === undefined) {
      // It may be there all the same, and too much was to be read or opened.
      if (this.#disk.noteOf(key) === undefined) this.#gone(key)
      return undefined
    }
    this.keepOpen(key, read)
    return this.#unlessRefused(key, { tier: 'disk', ...read })
  }

  /** Keeps open rows in memory. */
  keepOpen(key: LookupKey, { rows, origin }: OpenRows): void {
    if (this.#memory.set(key, { rows, origin })) this.#index.add('memory', key)
  }

  /** @throws store_failed */
  async store(key: LookupKey, block: SealedBlock): Promise<void> {
    await this.#disk.put(key, block)
    this.#index.add('disk', key)
  }

  /** @throws store_failed */
  async remove(key: LookupKey): Promise<void> {
    this.#gone(key)
    await this.#disk.remove(key)
  }

  /** Gives blocks another origin, or removes them. Returns how many were removed. */
  async revise(change: OriginChange): Promise<number> {
    const removed = new Set<LookupKey>()
    for (const [key, { rows, origin }] of this.#memory.list()) {
      const revised = change(origin)
      if (revised === 'remove') removed.add(key)
      else if (revised !== undefined) this.keepOpen(key, { rows, origin: revised })
    }
    for await (const { block } of this.#disk.list()) {
      // What lies there now may be another block than when the list was made.
      const note = block && this.#disk.noteOf(block.key)
      if (block === undefined || note === undefined) continue
      const revised = change(note.origin)
      if (revised === 'remove') removed.add(block.key)
      else if (revised !== undefined)
        await this.#disk.setNote(block.key, { ...note, origin: revised })
    }
    for (const key of removed) this.#gone(key)
    for (const key of removed) await this.#disk.remove(key)
    return removed.size
  }

  async clear(): Promise<void> {
    this.#forgetAll()
    await this.#disk.clear()
  }

  stats(): TierStats {
    const { blocks, bytes, bytesMax } = this.#memory
    return { memory: { blocks, bytes, bytesMax }, disk: this.#disk.stats() }
  }

  #lost(key: LookupKey): void {
    this.#index.remove('disk', key)
    this.#parts.metrics.blocksCounted('evicted', 1)
    this.#onLost(key)
  }

  /** From disk and memory. */
  #gone(key: LookupKey): void {
    this.#memory.delete(key)
    for (const tier of localTiers) this.#index.remove(tier, key)
    this.#onLost(key)
  }

  /** A liar's block may have been read, or may be asked for, while all of them are removed. */
  #unlessRefused(key: LookupKey, open: OpenBlock): OpenBlock | undefined {
    if (!this.#parts.refused.includes(open.origin)) return open
    this.#gone(key)
    return undefined
  }

  #forgetAll(): void {
    this.#memory.clear()
    for (const tier of localTiers) this.#index.removeHolder(tier)
  }
}
