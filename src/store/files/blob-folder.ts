import { type FileHandle, mkdir, open, rename, rm, unlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { crc32 } from 'node:zlib'
import type { BlobName, NewBlob } from '../../interface/blob-store.ts'
import { blobPieceBytes, KiB } from '../../limits.ts'
import {
  type BlobHead,
  type BlobPlace,
  bodyStartFor,
  checksumOfName,
  encodeHead,
} from './blob-file.ts'

/** A file that is whole, but not yet under its name. */
export interface WrittenBlob {
  readonly temporaryPath: string
  readonly place: BlobPlace
}

/** Enough to notice a disk that is full to the last kilobyte. */
const probeBytes: number = 256 * KiB

/**
 * Files of blobs: `folder/ab/abcdef…`, with what is being written beside them as
 * `abcdef….<number>.tmp`. Every method fails with the system's own errors.
 */
export class BlobFolder {
  readonly folder: string
  #written = 0

  constructor(folder: string) {
    this.folder = folder
  }

  /** Finds out whether files can be written, by writing one. */
  async probe(): Promise<void> {
    await makeFolder(this.folder)
    const path = join(this.folder, 'probe.tmp')
    const handle = await open(path, 'w')
    try {
      await writeWhole(handle, new Uint8Array(probeBytes), 0)
      await handle.datasync()
    } finally {
      await handle.close()
      await rm(path, { force: true })
    }
  }

  /**
   * Writes a blob to the disk, but not yet under its name: after kill -9 it is not there, or
   * `commit` was called.
   */
  async write(name: BlobName, blob: NewBlob): Promise<WrittenBlob> {
    this.#written += 1
    const temporaryPath = `${this.path(name)}.${this.#written}.tmp`
    const handle = await this.#create(temporaryPath)
    try {
      const place = await writeBody(handle, name, blob)
      await writeWhole(handle, encodeHead({ name, meta: blob, place }), 0)
      await handle.datasync()
      return { temporaryPath, place }
    } catch (error) {
      await rm(temporaryPath, { force: true }).catch(() => undefined)
      throw error
    } finally {
      await handle.close()
    }
  }

  /** Replaces what has the name, at once or not at all. */
  async commit(name: BlobName, { temporaryPath }: WrittenBlob): Promise<void> {
    try {
      await rename(temporaryPath, this.path(name))
    } catch (error) {
      await this.discard({ temporaryPath })
      throw error
    }
  }

  async discard({ temporaryPath }: Pick<WrittenBlob, 'temporaryPath'>): Promise<void> {
    // What stays behind is removed at the next start.
    await rm(temporaryPath, { force: true }).catch(() => undefined)
  }

  async rewriteHead(head: BlobHead): Promise<void> {
    const handle = await open(this.path(head.name), 'r+')
    try {
      await writeWhole(handle, encodeHead(head), 0)
    } finally {
      await handle.close()
    }
  }

  async open(name: BlobName): Promise<FileHandle> {
    return await open(this.path(name), 'r')
  }

  /** Whether or not it was there. */
  async remove(name: BlobName): Promise<void> {
    try {
      await unlink(this.path(name))
    } catch (error) {
      if (!isMissing(error)) throw error
    }
  }

  path(name: BlobName): string {
    return join(this.folder, name.slice(0, 2), name)
  }

  async #create(path: string): Promise<FileHandle> {
    try {
      return await open(path, 'wx')
    } catch (error) {
      if (!isMissing(error)) throw error
      await makeFolder(dirname(path))
      return await open(path, 'wx')
    }
  }
}

/**
 * With what is above it, where that is missing. node:fs can do that too, but then says of a
 * read-only file system that something is missing (Node 24).
 */
async function makeFolder(path: string): Promise<void> {
  try {
    await makeOne(path)
  } catch (error) {
    if (!isMissing(error) || dirname(path) === path) throw error
    await makeFolder(dirname(path))
    await makeOne(path)
  }
}

/** Where there is something else than a folder, whoever uses it is told so. */
async function makeOne(path: string): Promise<void> {
  try {
    await mkdir(path)
  } catch (error) {
    if (!isPathTaken(error)) throw error
  }
}

export function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT'
}

/** Whether a file is where a folder should be: nothing that time mends. */
export function isPathTaken(error: unknown): boolean {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  return code === 'ENOTDIR' || code === 'EEXIST'
}

/** Reads until `target` is full or the file ends; tells how much it was. */
export async function readInto(
  handle: FileHandle,
  target: Uint8Array,
  start: number,
): Promise<number> {
  let filled = 0
  while (filled < target.length) {
    const { bytesRead } = await handle.read(target, filled, target.length - filled, start + filled)
    if (bytesRead === 0) break
    filled += bytesRead
  }
  return filled
}

async function writeBody(handle: FileHandle, name: BlobName, blob: NewBlob): Promise<BlobPlace> {
  const bodyStart = bodyStartFor(blob.note.length)
  let checksum = checksumOfName(name)
  let end = bodyStart
  for (const piece of blob.pieces) {
    for (let offset = 0; offset < piece.length; offset += blobPieceBytes) {
      const part = piece.subarray(offset, offset + blobPieceBytes)
      checksum = crc32(part, checksum)
      await writeWhole(handle, part, end)
      end += part.length
    }
  }
  // An empty body has no write that would make the file as long as its head says.
  if (end === bodyStart) await handle.truncate(bodyStart)
  return { bodyStart, bodyBytes: end - bodyStart, checksum }
}

async function writeWhole(handle: FileHandle, bytes: Uint8Array, start: number): Promise<void> {
  let written = 0
  while (written < bytes.length) {
    const rest = bytes.length - written
    const { bytesWritten } = await handle.write(bytes, written, rest, start + written)
    written += bytesWritten
  }
}
