import type { BlobChange, BlobName, BlobRange, NewBlob } from '../../interface/blob-store.ts'
import { blobNoteBytesMax } from '../../limits.ts'

const nameForm = /^[0-9a-f]{64}$/

/** @throws RangeError for what no blob can be. Says nothing of the name: it may be a key. */
export function assertBlob(name: BlobName, blob: NewBlob): void {
  if (!nameForm.test(name)) throw new RangeError('The name of a blob is 64 hex digits')
  const numbers = [blob.costSeconds, blob.createdAt, blob.expiresAt]
  if (!numbers.every(Number.isFinite)) throw new RangeError('Cost and times of a blob are numbers')
  assertNote(blob.note)
}

/** @throws RangeError */
export function assertChange({ note, expiresAt }: BlobChange): void {
  if (note !== undefined) assertNote(note)
  if (expiresAt !== undefined && !Number.isFinite(expiresAt)) {
    throw new RangeError('The expiry of a blob is a number')
  }
}

/** @throws RangeError */
export function assertRange({ start, end, pieceBytes }: BlobRange): void {
  const areWhole = [start, end, pieceBytes].every(Number.isSafeInteger)
  if (!areWhole || start < 0 || end < start || pieceBytes < 1) {
    throw new RangeError('A range of a blob goes from start to end in pieces of bytes')
  }
}

export function bytesOfPieces(pieces: readonly Uint8Array[]): number {
  return pieces.reduce((sum, { length }) => sum + length, 0)
}

function assertNote(note: Uint8Array): void {
  if (note.length <= blobNoteBytesMax) return
  throw new RangeError(`The note of a blob has at most ${blobNoteBytesMax} bytes`)
}
