import { OperationError } from '../../../errors.ts'
import type { LookupKey } from '../../../key/response-key.ts'
import { badStripesMax } from '../../../limits.ts'
import { Lru } from '../../../std/lru.ts'
import type { Reputation } from '../../../trust/reputation.ts'
import type { StripeId } from '../../../wire/manifest.ts'
import type { Stripe, StripeReader } from '../stripe.ts'

/** Which of the stripes that peers offer are used: not those that turned out to be lies. */
export class TrustedStripes {
  readonly #reader: StripeReader
  readonly #reputation: Reputation
  readonly #bad = new Lru<StripeId, true>(badStripesMax)

  constructor(reader: StripeReader, reputation: Reputation) {
    this.#reader = reader
    this.#reputation = reputation
  }

  isBad(id: StripeId): boolean {
    return this.#bad.get(id) === true
  }

  /** What was made of its shards was no such block. */
  addBad(id: StripeId): void {
    this.#bad.set(id, true, 1)
  }

  /**
   * The stripe of a manifest that was sent as that of a key; undefined when it is not used.
   * @throws manifest_invalid when it is wrong, or one of something else
   */
  read(
    bytes: Uint8Array,
    expected: { readonly key: LookupKey; readonly id: StripeId },
  ): Stripe | undefined {
    const stripe = this.#reader.read(bytes)
    if (stripe === undefined || this.isBad(stripe.id)) return undefined
    const { manifest, id } = stripe
    if (id !== expected.id || manifest.lookupKey !== expected.key) throw foreign()
    return this.#reputation.isQuarantined(manifest.issuer) ? undefined : stripe
  }
}

function foreign(): OperationError {
  const message = 'The peer sent the manifest of something else'
  return new OperationError('manifest_invalid', message, { origin: 'peer' })
}
