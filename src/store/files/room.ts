import type { BlobName } from '../../interface/blob-store.ts'
import { blobSweepMax, blobsMax, KiB } from '../../limits.ts'
import type { TaskScope } from '../../std/task-scope.ts'
import type { BlobPlace } from './blob-file.ts'
import type { BlobFolder } from './blob-folder.ts'
import type { BlobIndex, Held, Victim } from './blob-index.ts'
import type { NameLocks } from './name-locks.ts'
import { storeFailed } from './write-pause.ts'

export interface FilePlace extends BlobPlace {
  /** Of two versions of one name the one that was asked for later stays. */
  readonly serial: number
}

export interface RoomComponents {
  readonly index: BlobIndex<FilePlace>
  readonly folder: Pick<BlobFolder, 'remove'>
  readonly locks: NameLocks
  readonly scope: TaskScope
}

/** File systems give out space in pages. */
const pageBytes: number = 4 * KiB

export function sizeOnDisk(fileBytes: number): number {
  return Math.ceil(fileBytes / pageBytes) * pageBytes
}

/**
 * The bytes of a folder: makes room before something is written, and counts what is to be removed
 * until it is gone, so that the maximum holds on the disk at any moment.
 */
export class Room {
  readonly #parts: RoomComponents
  readonly #bytesMax: number
  /** Files that should be gone but could not be removed, with their sizes. */
  readonly #leftovers = new Map<BlobName, number>()
  #leftoverBytes = 0
  #doomedBytes = 0
  #reservedBytes = 0
  #evictions = 0
  #freed = Promise.withResolvers<void>()

  constructor(components: RoomComponents, options: { readonly bytesMax: number }) {
    this.#parts = components
    this.#bytesMax = options.bytesMax
  }

  get evictions(): number {
    return this.#evictions
  }

  /** What whole files take. */
  get bytes(): number {
    return this.#parts.index.bytes + this.#doomedBytes + this.#leftoverBytes
  }

  /** The blob, unless it has expired: then it goes. */
  live(name: BlobName): Held<FilePlace> | undefined {
    const { index } = this.#parts
    const held = index.get(name)
    if (held === undefined || !index.isExpired(held)) return held
    this.lose(held)
    return undefined
  }

  /**
   * Sets so many bytes aside for a new version of `name`, of at most the maximum; evicts where
   * there is no room. Returns the version before, if even that one had to go: it is replaced, and
   * nobody is told that it was lost.
   * @throws store_failed, or the system's error when a file cannot be removed
   */
  async reserve(name: BlobName, size: number): Promise<Held<FilePlace> | undefined> {
    let before: Held<FilePlace> | undefined
    while (!this.#fits(size)) {
      const victim = this.#parts.index.takeVictim()
      if (victim?.held.name === name) {
        await this.remove(victim.held)
        before = victim.held
        continue
      }
      if (victim !== undefined) {
        await this.#evict(victim)
        continue
      }
      if (this.#reservedBytes + this.#doomedBytes === 0) {
        throw storeFailed('files that cannot be removed take up its room', true)
      }
      // Others are writing or being removed: their room may be what is missing.
      await this.#freed.promise
    }
    this.#reservedBytes += size
    return before
  }

  release(size: number): void {
    this.#reservedBytes -= size
    this.#tellFreed()
  }

  /** Evicts down to the maximum. @throws the system's error */
  async shrink(): Promise<void> {
    while (!this.#fits(0)) {
      const victim = this.#parts.index.takeVictim()
      if (victim === undefined) return
      await this.#evict(victim)
    }
  }

  /** Takes a blob and its file away; when that fails it stays. @throws the system's error */
  async remove(held: Held<FilePlace>): Promise<void> {
    try {
      await this.#erase(held)
    } catch (error) {
      this.#parts.index.restore(held)
      throw error
    }
  }

  /** Takes away, in the background, what must not be read again, and tells of it. */
  lose(held: Held<FilePlace>): void {
    const { index, scope } = this.#parts
    if (index.get(held.name) !== held) return
    index.take(held.name)
    index.tellLost(held.name)
    scope.spawn('blob file not removed', async () => {
      try {
        await this.#erase(held)
      } catch (error) {
        this.#leftovers.set(held.name, held.size)
        this.#leftoverBytes += held.size
        throw error
      }
    })
  }

  /** What a new file of the name has replaced is no leftover any more. */
  forgetLeftover(name: BlobName): void {
    this.#leftoverBytes -= this.#leftovers.get(name) ?? 0
    this.#leftovers.delete(name)
  }

  /** Loses what has expired among the next so many, and tries leftovers again. */
  async sweep(): Promise<void> {
    for (const held of this.#parts.index.sweep(blobSweepMax)) this.lose(held)
    for (const name of this.#leftovers.keys()) {
      await this.#unlink(name)
      this.forgetLeftover(name)
      this.#tellFreed()
    }
  }

  #fits(size: number): boolean {
    const { index } = this.#parts
    const isRoom = this.bytes + this.#reservedBytes + size <= this.#bytesMax
    return isRoom && index.size + (size === 0 ? 0 : 1) <= blobsMax
  }

  async #evict({ held, cause }: Victim<FilePlace>): Promise<void> {
    await this.remove(held)
    if (cause === 'evicted') this.#evictions += 1
    this.#parts.index.tellLost(held.name)
  }

  async #erase(held: Held<FilePlace>): Promise<void> {
    this.#parts.index.take(held.name)
    this.#doomedBytes += held.size
    try {
      await this.#unlink(held.name)
    } finally {
      this.#doomedBytes -= held.size
      this.#tellFreed()
    }
  }

  async #unlink(name: BlobName): Promise<void> {
    const { index, folder, locks } = this.#parts
    await locks.run(name, async () => {
      // By now another may have taken its place, and its file with it.
      if (index.get(name) === undefined) await folder.remove(name)
    })
  }

  #tellFreed(): void {
    this.#freed.resolve()
    this.#freed = Promise.withResolvers()
  }
}
