import type { Log } from '../../../interface/log.ts'
import type { Network, PeerId } from '../../../interface/network.ts'
import type { LookupKey } from '../../../key/response-key.ts'
import { peerAnswerTimeoutMs } from '../../../limits.ts'
import { type AbortOptions, isAbort } from '../../../std/signal.ts'
import type { Reputation } from '../../../trust/reputation.ts'
import {
  decodeOffers,
  encodeManifestAsks,
  type ManifestAsk,
  type StripeOffer,
} from '../../../wire/block-messages.ts'
import type { HeldShards } from '../hold/held-shards.ts'
import { peerEventOf } from '../peer-event.ts'
import { manifestProtocol } from '../protocols.ts'
import type { CollectedOffers } from './offers.ts'
import type { TrustedStripes } from './trusted-stripes.ts'

export interface ManifestAskerComponents {
  readonly network: Network
  readonly reputation: Reputation
  readonly held: HeldShards
  readonly stripes: TrustedStripes
  readonly log: Log
}

export interface AskOptions extends AbortOptions {
  readonly offers: CollectedOffers
  /** The peer says that it has some of what it was asked for; nothing of it is checked. */
  readonly onOffers: ((peer: PeerId) => void) | undefined
}

/** Asks peers what they have of blocks, checks what they say, and remembers who is wrong. */
export class ManifestAsker {
  readonly #parts: ManifestAskerComponents

  constructor(components: ManifestAskerComponents) {
    this.#parts = components
  }

  /** Adds what a peer says to `offers`, after `onOffers` when it has anything. Never rejects. */
  async ask(
    peer: PeerId,
    asks: readonly ManifestAsk[],
    { offers, onOffers, signal }: AskOptions,
  ): Promise<void> {
    const { network, reputation, log } = this.#parts
    const options = { signal, timeoutMs: peerAnswerTimeoutMs }
    try {
      const reply = await network.request(peer, manifestProtocol, encodeManifestAsks(asks), options)
      const lists = decodeOffers(reply, asks.length)
      if (lists.some(list => list.length > 0)) onOffers?.(peer)
      for (const [index, { key }] of asks.entries()) {
        for (const offer of lists[index] ?? []) this.#add(key, peer, { offer, offers })
      }
    } catch (error) {
      if (signal.aborted && isAbort(error)) return
      const event = peerEventOf(error)
      reputation.note(peer, event ?? 'failed')
      if (event === undefined) log.warn('look-up on a peer failed', { peer, error })
      else log.debug('peer told nothing of blocks', { peer, event, error })
    }
  }

  /** Adds what this node itself holds of a block for others. */
  addHeld(key: LookupKey, offers: CollectedOffers): void {
    const { held, network } = this.#parts
    for (const { stripe, shards, manifest } of held.stripesOf(key)) {
      const offer = { stripe, shards, isWhole: false, manifest }
      this.#add(key, network.self, { offer, offers })
    }
  }

  /** @throws manifest_invalid */
  #add(
    key: LookupKey,
    peer: PeerId,
    { offer, offers }: { readonly offer: StripeOffer; readonly offers: CollectedOffers },
  ): void {
    const { stripes } = this.#parts
    if (stripes.isBad(offer.stripe)) return
    if (offer.manifest === undefined) {
      offers.add(key, peer, offer, undefined)
      return
    }
    const stripe = stripes.read(offer.manifest, { key, id: offer.stripe })
    if (stripe !== undefined) offers.add(key, peer, offer, stripe)
  }
}
