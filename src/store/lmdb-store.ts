import type { Log } from '../interface/log.ts'
import type {
  NewRecord,
  RecordSummary,
  Store,
  StoredRecord,
  StoreStats,
} from '../interface/store.ts'
import type { LookupKey } from '../key/response-key.ts'
import type { Clock } from '../std/clock.ts'
import type { AbortOptions } from '../std/signal.ts'
import { TaskScope } from '../std/task-scope.ts'
import { explainWriteFailure } from './lmdb/data-folder.ts'
import { emptyLedger, type Ledger } from './lmdb/ledger.ts'
import {
  openForReading,
  openForWriting,
  type ReadableFile,
  type WritableFile,
} from './lmdb/open-store-file.ts'
import { RecordReader } from './lmdb/record-reader.ts'
import type { WriteOperation } from './lmdb/record-writer.ts'
import { UseCounts } from './lmdb/use-counts.ts'
import { storeFailed, WriteQueue } from './lmdb/write-queue.ts'

export interface LmdbStoreComponents {
  readonly clock: Clock
  readonly log: Log
}

export interface LmdbStoreOptions {
  /**
   * The store's own folder, made if absent. Damaged ones are renamed to `<folder>.corrupt-<time>`.
   */
  readonly folder: string
  /**
   * Most bytes that records take on disk, as `diskBytes` estimates them. The file of a full store
   * is up to a third larger, plus what two transactions write anew (at most about 16 MiB), and
   * never shrinks: what evicted records leave is reused.
   */
  readonly bytesMax: number
  /** Look without changing anything, beside a node that may be running. @default false */
  readonly openReadOnly?: boolean
}

/**
 * How often counted uses are written. After kill -9 that much of the popularity of records is
 * forgotten.
 */
const flushIntervalMs = 10_000
/** Every how many flushes the store is swept for expired records. */
const sweepEvery = 6

type Mode =
  | { readonly state: 'stopped' }
  | { readonly state: 'reading'; readonly file: ReadableFile; readonly reader: RecordReader }
  | {
      readonly state: 'started'
      readonly file: WritableFile
      readonly reader: RecordReader
      readonly writes: WriteQueue
    }

/**
 * Records in an LMDB file. Reads happen here, synchronously, from LMDB's memory map; writes in a
 * thread of their own (`lmdb/writer-thread.ts`), in batches. Eviction order and counts are in the
 * file, so that starting reads no records.
 */
export class LmdbStore implements Store {
  readonly name = 'disk store'
  readonly #parts: LmdbStoreComponents
  readonly #options: LmdbStoreOptions
  readonly #uses = new UseCounts()
  readonly #removals: TaskScope
  #mode: Mode = { state: 'stopped' }
  #ledger: Ledger = emptyLedger
  #evictionsBefore = 0
  #damagedCount = 0
  #flushCount = 0
  #cancelFlush: (() => void) | undefined

  constructor(components: LmdbStoreComponents, options: LmdbStoreOptions) {
    this.#parts = components
    this.#options = options
    this.#removals = new TaskScope((task, error) =>
      components.log.debug(task, { error: String(error) }),
    )
  }

  /** @throws data_folder_unusable */
  async start(options: AbortOptions): Promise<void> {
    options.signal.throwIfAborted()
    const { folder, bytesMax, openReadOnly = false } = this.#options
    if (openReadOnly) {
      const file = openForReading({ folder, bytesMax })
      if (file === undefined) return
      this.#mode = { state: 'reading', file, reader: new RecordReader(file.databases) }
      this.#ledger = file.ledger
      return
    }
    const file = await openForWriting(this.#parts, { folder, bytesMax })
    const { databases, writer, ledger } = file
    this.#ledger = ledger
    this.#evictionsBefore = ledger.evictions
    const writes = new WriteQueue(
      { ...this.#parts, writer, uses: this.#uses },
      {
        explain: error => explainWriteFailure(folder, error),
        onCommit: committed => {
          this.#ledger = committed
          // Otherwise reads go on from the snapshot that this turn of the event loop began with.
          databases.root.resetReadTxn()
        },
      },
    )
    this.#mode = {
      state: 'started',
      file,
      reader: new RecordReader(databases),
      writes,
    }
    this.#scheduleFlush()
  }

  async stop(): Promise<void> {
    const mode = this.#mode
    this.#mode = { state: 'stopped' }
    this.#cancelFlush?.()
    if (mode.state === 'stopped') return
    if (mode.state === 'started') {
      await this.#flush(mode.writes)
      await mode.writes.close()
      await this.#removals.close()
      await mode.file.writer.close()
    }
    await mode.file.databases.root.close()
  }

  get(key: LookupKey): StoredRecord | undefined {
    const record = this.#read(key)
    if (record !== undefined) this.countUse(key)
    return record
  }

  peek(key: LookupKey): StoredRecord | undefined {
    return this.#read(key)
  }

  countUse(key: LookupKey): void {
    if (this.#mode.state === 'started') this.#uses.count(key)
  }

  async put(key: LookupKey, { bytes, meta }: NewRecord): Promise<void> {
    // Copied: the caller may reuse its buffer, and this one is moved to the writer's thread.
    const operation = { type: 'put', key, bytes: new Uint8Array(bytes), meta } as const
    const isStored = await this.#write(operation)
    if (isStored) return
    const { bytesMax } = this.#options
    throw storeFailed(
      `a record of ${bytes.length} bytes is larger than the store of ${bytesMax}`,
      false,
    )
  }

  async remove(key: LookupKey): Promise<boolean> {
    return await this.#write({ type: 'remove', key })
  }

  async clear(): Promise<void> {
    await this.#write({ type: 'clear' })
  }

  *list(): Iterable<RecordSummary> {
    if (this.#mode.state === 'stopped') return
    for (const summary of this.#mode.reader.list(this.#parts.clock.now())) {
      yield { ...summary, uses: summary.uses + this.#uses.of(summary.key) }
    }
  }

  stats(): StoreStats {
    const { records, bytes, evictions } = this.#ledger
    const because = this.#readOnlyBecause()
    const tier = {
      tier: 'disk' as const,
      records,
      bytes,
      bytesMax: this.#options.bytesMax,
      evictions: evictions - this.#evictionsBefore,
      ...(because === undefined ? {} : { readOnlyBecause: because }),
    }
    return { tiers: [tier] }
  }

  #read(key: LookupKey): StoredRecord | undefined {
    if (this.#mode.state === 'stopped') return undefined
    const now = this.#parts.clock.now()
    const read = this.#mode.reader.read(key, now)
    switch (read.outcome) {
      case 'found':
        return { bytes: read.bytes, meta: read.meta, tier: 'disk' }
      case 'absent':
        return undefined
      case 'expired':
        this.#removeLater({ type: 'remove-expired', key, now })
        return undefined
      case 'damaged':
        this.#damagedCount += 1
        this.#parts.log.warn('record damaged', { total: this.#damagedCount, error: read.error })
        this.#removeLater({ type: 'remove-damaged', key })
        return undefined
    }
  }

  #removeLater(operation: WriteOperation): void {
    const mode = this.#mode
    if (mode.state !== 'started' || mode.writes.readOnlyBecause !== undefined) return
    this.#removals.spawn('record not removed', async () => {
      await mode.writes.submit(operation)
    })
  }

  async #write(operation: WriteOperation): Promise<boolean> {
    if (this.#mode.state === 'started') return await this.#mode.writes.submit(operation)
    throw storeFailed(this.#readOnlyBecause() ?? 'the store is stopped', false)
  }

  #readOnlyBecause(): string | undefined {
    if (this.#options.openReadOnly) return 'it was opened read-only'
    return this.#mode.state === 'started' ? this.#mode.writes.readOnlyBecause : undefined
  }

  #scheduleFlush(): void {
    this.#cancelFlush = this.#parts.clock.after(flushIntervalMs, () => {
      const mode = this.#mode
      if (mode.state !== 'started') return
      this.#removals.spawn('uses not written', () => this.#flush(mode.writes))
      this.#flushCount += 1
      if (this.#flushCount % sweepEvery === 0) {
        this.#removeLater({ type: 'sweep', now: this.#parts.clock.now() })
      }
      this.#scheduleFlush()
    })
  }

  async #flush(writes: WriteQueue): Promise<void> {
    if (this.#uses.size === 0 || writes.readOnlyBecause !== undefined) return
    try {
      await writes.submit({ type: 'flush' })
    } catch (error) {
      // Uses are a hint for eviction. That the disk fails is said by the queue, once.
      this.#parts.log.debug('uses not written', { reason: String(error) })
    }
  }
}
