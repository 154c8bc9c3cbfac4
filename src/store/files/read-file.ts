import type { FileHandle } from 'node:fs/promises'
import { crc32 } from 'node:zlib'
import type { BlobName, ReadBlobOptions } from '../../interface/blob-store.ts'
import { blobPieceBytes } from '../../limits.ts'
import { type BlobPlace, checksumOfName } from './blob-file.ts'
import { readInto } from './blob-folder.ts'

/**
 * The whole body, in shared memory or in what there is for it; undefined when it is not what was
 * written, or the disk fails.
 * @throws the signal's reason
 */
export async function readBody(
  handle: FileHandle,
  name: BlobName,
  { bodyStart, bodyBytes, checksum }: BlobPlace,
  { signal, memoryFor }: ReadBlobOptions,
): Promise<Uint8Array | undefined> {
  const body = memoryFor?.(bodyBytes) ?? new Uint8Array(new SharedArrayBuffer(bodyBytes))
  let found = checksumOfName(name)
  for (let offset = 0; offset < bodyBytes; offset += blobPieceBytes) {
    signal.throwIfAborted()
    const part = body.subarray(offset, offset + blobPieceBytes)
    if (!(await isRead(handle, part, bodyStart + offset))) return undefined
    found = crc32(part, found)
  }
  return found === checksum ? body : undefined
}

/** Some bytes of a body, unchecked; undefined when they are not there. */
export async function readPiece(
  handle: FileHandle,
  { bodyStart }: BlobPlace,
  offset: number,
  bytes: number,
): Promise<Uint8Array | undefined> {
  const piece = new Uint8Array(bytes)
  return (await isRead(handle, piece, bodyStart + offset)) ? piece : undefined
}

/** Whether there were as many bytes; a disk that fails to read has none. */
async function isRead(handle: FileHandle, target: Uint8Array, start: number): Promise<boolean> {
  try {
    return (await readInto(handle, target, start)) === target.length
  } catch {
    return false
  }
}
