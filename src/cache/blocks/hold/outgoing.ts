import type { CodedObject } from '../../../erasure/coder/shard-coder.ts'
import type { StripeId } from '../../../wire/manifest.ts'

/** Stripes that are being placed: peers that were asked to hold a shard pull it from here. */
export class Outgoing {
  readonly #stripes = new Map<StripeId, { readonly encoded: CodedObject; readonly users: number }>()

  get(stripe: StripeId): CodedObject | undefined {
    return this.#stripes.get(stripe)?.encoded
  }

  /** Gives the shards away while `work` runs. */
  async during<Result>(
    stripe: StripeId,
    encoded: CodedObject,
    work: () => Promise<Result>,
  ): Promise<Result> {
    this.#count(stripe, encoded, 1)
    try {
      return await work()
    } finally {
      this.#count(stripe, encoded, -1)
    }
  }

  /** A stripe may be placed and repaired at the same time. */
  #count(stripe: StripeId, encoded: CodedObject, by: number): void {
    const users = (this.#stripes.get(stripe)?.users ?? 0) + by
    if (users > 0) this.#stripes.set(stripe, { encoded, users })
    else this.#stripes.delete(stripe)
  }
}
