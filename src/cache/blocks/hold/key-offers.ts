import type { Directory } from '../../../interface/directory.ts'
import type { LookupKey } from '../../../key/response-key.ts'

/** Why a key is announced: the block itself is here, or shards of it are. */
export type OfferReason = 'whole' | 'shards'

type Announcing = Pick<Directory, 'add' | 'remove'>

const bits: { readonly [reason in OfferReason]: number } = { whole: 1, shards: 2 }

/** The look-up keys of blocks that this node announces, for one reason or for both. */
export class KeyOffers {
  readonly #directory: Announcing
  readonly #keys = new Map<LookupKey, number>()

  constructor(directory: Announcing) {
    this.#directory = directory
  }

  get size(): number {
    return this.#keys.size
  }

  add(key: LookupKey, reason: OfferReason): void {
    const before = this.#keys.get(key) ?? 0
    this.#keys.set(key, before | bits[reason])
    if (before === 0) this.#directory.add([key])
  }

  remove(key: LookupKey, reason: OfferReason): void {
    const before = this.#keys.get(key) ?? 0
    const after = before & ~bits[reason]
    if (after !== 0) this.#keys.set(key, after)
    else if (this.#keys.delete(key)) this.#directory.remove([key])
  }
}
