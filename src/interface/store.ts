import type { LookupKey } from '../key/response-key.ts'
import type { SwarmTag } from '../key/scope.ts'
import type { Startable } from '../std/lifecycle.ts'

/**
 * Where sealed records live. A store keeps opaque bytes under look-up keys, within a maximum of
 * bytes, and evicts by GDSF: the records whose loss costs the fewest seconds of recomputing per
 * byte go first. Implementations: memory, LMDB, and the two as tiers. `store.compliance.ts` is the
 * contract in code.
 *
 * Reads never return a half-written, expired or altered record. A store that cannot write any more
 * (disk full, read-only) throws `store_failed` from `put` and goes on serving reads; the caller
 * says so and continues without storing.
 */
export interface Store extends Startable {
  /** The record and the tier it came from, or undefined. Counts as a use for eviction. */
  get(key: LookupKey): StoredRecord | undefined
  /** Counts a use that was served without asking the store. */
  countUse(key: LookupKey): void
  /** As `get`, without counting as a use. */
  peek(key: LookupKey): StoredRecord | undefined
  /** Writes or replaces. Resolves when the record would survive kill -9. @throws store_failed */
  put(key: LookupKey, record: NewRecord): Promise<void>
  /** Whether there was one. */
  remove(key: LookupKey): Promise<boolean>
  clear(): Promise<void>
  /**
   * Live records without their bytes, most valuable first where the store knows an order. Lazy: it
   * may be stopped early.
   */
  list(): Iterable<RecordSummary>
  stats(): StoreStats
}

/**
 * A disk tier may forget what memory keeps; `memory` and `disk` are what clients see as the source.
 */
export type Tier = 'memory' | 'disk'

export interface RecordMeta {
  /** The swarm whose members may have it. Absent: nobody but this node. */
  readonly swarm?: SwarmTag
  /** Seconds the answer took to make: what a hit saves. */
  readonly costSeconds: number
  /** Milliseconds since 1970. */
  readonly createdAt: number
  /** Milliseconds since 1970 after which it is not served. */
  readonly expiresAt: number
  /**
   * Digests of the canonical request's fields (16 hex digits, salted with the node's secret), by
   * field name: lets `cache explain` name what differs without keeping any text.
   */
  readonly fieldDigests: { readonly [field: string]: string }
}

export interface NewRecord {
  readonly bytes: Uint8Array
  readonly meta: RecordMeta
}

export interface StoredRecord extends NewRecord {
  readonly tier: Tier
}

export interface RecordSummary {
  readonly key: LookupKey
  readonly bytes: number
  readonly uses: number
  readonly meta: RecordMeta
}

export interface StoreStats {
  readonly tiers: readonly {
    readonly tier: Tier
    readonly records: number
    readonly bytes: number
    readonly bytesMax: number
    readonly evictions: number
    /** Why it does not write, when it does not. */
    readonly readOnlyBecause?: string
  }[]
}
