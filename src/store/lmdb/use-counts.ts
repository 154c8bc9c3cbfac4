import type { LookupKey } from '../../key/response-key.ts'
import { storeUsesMax } from '../../limits.ts'

/**
 * Uses of records between two flushes, so that a hit costs no write. They travel to the writer with
 * the next batch, which needs them to choose what to evict, and are written by the next flush.
 */
export class UseCounts {
  readonly #unsent = new Map<LookupKey, number>()
  readonly #unwritten = new Map<LookupKey, number>()

  /** Past the maximum, uses of further records are not counted until the next flush. */
  count(key: LookupKey): void {
    const isKnown = this.#unsent.has(key) || this.#unwritten.has(key)
    if (!isKnown && this.size >= storeUsesMax) return
    this.#unsent.set(key, (this.#unsent.get(key) ?? 0) + 1)
  }

  /** Records with uses that are not yet written, at most counted twice. */
  get size(): number {
    return this.#unsent.size + this.#unwritten.size
  }

  of(key: LookupKey): number {
    return (this.#unsent.get(key) ?? 0) + (this.#unwritten.get(key) ?? 0)
  }

  /** What was counted since the last call. */
  take(): readonly (readonly [LookupKey, number])[] {
    const taken = [...this.#unsent]
    for (const [key, uses] of taken) {
      this.#unwritten.set(key, (this.#unwritten.get(key) ?? 0) + uses)
    }
    this.#unsent.clear()
    return taken
  }

  /** A flush has written all that was taken before it. */
  written(): void {
    this.#unwritten.clear()
  }
}
