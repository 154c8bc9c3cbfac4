import type {
  BlobChange,
  BlobFacts,
  BlobName,
  BlobRange,
  BlobStats,
  BlobStore,
  NewBlob,
  ReadBlobOptions,
} from '../../interface/blob-store.ts'
import type { Log } from '../../interface/log.ts'
import type { Clock } from '../../std/clock.ts'
import type { AbortOptions } from '../../std/signal.ts'
import { TaskScope } from '../../std/task-scope.ts'
import { folderUnusable } from '../lmdb/data-folder.ts'
import { BlobFolder, isPathTaken } from './blob-folder.ts'
import { BlobIndex } from './blob-index.ts'
import { BlobReader } from './blob-reader.ts'
import { BlobWriter } from './blob-writer.ts'
import { NameLocks } from './name-locks.ts'
import { type FilePlace, Room, sizeOnDisk } from './room.ts'
import { type ScanOptions, scanFolder } from './scan-folder.ts'
import { storeFailed, WritePause } from './write-pause.ts'

export interface FileStoreComponents {
  readonly clock: Clock
  readonly log: Log
}

export interface FileStoreOptions {
  /** The store's own folder, made if absent. */
  readonly folder: string
  /** Most bytes that its files take on the disk, whole or half written. */
  readonly bytesMax: number
  /** @default 'file store' */
  readonly name?: string
}

type Head = Parameters<ScanOptions['accept']>[0]

const sweepIntervalMs = 15_000

/**
 * One file per blob (`blob-file.ts`), written under another name and renamed, so that kill -9
 * leaves the old one, the new one or none. What there is is known in memory, from the heads of the
 * files at the start; uses are forgotten when it stops. Where the folder cannot be written to, it
 * goes on reading, and tries again later.
 */
export class FileStore implements BlobStore {
  readonly name: string
  readonly #clock: Clock
  readonly #log: Log
  readonly #options: FileStoreOptions
  readonly #scope: TaskScope
  readonly #folder: BlobFolder
  readonly #index: BlobIndex<FilePlace>
  readonly #room: Room
  readonly #pause: WritePause
  readonly #reader: BlobReader
  readonly #writer: BlobWriter
  #state: 'stopped' | 'started' = 'stopped'
  #cancelSweep: (() => void) | undefined

  constructor({ clock, log }: FileStoreComponents, options: FileStoreOptions) {
    const scope = new TaskScope(task => log.debug(task))
    const folder = new BlobFolder(options.folder)
    const index = new BlobIndex<FilePlace>(clock)
    const locks = new NameLocks()
    const room = new Room({ index, folder, locks, scope }, options)
    const pause = new WritePause({ clock, log, scope, folder })
    const reader = new BlobReader({ log, folder, locks, room })
    this.name = options.name ?? 'file store'
    this.#clock = clock
    this.#log = log
    this.#options = options
    this.#scope = scope
    this.#folder = folder
    this.#index = index
    this.#room = room
    this.#pause = pause
    this.#reader = reader
    this.#writer = new BlobWriter({ index, folder, locks, room, pause, reader }, options)
  }

  /**
   * Reads the heads of all files. A folder that cannot be written to is no failure.
   * @throws data_folder_unusable, the signal's reason
   */
  async start(options: AbortOptions): Promise<void> {
    options.signal.throwIfAborted()
    try {
      await this.#probe()
      await this.#load(options.signal)
    } catch (error) {
      this.#pause.close()
      this.#index.clear()
      throw options.signal.aborted ? error : folderUnusable(this.#options.folder, error)
    }
    try {
      await this.#room.shrink()
    } catch (error) {
      // The maximum is lower than last time, and what is too much cannot be removed.
      this.#pause.failed(error)
    }
    this.#state = 'started'
    this.#scheduleSweep()
  }

  async stop(): Promise<void> {
    this.#state = 'stopped'
    this.#cancelSweep?.()
    this.#pause.close()
    await this.#writer.close()
    await this.#reader.close()
    await this.#scope.close()
    this.#index.clear()
  }

  find(name: BlobName): BlobFacts | undefined {
    return this.#room.live(name) && this.#index.facts(name)
  }

  countUse(name: BlobName): void {
    this.#index.use(name)
  }

  async read(name: BlobName, options: ReadBlobOptions): Promise<Uint8Array | undefined> {
    return await this.#reader.read(name, options)
  }

  readRange(name: BlobName, range: BlobRange, options: AbortOptions): AsyncIterable<Uint8Array> {
    return this.#reader.readRange(name, range, options)
  }

  async put(name: BlobName, blob: NewBlob): Promise<void> {
    this.#assertStarted()
    await this.#writer.put(name, blob)
  }

  async update(name: BlobName, change: BlobChange): Promise<boolean> {
    this.#assertStarted()
    return await this.#writer.update(name, change)
  }

  async remove(name: BlobName): Promise<boolean> {
    this.#assertStarted()
    return await this.#writer.remove(name)
  }

  async clear(): Promise<void> {
    this.#assertStarted()
    await this.#writer.clear()
  }

  list(): Iterable<BlobFacts> {
    return this.#index.list()
  }

  stats(): BlobStats {
    const { because } = this.#pause
    return {
      blobs: this.#index.size,
      bytes: this.#room.bytes,
      bytesMax: this.#options.bytesMax,
      evictions: this.#room.evictions,
      ...(because === undefined ? {} : { readOnlyBecause: because }),
    }
  }

  onLost(listener: (name: BlobName) => void): () => void {
    return this.#index.onLost(listener)
  }

  async #probe(): Promise<void> {
    try {
      await this.#folder.probe()
    } catch (error) {
      if (isPathTaken(error)) throw error
      this.#pause.failed(error)
    }
  }

  async #load(signal: AbortSignal): Promise<void> {
    const { folder } = this.#options
    const now = this.#clock.now()
    const heads: Head[] = []
    const accept = (head: Head): boolean => head.meta.expiresAt >= now && heads.push(head) > 0
    const { damaged, unfinished } = await scanFolder(folder, { signal, accept })
    // Of equal value the oldest are evicted first.
    heads.sort((a, b) => a.meta.createdAt - b.meta.createdAt)
    for (const { name, meta, place } of heads) {
      const { bodyStart, bodyBytes } = place
      const size = sizeOnDisk(bodyStart + bodyBytes)
      this.#index.set({ name, meta, bytes: bodyBytes, size, place: { ...place, serial: 0 } })
    }
    this.#reader.countDamaged(damaged)
    this.#log.debug('blobs found', { store: this.name, count: heads.length, unfinished })
  }

  #scheduleSweep(): void {
    this.#cancelSweep = this.#clock.after(sweepIntervalMs, () => {
      this.#scope.spawn('blobs not swept', () => this.#room.sweep())
      this.#scheduleSweep()
    })
  }

  #assertStarted(): void {
    if (this.#state !== 'started') throw storeFailed('the store is stopped', false)
  }
}
