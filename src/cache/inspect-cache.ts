import type { Completion } from '../interface/generation.ts'
import { silentLog } from '../interface/log.ts'
import { silentMetrics } from '../interface/metrics.ts'
import type { RecordSummary, Store, StoredRecord, StoreStats } from '../interface/store.ts'
import {
  type LookupKey,
  lookupKey,
  parseLookupKey,
  parseResponseKey,
  type ResponseKey,
} from '../key/response-key.ts'
import { systemClock } from '../std/clock.ts'
import { systemRandom } from '../std/random.ts'
import { TaskScope } from '../std/task-scope.ts'
import { decodeResponseRecord } from '../wire/response-record.ts'
import { openRecord } from '../wire/sealed-record.ts'
import { completionOf } from './record-of.ts'
import { type Lookup, type LookupCondition, ResponseCache } from './response-cache.ts'

/**
 * What a person may see of the cache. Works on a running node's store and, between runs, on the
 * folder's.
 */
export interface EntryView {
  readonly lookupKey: LookupKey
  readonly bytes: number
  readonly uses: number
  readonly costSeconds: number
  readonly createdAt: string
  readonly expiresAt: string
}

/** A record as it travels in exports: sealed, so that the file is as private as the store. */
export interface ExportedRecord {
  readonly lookupKey: string
  readonly bytesBase64: string
  readonly meta: StoredRecord['meta']
}

export interface NearEntry {
  readonly lookupKey: LookupKey
  readonly createdAt: string
  /** Canonical fields whose digests differ, or that only one of the two has. */
  readonly differs: readonly string[]
}

/** Most entries compared by `nearestEntries`: about a second of work. */
const comparedMax = 100_000

export function listEntries(store: Store, limit: number): readonly EntryView[] {
  const views: EntryView[] = []
  for (const summary of store.list()) {
    if (views.length >= limit) break
    views.push(viewOf(summary))
  }
  return views
}

/**
 * An entry by its response key (opened) or its look-up key (sealed: only what is known of it from
 * outside). Undefined when there is none.
 */
export function findEntry(
  store: Store,
  keyText: string,
): { readonly view: EntryView; readonly completion?: Completion } | undefined {
  const response = parseResponseKey(keyText)
  if (response === undefined) return undefined
  const opened = peekView(store, lookupKey(response))
  if (opened !== undefined) {
    const plain = openRecord(response, opened.record.bytes)
    return { view: opened.view, completion: completionOf(decodeResponseRecord(plain)) }
  }
  const lookup = parseLookupKey(keyText)
  const sealed = lookup === undefined ? undefined : peekView(store, lookup)
  return sealed === undefined ? undefined : { view: sealed.view }
}

/** The look-up key that a person means by a response key or a look-up key. */
export function lookupKeyOf(store: Store, keyText: string): LookupKey | undefined {
  const response = parseResponseKey(keyText)
  if (response === undefined) return undefined
  const derived = lookupKey(response)
  if (store.peek(derived) !== undefined) return derived
  return parseLookupKey(keyText)
}

/**
 * What a node would find under a key, and why not. A record that does not open stays: it is the
 * node's to remove.
 */
export function lookUp(store: Store, key: ResponseKey, condition: LookupCondition): Lookup {
  const parts = { clock: systemClock, random: systemRandom, log: silentLog, metrics: silentMetrics }
  const scope = new TaskScope(() => undefined)
  return new ResponseCache({ ...parts, store, scope }, { ttlMs: 0 }).find(key, condition)
}

/** Stored entries whose canonical requests differ in the fewest fields. */
export function nearestEntries(
  store: Store,
  digests: { readonly [field: string]: string },
  limit: number,
): readonly NearEntry[] {
  const nearest: NearEntry[] = []
  let compared = 0
  for (const { key, meta } of store.list()) {
    compared += 1
    if (compared > comparedMax) break
    const differs = differingFields(digests, meta.fieldDigests)
    const createdAt = new Date(meta.createdAt).toISOString()
    nearest.push({ lookupKey: key, createdAt, differs })
    nearest.sort((a, b) => a.differs.length - b.differs.length)
    nearest.length = Math.min(nearest.length, limit)
  }
  return nearest
}

export function* exportRecords(store: Store, keys: readonly string[]): Generator<ExportedRecord> {
  for (const text of keys) {
    const key = parseLookupKey(text)
    const record = key === undefined ? undefined : store.peek(key)
    if (record === undefined) continue
    const bytesBase64 = Buffer.from(record.bytes).toString('base64')
    yield { lookupKey: text, bytesBase64, meta: record.meta }
  }
}

/** Puts exported records that are still alive. Returns how many were new. @throws store_failed */
export async function importRecords(
  store: Store,
  records: readonly ExportedRecord[],
  now: number,
): Promise<number> {
  let added = 0
  for (const { lookupKey: text, bytesBase64, meta } of records) {
    const key = parseLookupKey(text)
    if (key === undefined || meta.expiresAt <= now || store.peek(key) !== undefined) continue
    await store.put(key, { bytes: Buffer.from(bytesBase64, 'base64'), meta })
    added += 1
  }
  return added
}

export function totalBytes(stats: StoreStats): number {
  return stats.tiers.reduce((sum, tier) => sum + tier.bytes, 0)
}

function differingFields(
  mine: { readonly [field: string]: string },
  theirs: { readonly [field: string]: string },
): readonly string[] {
  const names = new Set([...Object.keys(mine), ...Object.keys(theirs)])
  return [...names].filter(name => mine[name] !== theirs[name])
}

function peekView(
  store: Store,
  key: LookupKey,
): { readonly record: StoredRecord; readonly view: EntryView } | undefined {
  const record = store.peek(key)
  if (record === undefined) return undefined
  return { record, view: viewOf({ key, bytes: record.bytes.length, uses: 0, meta: record.meta }) }
}

function viewOf({ key, bytes, uses, meta }: RecordSummary): EntryView {
  return {
    lookupKey: key,
    bytes,
    uses,
    costSeconds: meta.costSeconds,
    createdAt: new Date(meta.createdAt).toISOString(),
    expiresAt: new Date(meta.expiresAt).toISOString(),
  }
}
