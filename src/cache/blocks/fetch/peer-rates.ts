import type { Network, PeerId, PeerView } from '../../../interface/network.ts'
import { KiB, reputationPeersMax, transfersPerPeerMax } from '../../../limits.ts'
import type { Clock } from '../../../std/clock.ts'
import { Lru } from '../../../std/lru.ts'
import type { Reputation } from '../../../trust/reputation.ts'

export interface PeerRatesComponents {
  readonly network: Network
  readonly reputation: Reputation
  readonly clock: Clock
}

/** Bytes per second until something was measured: 100 Mbit/s, 1 Gbit/s where the peer is near. */
const unknownBandwidth = 12_500_000
const unknownBandwidthNear = 125_000_000
/** Round trips of one machine or one local network; the first ones take longest. */
const nearMs = 5
/**
 * How long a measurement is believed. Who was slow once is asked for nothing, so that nothing new
 * is measured: after this it gets another chance.
 */
const measuredAgeMsMax = 600_000
const unknownRoundTripMs = 100
/** Weight of the newest measurement. */
const newestWeight = 0.3
/** Smaller transfers tell of round trips, not of bandwidth. */
const measuredBytesMin: number = 64 * KiB
/** A fetch may be faster than the last ones, but not at any multiple of them. */
const totalGrowth = 2
/** So many points below 0 count as much as a doubled time (as in trust/reputation.ts). */
const pointsPerDoubling = 20
/** What is known of connections is looked up again after this. */
const viewsMs = 100

/** How fast peers are: as measured here, as the network measured it, or as is usual. */
export class PeerRates {
  readonly #parts: PeerRatesComponents
  readonly #measured = new Lru<PeerId, { readonly rate: number; readonly atMs: number }>(
    reputationPeersMax,
  )
  readonly #active = new Map<PeerId, number>()
  readonly #waiting = new Set<() => void>()
  #views = new Map<PeerId, PeerView>()
  #viewsAtMs = Number.NEGATIVE_INFINITY
  #total: number | undefined

  constructor(components: PeerRatesComponents) {
    this.#parts = components
  }

  /** A transfer begins; returns what ends it: with its bytes where it came to its end. */
  begin(peer: PeerId): (bytes?: number) => void {
    const { clock } = this.#parts
    const startMs = clock.monotonicMs()
    this.#active.set(peer, this.#activeOf(peer) + 1)
    return bytes => {
      const active = this.#activeOf(peer)
      if (active > 1) this.#active.set(peer, active - 1)
      else this.#active.delete(peer)
      for (const callback of this.#waiting) callback()
      if (bytes === undefined || bytes < measuredBytesMin) return
      const ms = clock.monotonicMs() - startMs - this.#roundTripMs(peer)
      // Those that go on at the same time share what there is.
      this.#measure(peer, (bytes * active * 1_000) / Math.max(ms, 1))
    }
  }

  /**
   * Whether one more transfer from the peer would be of use. More than a few share its link, so
   * that all of them end late: the first block of a run should not wait for the last one.
   */
  hasRoom(peer: PeerId): boolean {
    return peer === this.#parts.network.self || this.#activeOf(peer) < transfersPerPeerMax
  }

  /** Calls back whenever a transfer ends, whoever waits longest first; returns what ends that. */
  onRoom(callback: () => void): () => void {
    this.#waiting.add(callback)
    return () => this.#waiting.delete(callback)
  }

  /** A whole fetch, over all of its peers. */
  noteTotal(bytes: number, ms: number): void {
    if (bytes < measuredBytesMin) return
    const rate = (bytes * 1_000) / Math.max(ms, 1)
    this.#total = rate + (1 - newestWeight) * ((this.#total ?? rate) - rate)
  }

  isMeasured(peer: PeerId): boolean {
    return this.#bandwidthSeen(peer) !== undefined
  }

  /** Bytes per second of one peer. */
  bandwidthOf(peer: PeerId): number {
    const guess = this.#roundTripMs(peer) <= nearMs ? unknownBandwidthNear : unknownBandwidth
    return this.#bandwidthSeen(peer) ?? guess
  }

  roundTripMs(peer: PeerId): number {
    return this.#roundTripMs(peer)
  }

  /** Predicted time for so many bytes, beside what is on its way from that peer already. */
  expectedMs(peer: PeerId, bytes: number): number {
    const queued = bytes * (1 + this.#activeOf(peer))
    return this.#roundTripMs(peer) + (queued * 1_000) / this.bandwidthOf(peer)
  }

  /** The same, but longer for whom went wrong before. */
  costOf(peer: PeerId, bytes: number): number {
    const score = this.#parts.reputation.scoreOf(peer)
    return (1 + this.expectedMs(peer, bytes)) * 2 ** (-score / pointsPerDoubling)
  }

  /** Bytes per second of these peers together, within what was ever seen of all. */
  bandwidthTogether(peers: readonly PeerId[]): number {
    const sum = peers.reduce((all, peer) => all + this.bandwidthOf(peer), 0)
    return this.#total === undefined ? sum : Math.min(sum, totalGrowth * this.#total)
  }

  #measure(peer: PeerId, rate: number): void {
    const before = this.#measured.get(peer)?.rate ?? rate
    const atMs = this.#parts.clock.monotonicMs()
    this.#measured.set(peer, { rate: before + newestWeight * (rate - before), atMs }, 1)
  }

  #bandwidthSeen(peer: PeerId): number | undefined {
    const measured = this.#measured.get(peer)
    if (measured === undefined) return this.#viewOf(peer)?.bandwidth
    const ageMs = this.#parts.clock.monotonicMs() - measured.atMs
    return ageMs > measuredAgeMsMax ? undefined : measured.rate
  }

  #roundTripMs(peer: PeerId): number {
    if (peer === this.#parts.network.self) return 0
    return this.#viewOf(peer)?.roundTripMs ?? unknownRoundTripMs
  }

  #activeOf(peer: PeerId): number {
    return this.#active.get(peer) ?? 0
  }

  #viewOf(peer: PeerId): PeerView | undefined {
    const nowMs = this.#parts.clock.monotonicMs()
    if (nowMs - this.#viewsAtMs >= viewsMs) {
      this.#views = new Map(this.#parts.network.peers().map(view => [view.id, view]))
      this.#viewsAtMs = nowMs
    }
    return this.#views.get(peer)
  }
}
