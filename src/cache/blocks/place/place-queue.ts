import type { ModelId } from '../../../key/model-id.ts'
import type { LookupKey } from '../../../key/response-key.ts'
import { placeQueueBytesMax, placeQueueMax } from '../../../limits.ts'
import type { FoundStripe } from '../fetch/found-stripe.ts'

/** A sealed block that waits. */
export type PlaceJob =
  | {
      readonly type: 'place'
      readonly key: LookupKey
      readonly sealed: Uint8Array
      readonly modelId: ModelId
      readonly numericClass: string
    }
  /** Shards of a stripe that are lost are to be placed again. */
  | {
      readonly type: 'repair'
      readonly key: LookupKey
      readonly sealed: Uint8Array
      readonly found: FoundStripe
    }

/** Blocks that wait to be placed: within a count and bytes, each once. */
export class PlaceQueue {
  readonly #jobs = new Map<LookupKey, PlaceJob>()
  #bytes = 0

  get size(): number {
    return this.#jobs.size
  }

  /** False when too much waits; true too for a block that waits already. */
  add(job: PlaceJob): boolean {
    if (this.#jobs.has(job.key)) return true
    const bytes = this.#bytes + job.sealed.length
    if (this.#jobs.size >= placeQueueMax || bytes > placeQueueBytesMax) return false
    this.#jobs.set(job.key, job)
    this.#bytes = bytes
    return true
  }

  /** The oldest ones. */
  take(countMax: number): readonly PlaceJob[] {
    const jobs = [...this.#jobs.values()].slice(0, countMax)
    for (const { key, sealed } of jobs) {
      this.#jobs.delete(key)
      this.#bytes -= sealed.length
    }
    return jobs
  }

  /** Of a block that this node does not have any more. */
  remove(key: LookupKey): void {
    const job = this.#jobs.get(key)
    if (job === undefined) return
    this.#jobs.delete(key)
    this.#bytes -= job.sealed.length
  }

  clear(): void {
    this.#jobs.clear()
    this.#bytes = 0
  }
}
