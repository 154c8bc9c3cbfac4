import { type Database, open, type RootDatabase } from 'lmdb'
import { MiB } from '../../limits.ts'

type BinaryDatabase = Database<Uint8Array, Uint8Array>

/**
 * The trees of a store's LMDB file. Keys are the 32 bytes of a look-up key unless said otherwise.
 */
export interface Databases {
  readonly root: RootDatabase<Uint8Array, Uint8Array>
  /** Sealed bytes. */
  readonly records: BinaryDatabase
  /**
   * What is known about them (`record-entry.ts`), apart, so that listing does not read the records.
   */
  readonly entries: BinaryDatabase
  /** Eviction order: keys are priority ‖ look-up key, values empty. */
  readonly queue: BinaryDatabase
  /** The ledger, under one key. */
  readonly state: BinaryDatabase
}

/** Name of LMDB's file in the store's folder. */
export const dataFileName = 'data.mdb'

export interface OpenDatabasesOptions {
  readonly bytesMax: number
  readonly readOnly: boolean
}

/**
 * Opens the file of a folder that exists; undefined when it is opened read-only and does not hold a
 * store.
 *
 * Durability is LMDB's default: a commit flushes the data, then writes the head that makes it
 * visible. After `kill -9` or a power loss the file is as the last commit left it. lmdb's own
 * default, `overlappingSync`, flushes after the commit instead; measured with batches it gains
 * nothing, and it makes the head depend on the machine's boot id. `noSync` would be three times
 * faster and may lose the whole file with the power.
 */
export function openDatabases(
  folder: string,
  options: OpenDatabasesOptions,
): Databases | undefined {
  const encodings = { encoding: 'binary', keyEncoding: 'binary' } as const
  const root: RootDatabase<Uint8Array, Uint8Array> = open({
    ...encodings,
    path: folder,
    // lmdb takes a folder with a dot in its name (records.corrupt-…) for a file unless told.
    noSubdir: false,
    readOnly: options.readOnly,
    overlappingSync: false,
    // Address space, not disk: so large that the map never has to grow under a reader.
    mapSize: 4 * options.bytesMax + 64 * MiB,
  })
  const openTree = (name: string): BinaryDatabase | undefined =>
    root.openDB<Uint8Array, Uint8Array>({ ...encodings, name })
  const records = openTree('records')
  const entries = openTree('entries')
  const queue = openTree('queue')
  const state = openTree('state')
  if (!records || !entries || !queue || !state) return undefined
  return { root, records, entries, queue, state }
}
