/**
 * Which holders – the tiers of this node, and peers – have which blocks of KV state. A block's key
 * names everything before it, so that a prompt's longest prefix at a holder is the run of its
 * leading keys that the holder has: found by walking the prompt's own blocks from the front, never
 * by searching through what is held.
 *
 * Bounded per holder; past the bound the keys that were added longest ago are forgotten, which
 * costs a miss and never a wrong answer.
 */
export class PrefixIndex<Holder extends string> {
  readonly #blocksMax: number
  readonly #held = new Map<Holder, Set<string>>()

  constructor(blocksMax: number) {
    this.#blocksMax = blocksMax
  }

  add(holder: Holder, key: string): void {
    const keys = this.#held.get(holder) ?? new Set()
    if (keys.size === 0) this.#held.set(holder, keys)
    keys.delete(key)
    keys.add(key)
    if (keys.size <= this.#blocksMax) return
    for (const oldest of keys) {
      keys.delete(oldest)
      return
    }
  }

  /** Whether it was there. */
  remove(holder: Holder, key: string): boolean {
    return this.#held.get(holder)?.delete(key) ?? false
  }

  removeHolder(holder: Holder): void {
    this.#held.delete(holder)
  }

  has(holder: Holder, key: string): boolean {
    return this.#held.get(holder)?.has(key) ?? false
  }

  count(holder: Holder): number {
    return this.#held.get(holder)?.size ?? 0
  }

  /** How many of the leading keys a holder has without a gap. */
  run(holder: Holder, keys: readonly string[]): number {
    const held = this.#held.get(holder)
    if (held === undefined) return 0
    let length = 0
    for (const key of keys) {
      if (!held.has(key)) break
      length += 1
    }
    return length
  }

  /**
   * For each leading key the first of `holders` that has it, up to the key that none has: what they
   * can give together.
   */
  leading(keys: readonly string[], holders: readonly Holder[]): readonly Holder[] {
    const found: Holder[] = []
    for (const key of keys) {
      const holder = holders.find(candidate => this.has(candidate, key))
      if (holder === undefined) break
      found.push(holder)
    }
    return found
  }
}
