import type { PeerId } from '../../../interface/network.ts'
import {
  holdBurst,
  holdBytesMax,
  holdsMax,
  holdsPerPeerMax,
  holdsPerSecond,
  reputationPeersMax,
  shardShareOfPeer,
} from '../../../limits.ts'
import type { Clock } from '../../../std/clock.ts'
import { Lru } from '../../../std/lru.ts'

export interface HoldLimitsComponents {
  readonly clock: Clock
  /** Bytes that the shard store may hold. */
  readonly bytesMax: () => number
  /** Bytes in it that are held for a peer. */
  readonly bytesFor: (peer: PeerId) => number
}

/** `flood`: it goes on although it was told to wait. */
export type HoldRefusal = 'busy' | 'flood' | 'quota' | 'full'

interface Pace {
  tokens: number
  atMs: number
  /** Until when whoever was told `busy` should have waited. */
  busyUntilMs: number
}

/** How long a peer that was refused as too fast should wait. */
const waitMs = 1_000

/** What one peer, and all of them, may have this node hold and pull at once. */
export class HoldLimits {
  readonly #parts: HoldLimitsComponents
  readonly #paces = new Lru<PeerId, Pace>(reputationPeersMax)
  readonly #pulling = new Map<PeerId, { readonly count: number; readonly bytes: number }>()
  #count = 0
  #bytes = 0

  constructor(components: HoldLimitsComponents) {
    this.#parts = components
  }

  /** Counts a request, before anything is done for it; undefined when the peer is not too fast. */
  pace(peer: PeerId): Extract<HoldRefusal, 'busy' | 'flood'> | undefined {
    const nowMs = this.#parts.clock.monotonicMs()
    const pace = this.#paces.get(peer) ?? { tokens: holdBurst, atMs: nowMs, busyUntilMs: 0 }
    this.#paces.set(peer, pace, 1)
    const earned = ((nowMs - pace.atMs) / 1_000) * holdsPerSecond
    pace.tokens = Math.min(holdBurst, pace.tokens + earned)
    pace.atMs = nowMs
    if (pace.tokens >= 1) {
      pace.tokens -= 1
      return undefined
    }
    if (nowMs < pace.busyUntilMs) return 'flood'
    pace.busyUntilMs = nowMs + waitMs
    return 'busy'
  }

  /** Makes room for a shard; returns what ends the pulling, or why it is refused. */
  begin(peer: PeerId, bytes: number): Exclude<HoldRefusal, 'flood'> | (() => void) {
    const { bytesMax, bytesFor } = this.#parts
    const pulling = this.#pulling.get(peer) ?? { count: 0, bytes: 0 }
    if (bytes > bytesMax()) return 'full'
    const forPeer = bytesFor(peer) + pulling.bytes + bytes
    if (forPeer > bytesMax() * shardShareOfPeer) return 'quota'
    if (pulling.count >= holdsPerPeerMax || this.#count >= holdsMax) return 'busy'
    if (this.#count > 0 && this.#bytes + bytes > holdBytesMax) return 'busy'
    this.#change(peer, { count: 1, bytes })
    return () => this.#change(peer, { count: -1, bytes: -bytes })
  }

  #change(peer: PeerId, by: { readonly count: number; readonly bytes: number }): void {
    const before = this.#pulling.get(peer) ?? { count: 0, bytes: 0 }
    const after = { count: before.count + by.count, bytes: before.bytes + by.bytes }
    if (after.count > 0) this.#pulling.set(peer, after)
    else this.#pulling.delete(peer)
    this.#count += by.count
    this.#bytes += by.bytes
  }
}
