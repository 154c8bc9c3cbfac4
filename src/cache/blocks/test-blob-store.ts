import { OperationError } from '../../errors.ts'
import type { BlobName, BlobStore } from '../../interface/blob-store.ts'
import { MiB } from '../../limits.ts'
import type { Clock } from '../../std/clock.ts'
import { MemoryBlobStore } from '../../store/memory-blob-store.ts'
import { decodeNote } from './hold/blob-notes.ts'

/** A blob store in memory, with the faults of a disk on demand. */
export interface TestBlobStore extends BlobStore {
  /** Every `put` fails, as on a full disk. */
  isFull: boolean
  /** As if room was needed. */
  evict(name: BlobName): Promise<void>
  /** Flips one bit. */
  damage(name: BlobName, byte: number): Promise<void>
  /** Of shards that are held, not of what is kept of own blocks. */
  shardNames(): readonly BlobName[]
}

const { signal } = new AbortController()

export function createTestBlobStore(clock: Clock, bytesMax: number = 64 * MiB): TestBlobStore {
  const memory = new MemoryBlobStore({ clock }, { bytesMax })
  const listeners = new Set<(name: BlobName) => void>()
  const store: TestBlobStore = {
    name: 'test blob store',
    isFull: false,
    start: () => memory.start(),
    stop: () => memory.stop(),
    find: name => memory.find(name),
    countUse: name => memory.countUse(name),
    read: (name, options) => memory.read(name, options),
    readRange: (name, range, options) => memory.readRange(name, range, options),
    async put(name, blob) {
      if (store.isFull) {
        throw new OperationError('store_failed', 'No space left on device', { origin: 'store' })
      }
      await memory.put(name, blob)
    },
    update: (name, change) => memory.update(name, change),
    remove: name => memory.remove(name),
    clear: () => memory.clear(),
    list: () => memory.list(),
    stats: () => memory.stats(),
    onLost(listener) {
      listeners.add(listener)
      const end = memory.onLost(listener)
      return () => {
        listeners.delete(listener)
        end()
      }
    },
    async evict(name) {
      if (await memory.remove(name)) for (const listener of listeners) listener(name)
    },
    async damage(name, byte) {
      const facts = memory.find(name)
      const bytes = (await memory.read(name, { signal }))?.slice()
      if (facts === undefined || bytes === undefined) return
      bytes[byte] = (bytes[byte] ?? 0) ^ 1
      await memory.put(name, { ...facts, pieces: [bytes] })
    },
    shardNames: () =>
      [...memory.list()].flatMap(({ name, note }) =>
        decodeNote(note)?.type === 'shard' ? [name] : [],
      ),
  }
  return store
}
