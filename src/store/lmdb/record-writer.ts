import { join } from 'node:path'
import type { RecordMeta } from '../../interface/store.ts'
import type { LookupKey } from '../../key/response-key.ts'
import { storeSweepMax } from '../../limits.ts'
import { gdsfPriority } from '../../std/gdsf-queue.ts'
import { type Databases, dataFileName } from './databases.ts'
import { FileReserve, type PlannedWrites } from './file-reserve.ts'
import { emptyLedger, type Ledger, readLedger, writeLedger } from './ledger.ts'
import {
  decodeRecordEntry,
  diskBytes,
  encodeRecordEntry,
  isRecordOf,
  keyOfPlace,
  newRecordEntry,
  priorityOfPlace,
  queueKey,
  type RecordEntry,
} from './record-entry.ts'

export type WriteOperation =
  /** Result: false when the record is larger than the whole store; then nothing has changed. */
  | {
      readonly type: 'put'
      readonly key: LookupKey
      readonly bytes: Uint8Array
      readonly meta: RecordMeta
    }
  /**
   * Result: whether there was one. The conditional forms look again, for it may have been replaced
   * meanwhile.
   */
  | { readonly type: 'remove' | 'remove-damaged'; readonly key: LookupKey }
  | { readonly type: 'remove-expired'; readonly key: LookupKey; readonly now: number }
  | { readonly type: 'clear' }
  /** Writes the uses that were counted since the last flush. */
  | { readonly type: 'flush' }
  /** Removes what has expired among the next records in the order of keys. */
  | { readonly type: 'sweep'; readonly now: number }

export interface WriterOptions {
  readonly folder: string
  readonly bytesMax: number
}

export interface WriteBatch {
  readonly operations: readonly WriteOperation[]
  /** Uses counted since the last batch. */
  readonly uses: readonly (readonly [LookupKey, number])[]
}

export interface WriteOutcome {
  /** One per operation. */
  readonly results: readonly boolean[]
  readonly ledger: Ledger
}

const allRecords: PlannedWrites = { records: Number.POSITIVE_INFINITY, bytes: 0 }
/** Records evicted by one transaction while a store is brought below a smaller maximum. */
const trimMax = 1_024

/**
 * The only writer of a store. Synchronous: it runs in a thread of its own (`writer-worker.ts`),
 * where waiting for the disk delays nobody. A batch is one transaction: it happens whole or, when
 * it throws, not at all.
 */
export class RecordWriter {
  readonly #databases: Databases
  readonly #bytesMax: number
  readonly #reserve: FileReserve
  #ledger: Ledger = emptyLedger
  /** Uses that are not yet in the entries. */
  readonly #uses = new Map<string, number>()
  /** Keys of `#uses` that the running transaction has written. */
  readonly #usesWritten = new Set<string>()
  /** Where the next sweep begins. */
  #sweepFrom: Buffer | undefined

  constructor(databases: Databases, options: WriterOptions) {
    this.#databases = databases
    this.#bytesMax = options.bytesMax
    this.#reserve = new FileReserve(databases, join(options.folder, dataFileName))
  }

  get ledger(): Ledger {
    return this.#ledger
  }

  /**
   * Reads or recounts the ledger and brings the store below its maximum. False for a store of
   * another format.
   */
  open(): boolean {
    const read = readLedger(this.#databases)
    if (read.outcome === 'foreign') return false
    if (read.outcome === 'read') this.#ledger = read.ledger
    else this.#transact(allRecords, ledger => this.#recount(ledger))
    while (this.#ledger.bytes > this.#bytesMax) {
      const planned = { records: trimMax, bytes: 0 }
      this.#transact(planned, ledger => this.#makeRoom(ledger, trimMax))
    }
    return true
  }

  apply(batch: WriteBatch): WriteOutcome {
    for (const [key, uses] of batch.uses) this.#uses.set(key, (this.#uses.get(key) ?? 0) + uses)
    const results: boolean[] = []
    this.#transact(this.#plan(batch.operations), ledgerBefore => {
      let ledger = ledgerBefore
      for (const operation of batch.operations) {
        const [ledgerAfter, result] = this.#run(operation, ledger)
        ledger = ledgerAfter
        results.push(result)
      }
      return ledger
    })
    return { results, ledger: this.#ledger }
  }

  /** Writes something, to learn whether that is possible again. */
  probe(): WriteOutcome {
    this.#reserve.ensure({ records: 1, bytes: 0 })
    this.#databases.root.transactionSync(() => writeLedger(this.#databases, this.#ledger))
    return { results: [], ledger: this.#ledger }
  }

  async close(): Promise<void> {
    this.#reserve.close()
    await this.#databases.root.close()
  }

  #plan(operations: readonly WriteOperation[]): PlannedWrites {
    let { records, bytes } = { records: 0, bytes: 0 }
    for (const operation of operations) {
      if (operation.type === 'put') bytes += operation.bytes.length
      else if (operation.type === 'flush') records += this.#uses.size
      else if (operation.type === 'sweep') records += storeSweepMax
      else if (operation.type === 'clear') return allRecords
      records += 1
    }
    // A large record takes the place of many small ones.
    const averageBytes = Math.max(this.#ledger.bytes / Math.max(this.#ledger.records, 1), 1)
    const isFull = this.#ledger.bytes + 2 * bytes > this.#bytesMax
    return { records: records + (isFull ? Math.ceil(bytes / averageBytes) : 0), bytes }
  }

  #transact(planned: PlannedWrites, work: (ledger: Ledger) => Ledger): void {
    this.#reserve.ensure(planned)
    this.#usesWritten.clear()
    let ledger = this.#ledger
    this.#databases.root.transactionSync(() => {
      ledger = work(this.#ledger)
      if (ledger !== this.#ledger) writeLedger(this.#databases, ledger)
    })
    // Only now is it true: a transaction that throws has changed nothing.
    this.#ledger = ledger
    for (const key of this.#usesWritten) this.#uses.delete(key)
  }

  #run(operation: WriteOperation, ledger: Ledger): readonly [Ledger, boolean] {
    switch (operation.type) {
      case 'put':
        return this.#put(operation, ledger)
      case 'clear':
        return [this.#clear(ledger), true]
      case 'flush':
        return [this.#flush(ledger), true]
      case 'sweep':
        return [this.#sweep(operation.now, ledger), true]
      default:
        return this.#remove(operation, ledger)
    }
  }

  #put(
    operation: WriteOperation & { readonly type: 'put' },
    ledgerBefore: Ledger,
  ): readonly [Ledger, boolean] {
    const key = Buffer.from(operation.key, 'hex')
    const fresh = newRecordEntry(key, operation)
    if (diskBytes(fresh) > this.#bytesMax) return [ledgerBefore, false]
    const old = this.#entry(key)
    const entry = old === undefined || old === 'damaged' ? fresh : { ...fresh, uses: old.uses }
    const ledger = this.#forget(key, ledgerBefore)
    this.#databases.records.put(key, operation.bytes)
    return [this.#makeRoom(this.#enter(key, entry, ledger), Number.POSITIVE_INFINITY), true]
  }

  #remove(
    operation: WriteOperation & { readonly key: LookupKey },
    ledger: Ledger,
  ): readonly [Ledger, boolean] {
    const key = Buffer.from(operation.key, 'hex')
    const entry = this.#entry(key)
    if (entry === undefined) return [ledger, false]
    if (operation.type === 'remove-damaged' && this.#isSound(key, entry)) return [ledger, false]
    if (operation.type === 'remove-expired') {
      if (entry !== 'damaged' && entry.expiresAt >= operation.now) return [ledger, false]
    }
    return [this.#forget(key, ledger), true]
  }

  #isSound(key: Uint8Array, entry: RecordEntry | 'damaged'): boolean {
    const bytes = this.#databases.records.getBinary(key)
    return entry !== 'damaged' && bytes !== undefined && isRecordOf(key, entry, bytes)
  }

  #clear(ledger: Ledger): Ledger {
    const { records, entries, queue } = this.#databases
    for (const tree of [records, entries, queue]) tree.clearSync()
    this.#uses.clear()
    return { ...emptyLedger, inflation: ledger.inflation, evictions: ledger.evictions }
  }

  #flush(ledgerBefore: Ledger): Ledger {
    let ledger = ledgerBefore
    for (const key of this.#uses.keys()) ledger = this.#writeUses(key, ledger)
    return ledger
  }

  /**
   * Moves the uses counted for a key into its entry, and the entry to its new place in the queue.
   */
  #writeUses(key: string, ledger: Ledger): Ledger {
    this.#usesWritten.add(key)
    const id = Buffer.from(key, 'hex')
    const entry = this.#entry(id)
    if (entry === undefined || entry === 'damaged') return ledger
    this.#databases.queue.remove(queueKey(entry.priority, id))
    const uses = Math.min(entry.uses + (this.#uses.get(key) ?? 0), 0xffff_ffff)
    const left = { ...ledger, records: ledger.records - 1, bytes: ledger.bytes - diskBytes(entry) }
    return this.#enter(id, { ...entry, uses }, left)
  }

  #sweep(now: number, ledgerBefore: Ledger): Ledger {
    const gone: Buffer[] = []
    let last: Buffer | undefined
    let rowCount = 0
    const start = this.#sweepFrom === undefined ? {} : { start: this.#sweepFrom }
    for (const row of this.#databases.entries.getRange({ ...start, limit: storeSweepMax })) {
      last = Buffer.from(row.key)
      rowCount += 1
      const entry = decodeRecordEntry(last, Buffer.from(row.value))
      if (entry === undefined || entry.expiresAt < now) gone.push(last)
    }
    this.#sweepFrom = rowCount < storeSweepMax ? undefined : last
    let ledger = ledgerBefore
    for (const key of gone) ledger = this.#forget(key, ledger)
    return ledger
  }

  /**
   * Evicts the least valuable records until the store is below its maximum, or `evictionsMax` are
   * gone.
   */
  #makeRoom(ledgerBefore: Ledger, evictionsMax: number): Ledger {
    let ledger = ledgerBefore
    for (let evictions = 0; ledger.bytes > this.#bytesMax && evictions < evictionsMax; ) {
      const place = this.#firstPlace()
      // Bytes without a record to evict: the ledger is wrong.
      if (place === undefined) return this.#recount(ledger)
      const key = keyOfPlace(place)
      const name = key.toString('hex')
      if (this.#uses.has(name) && !this.#usesWritten.has(name)) {
        // It was used since its place was written. Uses only raise a priority, so looking at the
        // first is enough.
        ledger = this.#writeUses(name, ledger)
        continue
      }
      const inflation = Math.max(ledger.inflation, priorityOfPlace(place))
      ledger = { ...this.#forget(key, ledger), inflation, evictions: ledger.evictions + 1 }
      this.#databases.queue.remove(place)
      evictions += 1
    }
    return ledger
  }

  #firstPlace(): Buffer | undefined {
    for (const place of this.#databases.queue.getKeys({ limit: 1 })) return Buffer.from(place)
    return undefined
  }

  /** Writes an entry and its place in the queue. */
  #enter(key: Buffer, entry: RecordEntry, ledger: Ledger): Ledger {
    const weight = { costSeconds: entry.costSeconds, bytes: diskBytes(entry) }
    // The record itself counts as the first use.
    const priority = gdsfPriority(ledger.inflation, entry.uses + 1, weight)
    this.#databases.entries.put(key, encodeRecordEntry(key, { ...entry, priority }))
    this.#databases.queue.put(queueKey(priority, key), Buffer.alloc(0))
    return { ...ledger, records: ledger.records + 1, bytes: ledger.bytes + weight.bytes }
  }

  /** Removes whatever is there under a key. */
  #forget(key: Uint8Array, ledger: Ledger): Ledger {
    const entry = this.#entry(key)
    if (entry === undefined) return ledger
    const { records, entries, queue } = this.#databases
    records.remove(key)
    entries.remove(key)
    // What cannot be read tells neither its size nor its place.
    if (entry === 'damaged') return this.#recount(ledger)
    queue.remove(queueKey(entry.priority, key))
    const bytes = ledger.bytes - diskBytes(entry)
    return { ...ledger, records: ledger.records - 1, bytes }
  }

  /** Rebuilds the queue and the counts from the entries, and drops those that cannot be read. */
  #recount(ledger: Ledger): Ledger {
    const { entries, records, queue } = this.#databases
    queue.clearSync()
    const damaged: Buffer[] = []
    let [count, bytes, lowest] = [0, 0, Number.POSITIVE_INFINITY]
    for (const row of entries.getRange({})) {
      const key = Buffer.from(row.key)
      const entry = decodeRecordEntry(key, Buffer.from(row.value))
      if (entry === undefined) {
        damaged.push(key)
        continue
      }
      queue.put(queueKey(entry.priority, key), Buffer.alloc(0))
      count += 1
      bytes += diskBytes(entry)
      lowest = Math.min(lowest, entry.priority)
    }
    for (const key of damaged) {
      entries.remove(key)
      records.remove(key)
    }
    // A lost inflation would rank every new record below all old ones.
    const inflation = count === 0 ? ledger.inflation : Math.max(ledger.inflation, lowest)
    return { ...ledger, records: count, bytes, inflation }
  }

  #entry(key: Uint8Array): RecordEntry | 'damaged' | undefined {
    const bytes = this.#databases.entries.getBinary(key)
    return bytes && (decodeRecordEntry(key, bytes) ?? 'damaged')
  }
}
