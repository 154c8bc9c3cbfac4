import type { BlobName } from '../../interface/blob-store.ts'

/** One change at a time to what has a name, in the order in which they were asked for. */
export class NameLocks {
  readonly #tails = new Map<BlobName, Promise<void>>()

  async run<T>(name: BlobName, work: () => Promise<T>): Promise<T> {
    const before = this.#tails.get(name)
    const done = Promise.withResolvers<void>()
    this.#tails.set(name, done.promise)
    await before
    try {
      return await work()
    } finally {
      if (this.#tails.get(name) === done.promise) this.#tails.delete(name)
      done.resolve()
    }
  }
}
