import { verify } from 'node:crypto'
import { OperationError } from '../../errors.ts'
import { parseModelId } from '../../key/model-id.ts'
import { parseLookupKey } from '../../key/response-key.ts'
import { manifestsKnownMax, receiptClockSkewMs } from '../../limits.ts'
import { assert } from '../../std/assert.ts'
import type { Clock } from '../../std/clock.ts'
import { Lru } from '../../std/lru.ts'
import { afterThisTurn } from '../../std/turn.ts'
import { IssuerKeys } from '../../trust/issuer-keys.ts'
import type { ReceiptSigner } from '../../trust/receipt.ts'
import {
  bodyOf,
  decodeManifest,
  encodeManifestBody,
  joinManifest,
  type Manifest,
  rootBytes,
  type StripeId,
  stripeIdOf,
} from '../../wire/manifest.ts'

/** A manifest, read or made: what is said of the shards of one sealed block. */
export interface Stripe {
  readonly id: StripeId
  readonly manifest: Manifest
  /** As it travels. */
  readonly bytes: Uint8Array
}

/**
 * Longest life of a manifest: holders keep a shard for 72 h after it was last read, but no longer
 * than this. A month is beyond the life of an engine build, and so of a numeric class.
 */
const manifestLifeMs = 30 * 86_400_000
const domain = Buffer.from('hyperspace/manifest/1')

/** Signs what this node states of a block that it has sealed. */
export function issueStripe(
  facts: Omit<Manifest, 'issuer' | 'issuedAt' | 'expiresAt'>,
  signer: ReceiptSigner,
  clock: Clock,
): Stripe {
  const issuedAt = Math.floor(clock.now())
  const expiresAt = issuedAt + manifestLifeMs
  const manifest = { ...facts, issuer: signer.peerId, issuedAt, expiresAt }
  const body = encodeManifestBody(manifest)
  const bytes = joinManifest(body, signer.sign(Buffer.concat([domain, body])))
  return { id: stripeIdOf(body), manifest, bytes }
}

/** By then one takes a sixth of what the first took; more would leave garbage behind for little. */
const rehearsed = 24

/**
 * Reads manifests of no use until the code that does it is compiled: in a node that has just
 * started the first of them would take ten times as long as the rest, while a request waits.
 */
export async function rehearseStripes(signer: ReceiptSigner, clock: Clock): Promise<void> {
  const reader = new StripeReader(clock)
  const zeros = '00'.repeat(32)
  const lookupKey = parseLookupKey(zeros)
  const modelId = parseModelId(`sha256:${zeros}`)
  assert(lookupKey !== undefined && modelId !== undefined, 'Zeros are a digest')
  const code = { dataShards: 2, shards: 3, roots: new Uint8Array(3 * rootBytes) }
  for (let count = 0; count < rehearsed; count++) {
    const facts = { lookupKey, modelId, numericClass: 'none', objectBytes: count + 1, ...code }
    reader.read(issueStripe(facts, signer, clock).bytes)
    await new Promise<void>(afterThisTurn)
  }
}

/** Reads and checks manifests, and remembers those that were right. */
export class StripeReader {
  readonly #clock: Clock
  readonly #keys = new IssuerKeys()
  readonly #known = new Lru<StripeId, Stripe>(manifestsKnownMax)

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /**
   * The stripe of a manifest that a peer sent; undefined when it is out of date, which is nobody's
   * fault. @throws manifest_invalid for one that is malformed or that its issuer did not sign
   */
  read(bytes: Uint8Array): Stripe | undefined {
    const stripe = this.#known.get(stripeIdOf(bodyOf(bytes))) ?? this.#check(bytes)
    return this.#isCurrent(stripe) ? stripe : undefined
  }

  /** Of a manifest that this node has stored: it was checked before. @throws manifest_invalid */
  readStored(bytes: Uint8Array): Stripe | undefined {
    const { manifest, body } = decodeManifest(bytes.slice())
    const stripe = { id: stripeIdOf(body), manifest, bytes }
    return this.#isCurrent(stripe) ? stripe : undefined
  }

  #isCurrent({ manifest }: Stripe): boolean {
    const now = this.#clock.now()
    const { issuedAt, expiresAt } = manifest
    return issuedAt <= now + receiptClockSkewMs && expiresAt >= now - receiptClockSkewMs
  }

  #check(bytes: Uint8Array): Stripe {
    // A copy: what is remembered must not hold on to the message that it came in.
    const { manifest, body, signature } = decodeManifest(bytes.slice())
    const message = Buffer.concat([domain, body])
    if (!verify(null, message, this.#keys.get(manifest.issuer), signature)) throw signatureWrong()
    const stripe = { id: stripeIdOf(body), manifest, bytes: joinManifest(body, signature) }
    this.#known.set(stripe.id, stripe, 1)
    return stripe
  }
}

function signatureWrong(): OperationError {
  const message = 'Cannot read the manifest: its signature is wrong'
  return new OperationError('manifest_invalid', message, { origin: 'peer' })
}
