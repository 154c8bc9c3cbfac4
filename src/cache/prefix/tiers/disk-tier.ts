import { OperationError } from '../../../errors.ts'
import type {
  BlobFacts,
  BlobStats,
  BlobStore,
  ReadBlobOptions,
} from '../../../interface/blob-store.ts'
import type { BlockCodec } from '../../../interface/block-codec.ts'
import type { BlockRows } from '../../../interface/kv-state.ts'
import type { Metrics } from '../../../interface/metrics.ts'
import { type LookupKey, parseLookupKey } from '../../../key/response-key.ts'
import type { Clock } from '../../../std/clock.ts'
import type { AbortOptions } from '../../../std/signal.ts'
import { afterThisTurn } from '../../../std/turn.ts'
import type { BlockMemory } from '../../block-memory.ts'
import type { PromptBlock } from '../prompt-blocks.ts'
import type { Rates } from '../rates.ts'
import { type BlockNote, type BlockOrigin, decodeNote, encodeNote } from './block-note.ts'

export interface DiskTierComponents {
  /** For sealed blocks of this node alone: its notes are read here. Started before this. */
  readonly store: BlobStore
  readonly codec: BlockCodec
  /** To read blocks into. */
  readonly memory: BlockMemory
  readonly clock: Clock
  readonly metrics: Metrics
  readonly rates: Rates
}

/** A block read from disk, opened and checked against the prompt. */
export interface ReadBlock {
  readonly rows: BlockRows
  readonly origin: BlockOrigin
}

export interface SealedBlock {
  readonly sealed: Uint8Array
  readonly note: BlockNote
  readonly costSeconds: number
  readonly expiresAt: number
}

export interface ListedBlock {
  readonly facts: BlobFacts
  /** Undefined for what is no block of this node. */
  readonly block: { readonly key: LookupKey; readonly note: BlockNote } | undefined
}

/** Notes read in one turn of the event loop when a store is listed: about 2 ms. */
const notesPerTurn = 1_024

/** Sealed blocks, as many as are worth their bytes, under look-up keys: the only names on disk. */
export class DiskTier {
  readonly #parts: DiskTierComponents

  constructor(components: DiskTierComponents) {
    this.#parts = components
  }

  noteOf(key: LookupKey): BlockNote | undefined {
    const facts = this.#parts.store.find(key)
    return facts && decodeNote(facts.note)
  }

  countUse(key: LookupKey): void {
    this.#parts.store.countUse(key)
  }

  /** Undefined when it is not there any more, or does not open: then it is removed. */
  async read(block: PromptBlock, options: AbortOptions): Promise<ReadBlock | undefined> {
    const { store, codec, memory, clock, metrics, rates } = this.#parts
    const { key } = block
    const startMs = clock.monotonicMs()
    const note = this.noteOf(key)
    const memoryFor = (bytes: number): Uint8Array => memory.take(bytes)
    const sealed = note && (await store.read(key, { ...options, memoryFor }))
    if (note === undefined || sealed === undefined) return undefined
    store.countUse(key)
    try {
      const rows = await codec.openInPlace(block, sealed)
      rates.noteDisk(rows.length, clock.monotonicMs() - startMs)
      return { rows, origin: note.origin }
    } catch (error) {
      if (!(error instanceof OperationError)) throw error
      // A codec with too much to do has nothing against the block: only this prompt goes without.
      if (error.code !== 'block_invalid') return undefined
      metrics.blocksCounted('invalid', 1)
      await store.remove(key)
      return undefined
    }
  }

  /** As it lies there, unopened. */
  async sealed(key: LookupKey, options: ReadBlobOptions): Promise<Uint8Array | undefined> {
    return await this.#parts.store.read(key, options)
  }

  /** @throws store_failed */
  async put(key: LookupKey, { sealed, note, costSeconds, expiresAt }: SealedBlock): Promise<void> {
    const { store, clock } = this.#parts
    const meta = { costSeconds, createdAt: clock.now(), expiresAt, note: encodeNote(note) }
    await store.put(key, { ...meta, pieces: [sealed] })
  }

  async setNote(key: LookupKey, note: BlockNote): Promise<void> {
    await this.#parts.store.update(key, { note: encodeNote(note) })
  }

  async remove(name: string): Promise<void> {
    await this.#parts.store.remove(name)
  }

  async clear(): Promise<void> {
    await this.#parts.store.clear()
  }

  /** Everything, with turns for others in between. */
  async *list(): AsyncGenerator<ListedBlock, void, void> {
    let listed = 0
    // A copy: blobs come and go while others have their turn.
    for (const facts of [...this.#parts.store.list()]) {
      const key = parseLookupKey(facts.name)
      const note = decodeNote(facts.note)
      yield { facts, block: key === undefined || note === undefined ? undefined : { key, note } }
      listed += 1
      if (listed % notesPerTurn === 0) await new Promise<void>(afterThisTurn)
    }
  }

  /** Tells of blocks that were evicted, have expired or were damaged. */
  onLost(listener: (key: LookupKey) => void): () => void {
    return this.#parts.store.onLost(name => {
      const key = parseLookupKey(name)
      if (key !== undefined) listener(key)
    })
  }

  stats(): BlobStats {
    return this.#parts.store.stats()
  }
}
