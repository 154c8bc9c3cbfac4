import type { FileHandle } from 'node:fs/promises'
import type { BlobName, BlobRange, ReadBlobOptions } from '../../interface/blob-store.ts'
import type { Log } from '../../interface/log.ts'
import { blobReadsMax, blobReadsWaitingMax } from '../../limits.ts'
import type { AbortOptions } from '../../std/signal.ts'
import { type BlobFolder, isMissing } from './blob-folder.ts'
import type { Held } from './blob-index.ts'
import { assertRange } from './check-blob.ts'
import type { NameLocks } from './name-locks.ts'
import { readBody, readPiece } from './read-file.ts'
import type { FilePlace, Room } from './room.ts'
import { Slots } from './slots.ts'

export interface BlobReaderComponents {
  readonly log: Log
  readonly folder: BlobFolder
  readonly locks: NameLocks
  readonly room: Room
}

interface OpenBlob {
  readonly held: Held<FilePlace>
  readonly handle: FileHandle
}

/** Reads the files of blobs, a bounded number at once. */
export class BlobReader {
  readonly #parts: BlobReaderComponents
  readonly #slots = new Slots({ atOnceMax: blobReadsMax, waitingMax: blobReadsWaitingMax })
  #damaged = 0

  constructor(components: BlobReaderComponents) {
    this.#parts = components
  }

  /** The whole body, checked; what fails the check is gone. @throws the signal's reason */
  async read(name: BlobName, options: ReadBlobOptions): Promise<Uint8Array | undefined> {
    return await this.#withFile(name, options, async ({ held, handle }) => {
      const body = await readBody(handle, name, held.place, options)
      if (body === undefined) this.#lose(held)
      return body
    })
  }

  /** Opens the file for each piece: a reader that pauses for long must not keep it open. */
  async *readRange(
    name: BlobName,
    range: BlobRange,
    options: AbortOptions,
  ): AsyncIterable<Uint8Array> {
    assertRange(range)
    const { start, end, pieceBytes } = range
    const begun = this.#parts.room.live(name)
    const until = Math.min(end, begun?.bytes ?? 0)
    for (let offset = start; offset < until; offset += pieceBytes) {
      const bytes = Math.min(pieceBytes, until - offset)
      const piece = await this.#withFile(name, options, async ({ held, handle }) => {
        // Another version's bytes would not go with those before.
        if (held !== begun) return undefined
        const found = await readPiece(handle, held.place, offset, bytes)
        if (found === undefined) this.#lose(held)
        return found
      })
      if (piece === undefined) return
      yield piece
    }
  }

  /** A head that was found damaged at the start counts too. */
  countDamaged(count: number): void {
    this.#damaged += count
    if (count > 0) this.#parts.log.warn('blob damaged', { total: this.#damaged })
  }

  async close(): Promise<void> {
    await this.#slots.close()
  }

  async #withFile<T>(
    name: BlobName,
    options: AbortOptions,
    work: (open: OpenBlob) => Promise<T | undefined>,
  ): Promise<T | undefined> {
    if (this.#parts.room.live(name) === undefined) return undefined
    if (!(await this.#slots.enter(0, options))) {
      this.#parts.log.debug('blob read refused: too many wait, or the store is stopped')
      return undefined
    }
    try {
      const open = await this.#open(name)
      if (open === undefined) return undefined
      try {
        return await work(open)
      } finally {
        await open.handle.close()
      }
    } finally {
      this.#slots.leave()
    }
  }

  /** Under the name's lock, so that what is known and the file are of one version. */
  async #open(name: BlobName): Promise<OpenBlob | undefined> {
    const { folder, locks, log, room } = this.#parts
    return await locks.run(name, async () => {
      const held = room.live(name)
      if (held === undefined) return undefined
      try {
        return { held, handle: await folder.open(name) }
      } catch (error) {
        if (isMissing(error)) room.lose(held)
        else log.warn('blob not readable', { code: codeOf(error) })
        return undefined
      }
    })
  }

  #lose(held: Held<FilePlace>): void {
    this.countDamaged(1)
    this.#parts.room.lose(held)
  }
}

/** All of the system's message that may be told: the rest is the name of a blob. */
function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : 'unknown'
}
