import type { BlobChange, BlobMeta, BlobName, NewBlob } from '../../interface/blob-store.ts'
import {
  blobScanFilesMax,
  blobWriteBytesWaitingMax,
  blobWritesMax,
  blobWritesWaitingMax,
} from '../../limits.ts'
import { bodyStartFor, fitsHead } from './blob-file.ts'
import type { BlobFolder } from './blob-folder.ts'
import type { BlobIndex, Held } from './blob-index.ts'
import type { BlobReader } from './blob-reader.ts'
import { assertBlob, assertChange, bytesOfPieces } from './check-blob.ts'
import { inLanes } from './in-lanes.ts'
import type { NameLocks } from './name-locks.ts'
import { type FilePlace, type Room, sizeOnDisk } from './room.ts'
import { Slots } from './slots.ts'
import { storeFailed, type WritePause } from './write-pause.ts'

export interface BlobWriterComponents {
  readonly index: BlobIndex<FilePlace>
  readonly folder: BlobFolder
  readonly locks: NameLocks
  readonly room: Room
  readonly pause: WritePause
  readonly reader: BlobReader
}

interface Successor {
  readonly size: number
  readonly serial: number
  /** What had to go before there was room. */
  readonly before: Held<FilePlace> | undefined
}

/** Changes files of blobs: a bounded number at once, those of one name in turn. */
export class BlobWriter {
  readonly #parts: BlobWriterComponents
  readonly #bytesMax: number
  readonly #slots = new Slots({
    atOnceMax: blobWritesMax,
    waitingMax: blobWritesWaitingMax,
    waitingBytesMax: blobWriteBytesWaitingMax,
  })
  #serial = 0

  constructor(components: BlobWriterComponents, options: { readonly bytesMax: number }) {
    this.#parts = components
    this.#bytesMax = options.bytesMax
  }

  /** @throws store_failed */
  async put(name: BlobName, blob: NewBlob): Promise<void> {
    assertBlob(name, blob)
    await this.#write(name, blob, this.#nextSerial())
  }

  /** @throws store_failed */
  async update(name: BlobName, change: BlobChange): Promise<boolean> {
    assertChange(change)
    for (;;) {
      const held = this.#parts.room.live(name)
      if (held === undefined) return false
      const meta = { ...held.meta, ...change }
      const outcome = fitsHead(held.place, meta.note.length)
        ? await this.#rewriteHead(name, held.place, change)
        : await this.#rewriteAll(name, meta)
      if (outcome !== 'replaced') return outcome === 'changed'
    }
  }

  /** @throws store_failed */
  async remove(name: BlobName): Promise<boolean> {
    if (this.#parts.room.live(name) === undefined) return false
    return await this.#inTurn(0, async () => {
      const held = this.#parts.room.live(name)
      if (held !== undefined) await this.#parts.room.remove(held)
      return held !== undefined
    })
  }

  /** @throws store_failed */
  async clear(): Promise<void> {
    await this.#inTurn(0, async () => {
      const { index, room } = this.#parts
      await inLanes(index.names(), blobScanFilesMax, async name => {
        const held = index.get(name)
        if (held !== undefined) await room.remove(held)
      })
    })
  }

  /** Refuses what waits and waits for what runs. */
  async close(): Promise<void> {
    await this.#slots.close()
  }

  /** @throws store_failed */
  async #write(name: BlobName, blob: NewBlob, serial: number): Promise<void> {
    const bytes = bytesOfPieces(blob.pieces)
    const size = sizeOnDisk(bodyStartFor(blob.note.length) + bytes)
    if (size > this.#bytesMax) {
      throw storeFailed(`${size} bytes are more than the store of ${this.#bytesMax}`, false)
    }
    this.#assertWritable()
    await this.#inTurn(bytes, async () => {
      this.#assertWritable()
      const before = await this.#parts.room.reserve(name, size)
      try {
        await this.#writeFile(name, blob, { size, serial, before })
        this.#parts.pause.succeeded()
      } catch (error) {
        if (before !== undefined) this.#parts.index.tellLost(name)
        throw error
      } finally {
        this.#parts.room.release(size)
      }
    })
  }

  async #writeFile(
    name: BlobName,
    blob: NewBlob,
    { size, serial, before }: Successor,
  ): Promise<void> {
    const { index, folder, locks, room } = this.#parts
    const written = await folder.write(name, blob)
    await locks.run(name, async () => {
      const known = index.get(name)
      if (known !== undefined && known.place.serial > serial) return folder.discard(written)
      await folder.commit(name, written)
      room.forgetLeftover(name)
      const place = { ...written.place, serial }
      index.set({ name, place, bytes: place.bodyBytes, size, meta: metaOf(blob) }, before)
    })
  }

  /** `replaced` where meanwhile another blob has the name, or none. @throws store_failed */
  async #rewriteHead(
    name: BlobName,
    place: FilePlace,
    change: BlobChange,
  ): Promise<'changed' | 'replaced'> {
    const { folder, locks, room } = this.#parts
    this.#assertWritable()
    return await this.#inTurn(0, () =>
      locks.run(name, async () => {
        const held = room.live(name)
        if (held?.place !== place) return 'replaced'
        const meta = metaOf({ ...held.meta, ...change })
        if (!fitsHead(place, meta.note.length)) return 'replaced'
        await folder.rewriteHead({ name, meta, place })
        held.meta = meta
        return 'changed'
      }),
    )
  }

  /** The note has outgrown its room. A version that is put meanwhile stays as it is. */
  async #rewriteAll(name: BlobName, meta: BlobMeta): Promise<'changed' | 'gone'> {
    const serial = this.#nextSerial()
    const { signal } = new AbortController()
    const body = await this.#parts.reader.read(name, { signal })
    if (body === undefined) return 'gone'
    await this.#write(name, { ...meta, pieces: [body] }, serial)
    return 'changed'
  }

  #nextSerial(): number {
    this.#serial += 1
    return this.#serial
  }

  #assertWritable(): void {
    const { because } = this.#parts.pause
    if (because !== undefined) throw storeFailed(because, true)
  }

  async #inTurn<T>(bytes: number, work: () => Promise<T>): Promise<T> {
    if (!(await this.#slots.enter(bytes))) {
      throw storeFailed('too many writes are waiting, or the store is stopped', true)
    }
    try {
      return await work()
    } catch (error) {
      throw this.#parts.pause.failed(error)
    } finally {
      this.#slots.leave()
    }
  }
}

/** A copy: callers may use their buffer again. */
function metaOf({ costSeconds, createdAt, expiresAt, note }: BlobMeta): BlobMeta {
  return { costSeconds, createdAt, expiresAt, note: new Uint8Array(note) }
}
