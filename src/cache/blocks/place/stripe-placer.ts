import type { CodedObject } from '../../../erasure/coder/shard-coder.ts'
import type { Log } from '../../../interface/log.ts'
import type { Network, PeerId } from '../../../interface/network.ts'
import { holdTimeoutMs, placeRoundsMax, reputationPeersMax } from '../../../limits.ts'
import type { Clock } from '../../../std/clock.ts'
import { Lru } from '../../../std/lru.ts'
import type { AbortOptions } from '../../../std/signal.ts'
import type { Reputation } from '../../../trust/reputation.ts'
import { decodeHoldResult, encodeHold, type HoldResult } from '../../../wire/block-messages.ts'
import type { Outgoing } from '../hold/outgoing.ts'
import { peerEventOf } from '../peer-event.ts'
import { holdProtocol } from '../protocols.ts'
import type { Stripe } from '../stripe.ts'
import { type PlacementCandidate, planPlacement } from './placement.ts'
import { subnetOf } from './subnet.ts'

export interface StripePlacerComponents {
  readonly network: Network
  readonly reputation: Reputation
  readonly outgoing: Outgoing
  readonly clock: Clock
  readonly log: Log
}

/** Shards that are to be placed. */
export interface Placement {
  readonly stripe: Stripe
  readonly encoded: CodedObject
  readonly indices: readonly number[]
  /** Who holds other shards of it already. */
  readonly holders: readonly PeerId[]
}

/** How long a peer is not asked again, by what it said. */
const pauseMs: { readonly [result in Exclude<HoldResult, 'held'> | 'failed']: number } = {
  busy: 2_000,
  quota: 300_000,
  full: 300_000,
  invalid: 600_000,
  unwanted: 600_000,
  failed: 30_000,
}

/** Asks peers to hold shards; who refuses is replaced by the next one. */
export class StripePlacer {
  readonly #parts: StripePlacerComponents
  /** Until when (monotonic ms) a peer is not asked. */
  readonly #paused = new Lru<PeerId, number>(reputationPeersMax)

  constructor(components: StripePlacerComponents) {
    this.#parts = components
  }

  /** Whom shards can be placed on now. */
  candidates(): readonly PlacementCandidate[] {
    const { network, reputation, clock } = this.#parts
    const nowMs = clock.monotonicMs()
    const now = clock.now()
    return network
      .peers()
      .filter(({ id }) => !reputation.isQuarantined(id) && (this.#paused.get(id) ?? 0) <= nowMs)
      .map(view => ({
        peer: view.id,
        subnet: subnetOf(view),
        connectedMs: now - view.connectedAt,
        score: reputation.scoreOf(view.id),
      }))
  }

  /** Which peer holds which of the shards now. @throws the signal's reason */
  async place(
    { stripe, encoded, indices, holders }: Placement,
    { signal }: AbortOptions,
  ): Promise<ReadonlyMap<number, PeerId>> {
    const placed = new Map<number, PeerId>()
    const asked = new Set<PeerId>(holders)
    const round = async (missing: readonly number[]): Promise<number> => {
      const candidates = this.candidates().filter(({ peer }) => !asked.has(peer))
      const usedSubnets = this.#subnetsOf([...holders, ...placed.values()])
      const plan = planPlacement({ stripe: stripe.id, indices: missing, usedSubnets }, candidates)
      const ask = async ([index, peer]: readonly [number, PeerId]): Promise<void> => {
        asked.add(peer)
        if (await this.#ask(peer, { index, stripe, signal })) placed.set(index, peer)
      }
      await Promise.all([...plan].map(ask))
      signal.throwIfAborted()
      return plan.size
    }
    await this.#parts.outgoing.during(stripe.id, encoded, async () => {
      for (let count = 0; count < placeRoundsMax; count++) {
        const missing = indices.filter(index => !placed.has(index))
        if (missing.length === 0 || (await round(missing)) === 0) return
      }
    })
    return placed
  }

  /** What was placed is too little to be of use. */
  async drop(
    stripe: Stripe,
    placed: ReadonlyMap<number, PeerId>,
    signal: AbortSignal,
  ): Promise<void> {
    const ask = async ([index, peer]: readonly [number, PeerId]): Promise<void> => {
      const body = encodeHold({ type: 'drop', index, stripe: stripe.id })
      try {
        await this.#parts.network.request(peer, holdProtocol, body, {
          signal,
          timeoutMs: holdTimeoutMs,
        })
      } catch (error) {
        // It expires there.
        this.#parts.log.debug('shard not dropped', { peer, error })
      }
    }
    await Promise.all([...placed].map(ask))
  }

  /** Whether the peer holds the shard now. Never rejects. */
  async #ask(
    peer: PeerId,
    { index, stripe, signal }: { readonly index: number; readonly stripe: Stripe } & AbortOptions,
  ): Promise<boolean> {
    const { network, reputation, log } = this.#parts
    const body = encodeHold({ type: 'hold', index, manifest: stripe.bytes })
    try {
      const options = { signal, timeoutMs: holdTimeoutMs }
      const result = decodeHoldResult(await network.request(peer, holdProtocol, body, options))
      if (result === 'held') return true
      this.#pause(peer, result)
    } catch (error) {
      if (signal.aborted) return false
      const event = peerEventOf(error)
      reputation.note(peer, event ?? 'failed')
      this.#pause(peer, 'failed')
      if (event === undefined) log.warn('hold request failed', { peer, error })
      else log.debug('peer holds no shard', { peer, event, error })
    }
    return false
  }

  #pause(peer: PeerId, why: keyof typeof pauseMs): void {
    this.#paused.set(peer, this.#parts.clock.monotonicMs() + pauseMs[why], 1)
  }

  #subnetsOf(peers: readonly PeerId[]): ReadonlySet<string> {
    const wanted = new Set(peers)
    const views = this.#parts.network.peers().filter(({ id }) => wanted.has(id))
    return new Set(views.flatMap(view => subnetOf(view) ?? []))
  }
}
