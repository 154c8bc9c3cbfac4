import { rm } from 'node:fs/promises'
import {
  type EntryView,
  type ExportedRecord,
  findEntry,
  importRecords,
  listEntries,
  lookupKeyOf,
} from '../../cache/inspect-cache.ts'
import { AdminClient, type EntryFound } from '../../client/admin-client.ts'
import { resolveConfig } from '../../config.ts'
import { DataFolder, dataFolderPaths, findRunningNode } from '../../data-folder.ts'
import { silentLog } from '../../interface/log.ts'
import type { Store, StoreStats } from '../../interface/store.ts'
import { systemClock } from '../../std/clock.ts'
import { systemRandom } from '../../std/random.ts'
import type { AbortOptions } from '../../std/signal.ts'
import { LmdbStore } from '../../store/lmdb-store.ts'
import type { CommandContext } from '../command.ts'

/** The stored answers of a data folder: a running node is asked, otherwise its files are opened. */
export interface CacheAccess {
  cacheStats(options: AbortOptions): Promise<StoreStats>
  cacheEntries(limit: number, options: AbortOptions): Promise<readonly EntryView[]>
  cacheEntry(key: string, options: AbortOptions): Promise<EntryFound | undefined>
  removeCacheEntry(key: string, options: AbortOptions): Promise<boolean>
  clearCache(options: AbortOptions): Promise<void>
  importRecords(records: readonly ExportedRecord[], options: AbortOptions): Promise<number>
}

/** Looks at the cache. @throws data_folder_unusable */
export async function readCache<Result>(
  context: CommandContext,
  look: (cache: CacheAccess) => Promise<Result>,
): Promise<Result> {
  const node = findRunningNode(context.data)
  if (node !== undefined) return await look(new AdminClient(node))
  return await withReadOnlyStore(context, store => look(new FolderCache(store, context)))
}

/**
 * Changes the cache. Without a running node the folder is held meanwhile, so that none starts on
 * it.
 */
export async function changeCache<Result>(
  context: CommandContext,
  change: (cache: CacheAccess) => Promise<Result>,
): Promise<Result> {
  const node = findRunningNode(context.data)
  if (node !== undefined) return await change(new AdminClient(node))
  const folder = new DataFolder(context.data, systemRandom)
  folder.acquire()
  try {
    return await withStore(context, { openReadOnly: false }, store =>
      change(new FolderCache(store, context)),
    )
  } finally {
    folder.release()
  }
}

/**
 * The folder's own store, which may be read while a node runs: it has everything but what is on its
 * way.
 */
export async function withReadOnlyStore<Result>(
  context: CommandContext,
  look: (store: Store) => Promise<Result>,
): Promise<Result> {
  return await withStore(context, { openReadOnly: true }, look)
}

async function withStore<Result>(
  { data, terminal, signal }: CommandContext,
  { openReadOnly }: { readonly openReadOnly: boolean },
  use: (store: Store) => Promise<Result>,
): Promise<Result> {
  const { config } = resolveConfig({ data, flags: {}, env: terminal.env })
  const store = new LmdbStore(
    { clock: systemClock, log: silentLog },
    { folder: dataFolderPaths(data).records, bytesMax: config.maxDisk, openReadOnly },
  )
  await store.start({ signal })
  try {
    return await use(store)
  } finally {
    await store.stop()
  }
}

/** Does for the files what a node's admin API does for its store. */
class FolderCache implements CacheAccess {
  readonly #store: Store
  readonly #blocksFolder: string

  constructor(store: Store, { data }: Pick<CommandContext, 'data'>) {
    this.#store = store
    this.#blocksFolder = dataFolderPaths(data).blocks
  }

  async cacheStats(): Promise<StoreStats> {
    return this.#store.stats()
  }

  async cacheEntries(limit: number): Promise<readonly EntryView[]> {
    return listEntries(this.#store, limit)
  }

  async cacheEntry(key: string): Promise<EntryFound | undefined> {
    return findEntry(this.#store, key)
  }

  async removeCacheEntry(key: string): Promise<boolean> {
    const found = lookupKeyOf(this.#store, key)
    return found !== undefined && (await this.#store.remove(found))
  }

  async clearCache(): Promise<void> {
    await this.#store.clear()
    await rm(this.#blocksFolder, { recursive: true, force: true })
  }

  async importRecords(records: readonly ExportedRecord[]): Promise<number> {
    return await importRecords(this.#store, records, systemClock.now())
  }
}
