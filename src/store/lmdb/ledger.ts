import { crc32 } from 'node:zlib'
import { isJsonObject } from '../../std/json.ts'
import type { Databases } from './databases.ts'

/** What the store knows of itself. Written in the same transaction as what it counts. */
export interface Ledger {
  readonly records: number
  /** Estimated by `diskBytes`. */
  readonly bytes: number
  /** GDSF's inflation. */
  readonly inflation: number
  /** Since the store was made. */
  readonly evictions: number
}

export const emptyLedger: Ledger = { records: 0, bytes: 0, inflation: 0, evictions: 0 }

/** Format of the whole store. One with another number is not read. */
const format = 1
const ledgerKey = Buffer.from('ledger')
const checksumBytes = 4

export type LedgerRead =
  | { readonly outcome: 'read'; readonly ledger: Ledger }
  /** A new store, or damaged: recount. */
  | { readonly outcome: 'absent' }
  | { readonly outcome: 'foreign'; readonly format: string }

export function readLedger({ state, entries }: Databases): LedgerRead {
  const bytes = state.getBinary(ledgerKey)
  if (bytes === undefined || bytes.length < checksumBytes) return { outcome: 'absent' }
  const text = bytes.subarray(checksumBytes)
  if (crc32(text) !== bytes.readUInt32LE(0)) return { outcome: 'absent' }
  const value: unknown = JSON.parse(text.toString())
  if (!isJsonObject(value)) return { outcome: 'absent' }
  if (value['format'] !== format) return { outcome: 'foreign', format: String(value['format']) }
  const { records, bytes: held, inflation, evictions } = value
  const isComplete =
    typeof records === 'number' &&
    typeof held === 'number' &&
    typeof inflation === 'number' &&
    typeof evictions === 'number'
  if (!isComplete || records !== entryCount(entries)) return { outcome: 'absent' }
  return { outcome: 'read', ledger: { records, bytes: held, inflation, evictions } }
}

/** Inside a transaction. */
export function writeLedger({ state }: Databases, ledger: Ledger): void {
  const text = Buffer.from(JSON.stringify({ format, ...ledger }))
  const checksum = Buffer.alloc(checksumBytes)
  checksum.writeUInt32LE(crc32(text))
  state.put(ledgerKey, Buffer.concat([checksum, text]))
}

/** How many rows a tree says it has: without walking through it. */
function entryCount(entries: Databases['entries']): number | undefined {
  const stats = entries.getStats()
  return 'entryCount' in stats && typeof stats.entryCount === 'number'
    ? stats.entryCount
    : undefined
}
