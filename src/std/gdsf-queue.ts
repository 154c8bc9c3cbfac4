/** What decides how much an item is worth keeping. */
export interface GdsfWeight {
  /** Seconds it takes to make the item again. */
  readonly costSeconds: number
  /** What it takes up. */
  readonly bytes: number
}

export interface GdsfItem<Key> {
  readonly key: Key
  readonly uses: number
  readonly priority: number
}

/**
 * Least cost that counts. At zero (and for what is no number) neither size nor use would matter any
 * more; a millisecond is about what handing out an item costs anyway.
 */
export const costSecondsMin = 0.001

/**
 * Greedy-Dual-Size-Frequency (L. Cherkasova, "Improving WWW Proxies Performance with
 * Greedy-Dual-Size-Frequency Caching Policy", HP Labs HPL-98-69R1, 1998): `inflation + uses × cost
 * / bytes`. `inflation` is the priority of what was evicted last, so that items which were worth a
 * lot once, but are not used any more, fall behind.
 */
export function gdsfPriority(inflation: number, uses: number, weight: GdsfWeight): number {
  const { costSeconds, bytes } = weight
  const cost = Number.isFinite(costSeconds) ? Math.max(costSeconds, costSecondsMin) : costSecondsMin
  return inflation + (Math.max(uses, 1) * cost) / Math.max(bytes, 1)
}

interface Node<Key> {
  readonly key: Key
  weight: GdsfWeight
  uses: number
  priority: number
  /** Equal priorities leave in the order in which they were last touched. */
  touch: number
  position: number
}

/** Keys in the order in which they should be evicted: a binary heap, O(log n) for every change. */
export class GdsfQueue<Key> {
  readonly #heap: Node<Key>[] = []
  readonly #nodes = new Map<Key, Node<Key>>()
  #inflation = 0
  #touches = 0

  get size(): number {
    return this.#heap.length
  }

  get inflation(): number {
    return this.#inflation
  }

  /** Adds a key with one use, or gives a known one a new weight: it keeps its uses. */
  set(key: Key, weight: GdsfWeight): void {
    const known = this.#nodes.get(key)
    const node = known ?? { key, weight, uses: 1, priority: 0, touch: 0, position: this.size }
    node.weight = weight
    if (known === undefined) {
      this.#nodes.set(key, node)
      this.#heap.push(node)
    }
    this.#rank(node)
  }

  /** Counts a use. False for a key that is not there. */
  use(key: Key): boolean {
    const node = this.#nodes.get(key)
    if (node === undefined) return false
    node.uses += 1
    this.#rank(node)
    return true
  }

  /** What `evict` would take. */
  first(): GdsfItem<Key> | undefined {
    return this.#heap[0]
  }

  /** Takes the key of the least priority, which becomes the inflation. */
  evict(): Key | undefined {
    const [first] = this.#heap
    if (first === undefined) return undefined
    this.#inflation = first.priority
    this.remove(first.key)
    return first.key
  }

  /** Takes a key out without evicting it: the inflation stays. */
  remove(key: Key): boolean {
    const node = this.#nodes.get(key)
    if (node === undefined) return false
    this.#nodes.delete(key)
    const last = this.#heap.pop()
    if (last === undefined || last === node) return true
    this.#heap[node.position] = last
    last.position = node.position
    this.#settle(last)
    return true
  }

  clear(): void {
    this.#heap.length = 0
    this.#nodes.clear()
  }

  /** A sorted copy: most valuable first. O(n log n). */
  toArray(): readonly GdsfItem<Key>[] {
    return [...this.#heap].sort((a, b) => (isBefore(a, b) ? 1 : -1))
  }

  #rank(node: Node<Key>): void {
    node.priority = gdsfPriority(this.#inflation, node.uses, node.weight)
    node.touch = this.#touches
    this.#touches += 1
    this.#settle(node)
  }

  /** Moves a node whose rank has changed to where it belongs. */
  #settle(node: Node<Key>): void {
    this.#rise(node)
    this.#sink(node)
  }

  #rise(node: Node<Key>): void {
    while (node.position > 0) {
      const parent = this.#heap[(node.position - 1) >> 1]
      if (parent === undefined || !isBefore(node, parent)) return
      this.#swap(node, parent)
    }
  }

  #sink(node: Node<Key>): void {
    for (;;) {
      const left = this.#heap[2 * node.position + 1]
      const right = this.#heap[2 * node.position + 2]
      const child = left && right && isBefore(right, left) ? right : left
      if (child === undefined || !isBefore(child, node)) return
      this.#swap(node, child)
    }
  }

  #swap(a: Node<Key>, b: Node<Key>): void {
    const { position } = a
    a.position = b.position
    b.position = position
    this.#heap[a.position] = a
    this.#heap[b.position] = b
  }
}

function isBefore(a: Node<unknown>, b: Node<unknown>): boolean {
  return a.priority < b.priority || (a.priority === b.priority && a.touch < b.touch)
}
