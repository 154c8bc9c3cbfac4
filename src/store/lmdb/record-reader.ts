import type { RecordMeta, RecordSummary } from '../../interface/store.ts'
import { type LookupKey, parseLookupKey } from '../../key/response-key.ts'
import type { Databases } from './databases.ts'
import { decodeRecordEntry, isRecordOf, keyOfPlace, metaOf } from './record-entry.ts'

export type RecordRead =
  | { readonly outcome: 'found'; readonly bytes: Uint8Array; readonly meta: RecordMeta }
  | { readonly outcome: 'absent' | 'expired' }
  | { readonly outcome: 'damaged'; readonly error?: unknown }

/**
 * Places of the queue read at once. No cursor stays open between: it would keep LMDB from reusing
 * pages.
 */
const placesAtOnce = 256

/** Reads records of an LMDB file, and believes none of it unchecked. */
export class RecordReader {
  readonly #databases: Databases

  constructor(databases: Databases) {
    this.#databases = databases
  }

  read(key: LookupKey, now: number): RecordRead {
    const id = Buffer.from(key, 'hex')
    try {
      const entryBytes = this.#databases.entries.getBinary(id)
      if (entryBytes === undefined) return { outcome: 'absent' }
      const entry = decodeRecordEntry(id, entryBytes)
      if (entry === undefined) return { outcome: 'damaged' }
      if (entry.expiresAt < now) return { outcome: 'expired' }
      const bytes = this.#databases.records.getBinary(id)
      if (bytes === undefined || !isRecordOf(id, entry, bytes)) return { outcome: 'damaged' }
      return { outcome: 'found', bytes, meta: metaOf(entry) }
    } catch (error) {
      return { outcome: 'damaged', error }
    }
  }

  /**
   * Live records, most valuable first. What is written meanwhile may be missed, or told at its old
   * place.
   */
  *list(now: number): Iterable<RecordSummary> {
    let places = this.#placesBelow(undefined)
    while (places.length > 0) {
      for (const place of places) {
        const summary = this.#summary(keyOfPlace(place), now)
        if (summary !== undefined) yield summary
      }
      places = this.#placesBelow(places.at(-1))
    }
  }

  /** The next places towards the least valuable. */
  #placesBelow(place: Buffer | undefined): readonly Buffer[] {
    const start = place === undefined ? {} : { start: place, exclusiveStart: true }
    const keys = this.#databases.queue.getKeys({ ...start, reverse: true, limit: placesAtOnce })
    return [...keys].map(key => Buffer.from(key))
  }

  #summary(id: Buffer, now: number): RecordSummary | undefined {
    const key = parseLookupKey(id.toString('hex'))
    const entryBytes = this.#databases.entries.getBinary(id)
    const entry = entryBytes && decodeRecordEntry(id, entryBytes)
    if (key === undefined || entry === undefined || entry.expiresAt < now) return undefined
    return { key, bytes: entry.recordBytes, uses: entry.uses, meta: metaOf(entry) }
  }
}
