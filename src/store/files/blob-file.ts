import { crc32 } from 'node:zlib'
import type { BlobMeta, BlobName } from '../../interface/blob-store.ts'
import { blobNoteBytesMax } from '../../limits.ts'
import { assert } from '../../std/assert.ts'

/**
 * The file of one blob. All numbers are little-endian.
 *
 *      0   4  magic "HSBF"
 *      4   1  version = 1
 *      5   1  0
 *      6   2  u16 bytes of the note
 *      8   4  u32 where the body begins
 *     12   4  u32 CRC-32 of name ‖ body
 *     16   8  u64 bytes of the body
 *     24   8  f64 seconds that having it saves
 *     32   8  f64 created, milliseconds since 1970
 *     40   8  f64 expires, milliseconds since 1970
 *     48  32  name
 *     80   4  u32 CRC-32 of bytes 0 to 79 ‖ note
 *     84      note, then room for a longer one, then the body
 *
 * The head is written last, so that a file whose body was cut has none. It is overwritten in place
 * when the note changes: torn in between, the blob is lost, which a cache may. CRC-32 finds what a
 * disk does to bytes, at 7 GB/s where SHA-256 has 1.4; what a person does to them is found above,
 * by the tag of the seal and the leaves of the Merkle tree.
 */
export interface BlobHead {
  readonly name: BlobName
  readonly meta: BlobMeta
  readonly place: BlobPlace
}

/** Where in its file a body lies, and what it must be. */
export interface BlobPlace {
  readonly bodyStart: number
  readonly bodyBytes: number
  /** Of name ‖ body. */
  readonly checksum: number
}

const magic = Buffer.from('HSBF', 'latin1')
const version = 1
const noteStart = 84
/** Bodies begin at a multiple of it. */
const borderBytes = 512
/** Least room for a note to grow. */
const slackBytes = 128
/** As much of a file as any head may take. */
export const headBytesMax: number = bodyStartFor(blobNoteBytesMax)

/** Where the body begins behind a note of so many bytes. */
export function bodyStartFor(noteBytes: number): number {
  return Math.ceil((noteStart + noteBytes + slackBytes) / borderBytes) * borderBytes
}

/** Whether another note fits in front of the body where it is. */
export function fitsHead({ bodyStart }: BlobPlace, noteBytes: number): boolean {
  return noteStart + noteBytes <= bodyStart
}

/** What the checksum of a body begins with: a file under another's name is damaged too. */
export function checksumOfName(name: BlobName): number {
  return crc32(Buffer.from(name, 'hex'))
}

/** The head without the room behind its note. */
export function encodeHead({ name, meta, place }: BlobHead): Uint8Array {
  const { note } = meta
  assert(fitsHead(place, note.length), 'a head ends where the body begins')
  const head = Buffer.alloc(noteStart + note.length)
  head.set(magic)
  head.writeUInt8(version, 4)
  head.writeUInt16LE(note.length, 6)
  head.writeUInt32LE(place.bodyStart, 8)
  head.writeUInt32LE(place.checksum, 12)
  head.writeBigUInt64LE(BigInt(place.bodyBytes), 16)
  head.writeDoubleLE(meta.costSeconds, 24)
  head.writeDoubleLE(meta.createdAt, 32)
  head.writeDoubleLE(meta.expiresAt, 40)
  head.set(Buffer.from(name, 'hex'), 48)
  head.set(note, noteStart)
  head.writeUInt32LE(headChecksum(head), 80)
  return head
}

/**
 * The head of a file of `fileBytes` that should be that of `name`, from its first bytes (as many as
 * `headBytesMax`, where there are so many); undefined when it is damaged.
 */
export function decodeHead(
  name: BlobName,
  start: Uint8Array,
  fileBytes: number,
): BlobHead | undefined {
  const view = Buffer.from(start.buffer, start.byteOffset, start.byteLength)
  if (view.length < noteStart || magic.compare(view, 0, 4) !== 0) return undefined
  const noteBytes = view.readUInt16LE(6)
  if (view[4] !== version || view[5] !== 0 || noteBytes > blobNoteBytesMax) return undefined
  const head = view.subarray(0, noteStart + noteBytes)
  if (head.length < noteStart + noteBytes) return undefined
  if (head.readUInt32LE(80) !== headChecksum(head)) return undefined
  const place = {
    bodyStart: head.readUInt32LE(8),
    bodyBytes: Number(head.readBigUInt64LE(16)),
    checksum: head.readUInt32LE(12),
  }
  const isWhole = place.bodyStart >= head.length && place.bodyStart + place.bodyBytes === fileBytes
  if (!isWhole || head.toString('hex', 48, 80) !== name) return undefined
  const meta = {
    costSeconds: head.readDoubleLE(24),
    createdAt: head.readDoubleLE(32),
    expiresAt: head.readDoubleLE(40),
    // Copied: the buffer holds the start of the next file soon.
    note: new Uint8Array(head.subarray(noteStart)),
  }
  return { name, meta, place }
}

function headChecksum(head: Buffer): number {
  return crc32(head.subarray(noteStart), crc32(head.subarray(0, 80)))
}
