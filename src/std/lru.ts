/**
 * A map that holds at most `unitsMax` units (bytes, entries: whatever `set` is told) and forgets
 * what was used longest ago. Iteration order of `Map` is insertion order, so that re-inserting on
 * use keeps it sorted.
 */
export class Lru<Key, Value> {
  readonly #unitsMax: number
  readonly #onEvicted: ((key: Key) => void) | undefined
  readonly #entries = new Map<Key, { value: Value; units: number }>()
  #units = 0

  /** `onEvicted` is told of what had to go for something newer. */
  constructor(unitsMax: number, onEvicted?: (key: Key) => void) {
    this.#unitsMax = unitsMax
    this.#onEvicted = onEvicted
  }

  get size(): number {
    return this.#entries.size
  }

  get units(): number {
    return this.#units
  }

  get(key: Key): Value | undefined {
    const entry = this.#entries.get(key)
    if (entry === undefined) return undefined
    this.#entries.delete(key)
    this.#entries.set(key, entry)
    return entry.value
  }

  /** Reads without renewing: nothing is moved, so what is only peeked at leaves in its turn. */
  peek(key: Key): Value | undefined {
    return this.#entries.get(key)?.value
  }

  /** Adds or replaces. A value of more than `unitsMax` units is not kept. */
  set(key: Key, value: Value, units: number): void {
    this.delete(key)
    if (units > this.#unitsMax) return
    this.#entries.set(key, { value, units })
    this.#units += units
    for (const oldest of this.#entries.keys()) {
      if (this.#units <= this.#unitsMax) return
      this.delete(oldest)
      this.#onEvicted?.(oldest)
    }
  }

  delete(key: Key): boolean {
    const entry = this.#entries.get(key)
    if (entry === undefined) return false
    this.#units -= entry.units
    return this.#entries.delete(key)
  }

  entries(): IterableIterator<[Key, { readonly value: Value }]> {
    return this.#entries.entries()
  }

  clear(): void {
    this.#entries.clear()
    this.#units = 0
  }
}
