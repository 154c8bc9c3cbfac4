import type { Startable } from '../std/lifecycle.ts'
import type { AbortOptions } from '../std/signal.ts'

/**
 * Large opaque things under 64 hex digits – sealed blocks of KV state, shards of peers – as files
 * within a maximum of bytes. Evicts by GDSF (seconds that a hit saves per byte). Implementations:
 * files and memory. `blob-store.compliance.ts` is the contract in code.
 *
 * Reads never return what was half written, cut short or altered: a checksum over name, note and
 * bytes is checked whenever a blob is read whole. What fails the check is gone.
 */
export interface BlobStore extends Startable {
  /** What is known without reading; undefined when there is none or it has expired. Cheap. */
  find(name: BlobName): BlobFacts | undefined
  /** Counts a use for eviction. */
  countUse(name: BlobName): void
  /** The whole blob, in memory that may be shared with threads. @throws the signal's reason */
  read(name: BlobName, options: ReadBlobOptions): Promise<Uint8Array | undefined>
  /**
   * Bytes `start` to `end`, in pieces of at most `pieceBytes`, without checking them: for whoever
   * checks against a Merkle root. Ends early when the blob vanishes.
   */
  readRange(name: BlobName, range: BlobRange, options: AbortOptions): AsyncIterable<Uint8Array>
  /**
   * Writes or replaces; evicts others to make room. Resolves when it would survive kill -9.
   * @throws store_failed (disk full, read-only, larger than the whole store, too many waiting)
   */
  put(name: BlobName, blob: NewBlob): Promise<void>
  /**
   * Changes what is known of a blob and keeps its bytes. False when there is none.
   * @throws store_failed
   */
  update(name: BlobName, change: BlobChange): Promise<boolean>
  /** Whether there was one. @throws store_failed, when it cannot be taken off the disk */
  remove(name: BlobName): Promise<boolean>
  clear(): Promise<void>
  /** Live blobs in no order. Lazy. */
  list(): Iterable<BlobFacts>
  stats(): BlobStats
  /** Tells of blobs that were evicted, expired or found damaged; returns what ends the telling. */
  onLost(listener: (name: BlobName) => void): () => void
}

/** 64 hex digits. */
export type BlobName = string

export interface ReadBlobOptions extends AbortOptions {
  /**
   * Memory of so many bytes to read into, where a store can; undefined: it makes some. It may have
   * been written to even when nothing comes back. @default none
   */
  readonly memoryFor?: MemoryFor
}

export type MemoryFor = (bytes: number) => Uint8Array | undefined

export interface BlobMeta {
  /** Seconds that having it saves. */
  readonly costSeconds: number
  /** Milliseconds since 1970. */
  readonly createdAt: number
  /** Milliseconds since 1970 after which it is gone. */
  readonly expiresAt: number
  /** What the owner of the store knows of it, in its own form: at most `blobNoteBytesMax`. */
  readonly note: Uint8Array
}

export interface NewBlob extends BlobMeta {
  /** Written one behind the other; not to be changed before `put` resolves. */
  readonly pieces: readonly Uint8Array[]
}

export interface BlobFacts extends BlobMeta {
  readonly name: BlobName
  readonly bytes: number
  readonly uses: number
}

export type BlobChange = Partial<Pick<BlobMeta, 'note' | 'expiresAt'>>

export interface BlobRange {
  readonly start: number
  readonly end: number
  readonly pieceBytes: number
}

export interface BlobStats {
  readonly blobs: number
  readonly bytes: number
  readonly bytesMax: number
  readonly evictions: number
  /** Why it does not write, when it does not. */
  readonly readOnlyBecause?: string
}
