import type {
  NewRecord,
  RecordSummary,
  Store,
  StoredRecord,
  StoreStats,
} from '../interface/store.ts'
import type { LookupKey } from '../key/response-key.ts'
import { startAll, stopAll } from '../std/lifecycle.ts'
import type { AbortOptions } from '../std/signal.ts'

/** A store that can take a record at once. */
export interface MemoryTier extends Store {
  /**
   * Writes or replaces. False when the record is too large: then there is none under this key any
   * more.
   */
  hold(key: LookupKey, record: NewRecord): boolean
}

export interface TieredStoreComponents {
  readonly memory: MemoryTier
  readonly disk: Store
}

/**
 * Memory in front of disk. Memory holds a copy of what is in use; the disk holds everything. It
 * starts and stops both.
 */
export class TieredStore implements Store {
  readonly name = 'tiered store'
  readonly #memory: MemoryTier
  readonly #disk: Store

  constructor(components: TieredStoreComponents) {
    this.#memory = components.memory
    this.#disk = components.disk
  }

  start(options: AbortOptions): Promise<void> {
    return startAll([this.#memory, this.#disk], options)
  }

  stop(): Promise<void> {
    return stopAll([this.#memory, this.#disk])
  }

  get(key: LookupKey): StoredRecord | undefined {
    const held = this.#memory.get(key)
    if (held !== undefined) {
      // Otherwise the disk would take the most popular records for unused ones and evict them
      // first.
      this.#disk.countUse(key)
      return held
    }
    const stored = this.#disk.get(key)
    if (stored !== undefined) this.#memory.hold(key, stored)
    return stored
  }

  countUse(key: LookupKey): void {
    this.#memory.countUse(key)
    this.#disk.countUse(key)
  }

  peek(key: LookupKey): StoredRecord | undefined {
    return this.#memory.peek(key) ?? this.#disk.peek(key)
  }

  /**
   * Memory comes first, so that the record is served even where the disk fails. @throws
   * store_failed
   */
  async put(key: LookupKey, record: NewRecord): Promise<void> {
    this.#memory.hold(key, record)
    await this.#disk.put(key, record)
  }

  /** The disk first: whoever reads from it meanwhile puts a copy into memory, which goes then. */
  async remove(key: LookupKey): Promise<boolean> {
    let wasStored = false
    let wasHeld = false
    try {
      wasStored = await this.#disk.remove(key)
    } finally {
      wasHeld = await this.#memory.remove(key)
    }
    return wasHeld || wasStored
  }

  async clear(): Promise<void> {
    try {
      await this.#disk.clear()
    } finally {
      await this.#memory.clear()
    }
  }

  /** What is on disk, in its order; then what only memory has. */
  *list(): Iterable<RecordSummary> {
    const onlyHeld = new Map([...this.#memory.list()].map(summary => [summary.key, summary]))
    for (const summary of this.#disk.list()) {
      onlyHeld.delete(summary.key)
      yield summary
    }
    yield* onlyHeld.values()
  }

  stats(): StoreStats {
    return { tiers: [...this.#memory.stats().tiers, ...this.#disk.stats().tiers] }
  }
}
