import type { BlobFacts, BlobMeta, BlobName } from '../../interface/blob-store.ts'
import type { Clock } from '../../std/clock.ts'
import { GdsfQueue } from '../../std/gdsf-queue.ts'

/** A blob as a store knows it; `place` is where its bytes are. */
export interface Held<Place> {
  readonly name: BlobName
  readonly place: Place
  readonly bytes: number
  /** What it counts against the store's maximum. */
  readonly size: number
  meta: BlobMeta
  uses: number
}

export type NewHeld<Place> = Omit<Held<Place>, 'uses'>

/** What leaves first, and why. */
export interface Victim<Place> {
  readonly held: Held<Place>
  readonly cause: 'evicted' | 'expired'
}

/** Uses that count again for what is added anew: so many tell it from what nobody uses. */
const usesCarriedMax = 64

/** What a store holds, in memory: found by name, evicted by GDSF, expired by the clock. */
export class BlobIndex<Place> {
  readonly #clock: Clock
  readonly #held = new Map<BlobName, Held<Place>>()
  readonly #queue = new GdsfQueue<BlobName>()
  readonly #listeners = new Set<(name: BlobName) => void>()
  #sweep: MapIterator<Held<Place>> | undefined
  #bytes = 0

  constructor(clock: Clock) {
    this.#clock = clock
  }

  get size(): number {
    return this.#held.size
  }

  /** The sizes of all. */
  get bytes(): number {
    return this.#bytes
  }

  facts(name: BlobName): BlobFacts | undefined {
    const held = this.#held.get(name)
    return held && factsOf(held)
  }

  /** Expired or not. */
  get(name: BlobName): Held<Place> | undefined {
    return this.#held.get(name)
  }

  /**
   * Adds or replaces. What is replaced leaves its uses to its successor; `before` does, when it had
   * to go earlier.
   */
  set(added: NewHeld<Place>, before?: Held<Place>): void {
    this.#add({ ...added, uses: (this.take(added.name) ?? before)?.uses ?? 0 })
  }

  /** Puts back what was taken, unless there is another by now. */
  restore(held: Held<Place>): void {
    if (!this.#held.has(held.name)) this.#add(held)
  }

  /** Takes it out, whatever becomes of its bytes. */
  take(name: BlobName): Held<Place> | undefined {
    const held = this.#held.get(name)
    if (held === undefined) return undefined
    this.#held.delete(name)
    this.#queue.remove(name)
    this.#bytes -= held.size
    return held
  }

  use(name: BlobName): void {
    const held = this.#held.get(name)
    if (held === undefined || this.isExpired(held)) return
    held.uses += 1
    this.#queue.use(name)
  }

  /** Takes what should leave first: what has expired, before what somebody may still ask for. */
  takeVictim(): Victim<Place> | undefined {
    // The map is in the order of writing, which is nearly that of expiry: looking further than its
    // first would cost a scan per write.
    const [oldest] = this.#held.values()
    if (oldest !== undefined && this.isExpired(oldest)) {
      this.take(oldest.name)
      return { held: oldest, cause: 'expired' }
    }
    const name = this.#queue.evict()
    const held = name === undefined ? undefined : this.take(name)
    return held && { held, cause: 'evicted' }
  }

  /** Those that have expired among the next so many: goes on where it ended last time. */
  sweep(count: number): readonly Held<Place>[] {
    const expired: Held<Place>[] = []
    this.#sweep ??= this.#held.values()
    for (let looked = 0; looked < count; looked++) {
      const { value, done } = this.#sweep.next()
      if (done) {
        this.#sweep = undefined
        break
      }
      if (this.isExpired(value)) expired.push(value)
    }
    return expired
  }

  *list(): Iterable<BlobFacts> {
    for (const held of this.#held.values()) if (!this.isExpired(held)) yield factsOf(held)
  }

  names(): readonly BlobName[] {
    return [...this.#held.keys()]
  }

  clear(): void {
    this.#held.clear()
    this.#queue.clear()
    this.#bytes = 0
  }

  isExpired({ meta }: Held<Place>): boolean {
    return meta.expiresAt < this.#clock.now()
  }

  onLost(listener: (name: BlobName) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  tellLost(name: BlobName): void {
    for (const listener of this.#listeners) listener(name)
  }

  #add(held: Held<Place>): void {
    const { name, size, meta } = held
    this.#held.set(name, held)
    this.#bytes += size
    this.#queue.set(name, { costSeconds: meta.costSeconds, bytes: size })
    for (let use = 0; use < Math.min(held.uses, usesCarriedMax); use++) this.#queue.use(name)
  }
}

function factsOf<Place>({ name, bytes, uses, meta }: Held<Place>): BlobFacts {
  return { ...meta, name, bytes, uses }
}
