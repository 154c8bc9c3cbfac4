import type {
  BlobChange,
  BlobFacts,
  BlobMeta,
  BlobName,
  BlobRange,
  BlobStats,
  BlobStore,
  NewBlob,
} from '../interface/blob-store.ts'
import { blobSweepMax } from '../limits.ts'
import type { Clock } from '../std/clock.ts'
import type { AbortOptions } from '../std/signal.ts'
import { BlobIndex, type Held } from './files/blob-index.ts'
import { assertBlob, assertChange, assertRange, bytesOfPieces } from './files/check-blob.ts'
import { storeFailed } from './files/write-pause.ts'

export interface MemoryBlobStoreComponents {
  readonly clock: Clock
}

export interface MemoryBlobStoreOptions {
  /** Most bytes of blobs, their notes and what the runtime spends on each. */
  readonly bytesMax: number
  /** @default 'memory blob store' */
  readonly name?: string
}

/** What V8 spends on a blob beside its bytes: objects, map entries, a buffer. */
const overheadBytes = 512
const sweepIntervalMs = 15_000

/** Blobs in the memory of this process, for tests and the simulator. */
export class MemoryBlobStore implements BlobStore {
  readonly name: string
  readonly #clock: Clock
  readonly #bytesMax: number
  readonly #index: BlobIndex<Uint8Array>
  #evictions = 0
  #cancelSweep: (() => void) | undefined

  constructor(components: MemoryBlobStoreComponents, options: MemoryBlobStoreOptions) {
    this.name = options.name ?? 'memory blob store'
    this.#clock = components.clock
    this.#bytesMax = options.bytesMax
    this.#index = new BlobIndex(components.clock)
  }

  async start(): Promise<void> {
    this.#scheduleSweep()
  }

  async stop(): Promise<void> {
    this.#cancelSweep?.()
    this.#index.clear()
  }

  find(name: BlobName): BlobFacts | undefined {
    return this.#live(name) && this.#index.facts(name)
  }

  countUse(name: BlobName): void {
    this.#index.use(name)
  }

  async read(name: BlobName, { signal }: AbortOptions): Promise<Uint8Array | undefined> {
    signal.throwIfAborted()
    const held = this.#live(name)
    return held && shared([held.place])
  }

  async *readRange(
    name: BlobName,
    range: BlobRange,
    { signal }: AbortOptions,
  ): AsyncIterable<Uint8Array> {
    assertRange(range)
    const begun = this.#live(name)
    const until = Math.min(range.end, begun?.bytes ?? 0)
    for (let offset = range.start; offset < until; offset += range.pieceBytes) {
      signal.throwIfAborted()
      if (begun === undefined || this.#live(name)?.place !== begun.place) return
      const end = Math.min(offset + range.pieceBytes, until)
      yield new Uint8Array(begun.place.subarray(offset, end))
    }
  }

  async put(name: BlobName, blob: NewBlob): Promise<void> {
    assertBlob(name, blob)
    const place = shared(blob.pieces)
    this.#add(name, blob, place)
  }

  async update(name: BlobName, change: BlobChange): Promise<boolean> {
    assertChange(change)
    const held = this.#live(name)
    if (held === undefined) return false
    this.#add(name, { ...held.meta, ...change }, held.place)
    return true
  }

  async remove(name: BlobName): Promise<boolean> {
    return this.#live(name) !== undefined && this.#index.take(name) !== undefined
  }

  async clear(): Promise<void> {
    this.#index.clear()
  }

  list(): Iterable<BlobFacts> {
    return this.#index.list()
  }

  stats(): BlobStats {
    const { size: blobs, bytes } = this.#index
    return { blobs, bytes, bytesMax: this.#bytesMax, evictions: this.#evictions }
  }

  onLost(listener: (name: BlobName) => void): () => void {
    return this.#index.onLost(listener)
  }

  #live(name: BlobName): Held<Uint8Array> | undefined {
    const held = this.#index.get(name)
    if (held === undefined || !this.#index.isExpired(held)) return held
    this.#lose(held)
    return undefined
  }

  #lose({ name }: Held<Uint8Array>): void {
    if (this.#index.take(name) !== undefined) this.#index.tellLost(name)
  }

  #add(
    name: BlobName,
    { costSeconds, createdAt, expiresAt, note }: BlobMeta,
    place: Uint8Array,
  ): void {
    const bytes = place.length
    const size = bytes + note.length + overheadBytes
    if (size > this.#bytesMax) {
      throw storeFailed(`${size} bytes are more than the store of ${this.#bytesMax}`, false)
    }
    const before = this.#index.take(name)
    this.#makeRoom(size)
    const meta = { costSeconds, createdAt, expiresAt, note: new Uint8Array(note) }
    this.#index.set({ name, meta, bytes, size, place }, before)
  }

  #makeRoom(size: number): void {
    while (this.#index.bytes + size > this.#bytesMax) {
      const victim = this.#index.takeVictim()
      if (victim === undefined) return
      if (victim.cause === 'evicted') this.#evictions += 1
      this.#index.tellLost(victim.held.name)
    }
  }

  #scheduleSweep(): void {
    this.#cancelSweep = this.#clock.after(sweepIntervalMs, () => {
      for (const held of this.#index.sweep(blobSweepMax)) this.#lose(held)
      this.#scheduleSweep()
    })
  }
}

/** Copied into memory that threads may share. */
function shared(pieces: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(new SharedArrayBuffer(bytesOfPieces(pieces)))
  let end = 0
  for (const piece of pieces) {
    bytes.set(piece, end)
    end += piece.length
  }
  return bytes
}
