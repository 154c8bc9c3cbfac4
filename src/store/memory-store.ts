import { OperationError } from '../errors.ts'
import type { NewRecord, RecordSummary, StoredRecord, StoreStats } from '../interface/store.ts'
import type { LookupKey } from '../key/response-key.ts'
import type { Clock } from '../std/clock.ts'
import { GdsfQueue } from '../std/gdsf-queue.ts'
import type { MemoryTier } from './tiered-store.ts'

export interface MemoryStoreComponents {
  readonly clock: Clock
}

export interface MemoryStoreOptions {
  /** Most bytes of records, their keys and what the runtime spends on each. */
  readonly bytesMax: number
}

interface Held {
  readonly record: NewRecord
  /** What it counts against the maximum. */
  readonly bytes: number
  uses: number
}

/**
 * What V8 spends on one record beside its bytes: key, two map entries, objects, buffer. Measured:
 * 480 to 560.
 */
const recordOverheadBytes = 512
/** The same for one field digest: a short string and its slot. */
const digestOverheadBytes = 64

/** Records in the memory of this process, evicted by GDSF. They are gone when it ends. */
export class MemoryStore implements MemoryTier {
  readonly name = 'memory store'
  readonly #clock: Clock
  readonly #bytesMax: number
  readonly #held = new Map<LookupKey, Held>()
  readonly #queue = new GdsfQueue<LookupKey>()
  #bytes = 0
  #evictions = 0

  constructor(components: MemoryStoreComponents, options: MemoryStoreOptions) {
    this.#clock = components.clock
    this.#bytesMax = options.bytesMax
  }

  async start(): Promise<void> {}

  async stop(): Promise<void> {
    this.#clear()
  }

  get(key: LookupKey): StoredRecord | undefined {
    const held = this.#live(key)
    if (held === undefined) return undefined
    this.countUse(key)
    return storedRecord(held)
  }

  countUse(key: LookupKey): void {
    const held = this.#held.get(key)
    if (held === undefined) return
    held.uses += 1
    this.#queue.use(key)
  }

  peek(key: LookupKey): StoredRecord | undefined {
    const held = this.#live(key)
    return held && storedRecord(held)
  }

  async put(key: LookupKey, record: NewRecord): Promise<void> {
    const bytes = bytesOf(record)
    if (bytes > this.#bytesMax) throw tooLarge(bytes, this.#bytesMax)
    this.hold(key, record)
  }

  hold(key: LookupKey, record: NewRecord): boolean {
    const uses = this.#held.get(key)?.uses ?? 0
    const bytes = bytesOf(record)
    if (bytes > this.#bytesMax) {
      this.#drop(key)
      return false
    }
    this.#take(key)
    this.#held.set(key, { record: copyOf(record), bytes, uses })
    this.#bytes += bytes
    this.#queue.set(key, { costSeconds: record.meta.costSeconds, bytes })
    this.#makeRoom()
    return this.#held.has(key)
  }

  async remove(key: LookupKey): Promise<boolean> {
    return this.#drop(key)
  }

  async clear(): Promise<void> {
    this.#clear()
  }

  *list(): Iterable<RecordSummary> {
    const now = this.#clock.now()
    for (const { key } of this.#queue.toArray()) {
      const held = this.#held.get(key)
      if (held === undefined || held.record.meta.expiresAt < now) continue
      const { record, uses } = held
      yield { key, bytes: record.bytes.length, uses, meta: record.meta }
    }
  }

  stats(): StoreStats {
    const tier = {
      tier: 'memory' as const,
      records: this.#held.size,
      bytes: this.#bytes,
      bytesMax: this.#bytesMax,
      evictions: this.#evictions,
    }
    return { tiers: [tier] }
  }

  /** The record, unless it has expired: then it goes. */
  #live(key: LookupKey): Held | undefined {
    const held = this.#held.get(key)
    if (held === undefined || held.record.meta.expiresAt >= this.#clock.now()) return held
    this.#drop(key)
    return undefined
  }

  #makeRoom(): void {
    if (this.#bytes <= this.#bytesMax) return
    const now = this.#clock.now()
    // What has expired goes before what somebody may still ask for. The map is in the order of
    // writing, which is nearly that of expiry: looking further than the first live record would
    // cost a scan per write.
    for (const [key, held] of this.#held) {
      if (held.record.meta.expiresAt >= now) break
      this.#drop(key)
    }
    while (this.#bytes > this.#bytesMax) {
      const key = this.#queue.evict()
      if (key === undefined) return
      this.#take(key)
      this.#evictions += 1
    }
  }

  #drop(key: LookupKey): boolean {
    this.#queue.remove(key)
    return this.#take(key)
  }

  #take(key: LookupKey): boolean {
    const held = this.#held.get(key)
    if (held === undefined) return false
    this.#bytes -= held.bytes
    return this.#held.delete(key)
  }

  #clear(): void {
    this.#held.clear()
    this.#queue.clear()
    this.#bytes = 0
  }
}

function bytesOf({ bytes, meta }: NewRecord): number {
  const digests = Object.keys(meta.fieldDigests).length
  return bytes.length + recordOverheadBytes + digests * digestOverheadBytes
}

/**
 * Callers may reuse their buffer. `new`, because `slice` of a Buffer is a view on the same memory.
 */
function copyOf({ bytes, meta }: NewRecord): NewRecord {
  return {
    bytes: new Uint8Array(bytes),
    meta: { ...meta, fieldDigests: { ...meta.fieldDigests } },
  }
}

function storedRecord({ record }: Held): StoredRecord {
  return { bytes: new Uint8Array(record.bytes), meta: record.meta, tier: 'memory' }
}

function tooLarge(bytes: number, bytesMax: number): OperationError {
  return new OperationError(
    'store_failed',
    `A record of ${bytes} bytes does not fit into a store of ${bytesMax} bytes`,
    { origin: 'store' },
  )
}
