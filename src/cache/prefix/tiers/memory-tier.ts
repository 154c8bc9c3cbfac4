import type { BlockRows } from '../../../interface/kv-state.ts'
import type { LookupKey } from '../../../key/response-key.ts'
import { Lru } from '../../../std/lru.ts'
import type { BlockOrigin } from './block-note.ts'

export interface OpenRows {
  readonly rows: BlockRows
  readonly origin: BlockOrigin
}

/** Open blocks, the last used of them: ready for an engine without reading or opening anything. */
export class MemoryTier {
  readonly bytesMax: number
  readonly #open: Lru<LookupKey, OpenRows>

  constructor(bytesMax: number, onEvicted: (key: LookupKey) => void) {
    this.bytesMax = bytesMax
    this.#open = new Lru(bytesMax, onEvicted)
  }

  get blocks(): number {
    return this.#open.size
  }

  get bytes(): number {
    return this.#open.units
  }

  get(key: LookupKey): OpenRows | undefined {
    return this.#open.get(key)
  }

  /** Without counting as a use. */
  peek(key: LookupKey): OpenRows | undefined {
    return this.#open.peek(key)
  }

  /** False for what is larger than all of it. */
  set(key: LookupKey, { rows, origin }: OpenRows): boolean {
    if (rows.length > this.bytesMax) return false
    const own = ownRows(rows)
    this.#open.set(key, { rows: own, origin }, own.buffer.byteLength)
    return true
  }

  delete(key: LookupKey): void {
    this.#open.delete(key)
  }

  /** A copy: blocks may be changed while one goes through it. */
  list(): readonly (readonly [key: LookupKey, open: OpenRows])[] {
    return [...this.#open.entries()].map(([key, { value }]) => [key, value])
  }

  clear(): void {
    this.#open.clear()
  }
}

/**
 * Rows that are a small part of a large buffer – a whole prompt's export – are copied: keeping one
 * block would keep all of it.
 */
function ownRows(rows: BlockRows): BlockRows {
  if (rows.buffer.byteLength <= 2 * rows.byteLength) return rows
  const copy = new Uint8Array(new SharedArrayBuffer(rows.byteLength))
  copy.set(rows)
  return copy
}
