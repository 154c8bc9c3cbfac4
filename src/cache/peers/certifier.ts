import type { Completion } from '../../interface/generation.ts'
import type { Log } from '../../interface/log.ts'
import type { Store } from '../../interface/store.ts'
import {
  type LookupKey,
  leavesKey,
  limitedKey,
  lookupKey,
  type ResponseKey,
  seedOf,
} from '../../key/response-key.ts'
import type { SwarmTag } from '../../key/scope.ts'
import type { Clock } from '../../std/clock.ts'
import type { Random } from '../../std/random.ts'
import type { ReceiptSigner } from '../../trust/receipt.ts'
import { encodeLeaves, type Leaf } from '../../wire/leaves.ts'
import { sealRecord } from '../../wire/sealed-record.ts'
import { certify } from './certify.ts'
import type { SharedKeys } from './records/shared-keys.ts'
import type { AnswerBasis, SwarmMiss } from './swarm-flight.ts'

export interface CertifierComponents {
  readonly signer: ReceiptSigner
  readonly store: Store
  readonly shared: SharedKeys
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
}

export interface CertifierOptions {
  readonly swarm: SwarmTag | undefined
  /** Fires when the node leaves the swarm. */
  readonly signal: AbortSignal
}

/** Under which key an answer is stored, until when, and what it rested on. */
export interface Storing {
  readonly lookup: LookupKey
  readonly expiresAt: number
  readonly basis: AnswerBasis
}

/** What leaves are worth keeping for: they were made after the answer, and nobody waited. */
const leavesCostSeconds = 0.1

/** Signs the answers of this node and keeps what auditors will ask for. */
export class Certifier {
  readonly #parts: CertifierComponents
  readonly #options: CertifierOptions

  constructor(components: CertifierComponents, options: CertifierOptions) {
    this.#parts = components
    this.#options = options
  }

  /** The receipt. @throws where the engine cannot score its answer, or the node leaves the swarm */
  async certify(
    { key, model, request }: SwarmMiss,
    completion: Completion,
    storing: Storing,
  ): Promise<Uint8Array> {
    const { signer, clock } = this.#parts
    const { lookup, expiresAt, basis } = storing
    const seed = seedOf(key)
    const what = { request, completion, model, lookupKey: lookup, expiresAt, seed, basis }
    await basis.settled
    const { receipt, leaves } = await certify(signer, clock, what, this.#options)
    const ownKey = lookup === lookupKey(key) ? key : limitedKey(key, request.maxTokens ?? 0)
    if (leaves !== undefined) await this.#keepLeaves(ownKey, storing, leaves)
    return receipt
  }

  /** The leaves stay with the issuer, sealed like the answer, for whoever audits it. */
  async #keepLeaves(
    key: ResponseKey,
    { lookup, expiresAt }: Storing,
    leaves: readonly Leaf[],
  ): Promise<void> {
    const { store, clock, random, shared, log } = this.#parts
    const { swarm } = this.#options
    const own = leavesKey(lookup)
    const bytes = sealRecord(key, encodeLeaves(leaves), random.bytes(12))
    const times = { createdAt: clock.now(), expiresAt }
    const meta = { ...times, costSeconds: leavesCostSeconds, fieldDigests: {} }
    try {
      await store.put(own, { bytes, meta: { ...meta, ...(swarm === undefined ? {} : { swarm }) } })
      shared.addLeaves(own)
    } catch (error) {
      log.warn('leaves not stored', { error })
    }
  }
}
