import type { BlobStore } from '../../../interface/blob-store.ts'
import type { PeerId } from '../../../interface/network.ts'
import type { AbortOptions } from '../../../std/signal.ts'
import type { TaskScope } from '../../../std/task-scope.ts'
import {
  decodeHold,
  encodeHoldResult,
  type HoldMessage,
  type HoldResult,
} from '../../../wire/block-messages.ts'
import { shardBytesIn } from '../../../wire/manifest.ts'
import type { KnownMembers } from '../known-members.ts'
import { peerEventOf } from '../peer-event.ts'
import { holdProtocol } from '../protocols.ts'
import type { Stripe, StripeReader } from '../stripe.ts'
import { shardName } from './blob-notes.ts'
import type { HeldShards } from './held-shards.ts'
import { HoldLimits } from './hold-limits.ts'
import { pullShard, type ShardPullerComponents } from './shard-puller.ts'

export interface HoldServerComponents extends ShardPullerComponents {
  readonly store: BlobStore
  readonly held: HeldShards
  readonly stripes: StripeReader
  readonly members: KnownMembers
  readonly scope: TaskScope
}

/**
 * Holds shards for members who ask for it: pulls each from whoever asks, checks it against its
 * manifest, and stores it, within what one peer may have held here.
 */
export class HoldServer {
  readonly #parts: HoldServerComponents
  readonly #limits: HoldLimits
  /** Names of shards being pulled. */
  readonly #pulling = new Set<string>()

  constructor(components: HoldServerComponents) {
    const { clock, store, held } = components
    this.#parts = components
    this.#limits = new HoldLimits({
      clock,
      bytesMax: () => store.stats().bytesMax,
      bytesFor: peer => held.bytesFor(peer),
    })
  }

  /** Before the network starts. */
  register(): void {
    this.#parts.network.serve(holdProtocol, async (body, from, options) =>
      encodeHoldResult(await this.#answer(body, from, options)),
    )
  }

  async #answer(body: Uint8Array, from: PeerId, options: AbortOptions): Promise<HoldResult> {
    const { reputation, held, scope } = this.#parts
    const message = this.#decode(body, from)
    if (scope.signal.aborted) return 'busy'
    if (reputation.isQuarantined(from)) return 'unwanted'
    const isTooFast = this.#limits.pace(from)
    if (isTooFast === 'flood') reputation.note(from, 'refused')
    if (isTooFast !== undefined) return 'busy'
    if (message.type === 'hold') return await this.#hold(message, from, options)
    await held.drop(message.stripe, message.index, from)
    return 'held'
  }

  async #hold(
    { index, manifest: bytes }: Extract<HoldMessage, { readonly type: 'hold' }>,
    from: PeerId,
    options: AbortOptions,
  ): Promise<HoldResult> {
    const stripe = this.#read(bytes, from)
    if (stripe === undefined || index >= stripe.manifest.shards) return 'invalid'
    if (!this.#isTrusted(stripe, from)) return 'unwanted'
    if (this.#parts.held.has(stripe.id, index)) return 'held'
    const name = shardName(stripe.id, index)
    const end = this.#limits.begin(from, shardBytesIn(stripe.manifest))
    if (typeof end !== 'function') return end
    if (this.#pulling.has(name)) {
      end()
      return 'busy'
    }
    this.#pulling.add(name)
    try {
      const shard = await pullShard(this.#parts, stripe, index, { from, ...options })
      if (typeof shard === 'string') return shard
      return await this.#keep({ stripe, index, heldFor: from, ...shard })
    } finally {
      this.#pulling.delete(name)
      end()
    }
  }

  /**
   * Whoever asks must have issued it, or the issuer must have been met: else one could have lies
   * held that are nobody's.
   */
  #isTrusted({ manifest }: Stripe, from: PeerId): boolean {
    const { reputation, members } = this.#parts
    if (manifest.issuer === from) return true
    return members.has(manifest.issuer) && !reputation.isQuarantined(manifest.issuer)
  }

  async #keep(shard: Parameters<HeldShards['put']>[0]): Promise<HoldResult> {
    const { held, log } = this.#parts
    try {
      await held.put(shard)
    } catch (error) {
      log.warn('shard not stored', { error })
      return 'full'
    }
    return 'held'
  }

  /** Undefined for a manifest that is wrong or out of date. */
  #read(bytes: Uint8Array, from: PeerId): Stripe | undefined {
    try {
      return this.#parts.stripes.read(bytes)
    } catch (error) {
      this.#parts.reputation.note(from, peerEventOf(error) ?? 'failed')
      this.#parts.log.debug('peer sent a wrong manifest', { peer: from, error })
      return undefined
    }
  }

  #decode(body: Uint8Array, from: PeerId): HoldMessage {
    try {
      return decodeHold(body)
    } catch (error) {
      this.#parts.reputation.note(from, 'invalid-message')
      throw error
    }
  }
}
