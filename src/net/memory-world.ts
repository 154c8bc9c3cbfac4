import { type Log, silentLog } from '../interface/log.ts'
import type { PeerId } from '../interface/network.ts'
import { peerIdOfPublicKey } from '../key/peer-id.ts'
import type { Clock } from '../std/clock.ts'
import type { SeededRandom } from '../std/seeded-random.ts'
import { type Frame, frameBytes } from './memory-frame.ts'
import { MemoryNetwork, type MemoryNetworkOptions } from './memory-network.ts'
import { peerError } from './peer-error.ts'

export interface MemoryWorldComponents {
  readonly clock: Clock
  readonly random: SeededRandom
  readonly log?: Log
}

export interface MemoryWorldOptions {
  /** One way. */
  readonly latencyMs?: number | ((from: PeerId, to: PeerId) => number)
  /** Most that is added to the latency, by chance. Order on a connection stays. */
  readonly jitterMs?: number
  /** Chance that a request, the opening of a stream or a dial vanishes. */
  readonly lossRatio?: number
  /** Bytes per second of each direction between two nodes. */
  readonly bandwidth?: number
  /** Silence after which both ends take a connection for dead. */
  readonly deadAfterMs?: number
}

/** A connection as the world sees it; each end holds its own half. */
export interface MemoryLink {
  readonly dialer: PeerId
  readonly answerer: PeerId
  readonly roundTripMs: number
}

/** One direction between two nodes. */
interface Wire {
  /** When what was sent so far has left the sender. */
  freeAtMs: number
  /** When the last of it arrives. */
  lastAtMs: number
}

/** What a dial and its answer weigh: a TLS handshake. */
const handshakeBytes = 2_048
const closingBytes = 48

/**
 * A simulated internet, on whatever clock it is given and the same for the same seed: nodes that
 * join, die, freeze and are cut off from each other.
 */
export class MemoryWorld {
  readonly #clock: Clock
  readonly #random: SeededRandom
  readonly #log: Log
  readonly #options: MemoryWorldOptions
  readonly #networks = new Map<PeerId, MemoryNetwork>()
  readonly #links = new Map<string, MemoryLink>()
  readonly #wires = new Map<string, Wire>()
  readonly #sides = new Map<PeerId, number>()
  readonly #frozen = new Set<PeerId>()

  constructor(
    { clock, random, log = silentLog }: MemoryWorldComponents,
    options: MemoryWorldOptions,
  ) {
    this.#clock = clock
    this.#random = random
    this.#log = log
    this.#options = options
  }

  /** A node that is not started yet. With the `self` of one that was killed it is its restart. */
  createNetwork(options: Partial<MemoryNetworkOptions> = {}): MemoryNetwork {
    const self = options.self ?? peerIdOfPublicKey(this.#random.bytes(32))
    return new MemoryNetwork(
      { world: this, clock: this.#clock, random: this.#random, log: this.#log },
      { swarm: 'swarm', ...options, self },
    )
  }

  /** Ends a node as kill -9 does: its system closes the connections, nothing else happens. */
  kill(peer: PeerId): void {
    this.#frozen.delete(peer)
    this.#networks.get(peer)?.crash()
  }

  /** Keeps a node's connections open, but nothing comes out of it or goes in any more. */
  freeze(peer: PeerId): void {
    this.#frozen.add(peer)
    this.#dropDeadLinks()
  }

  thaw(peer: PeerId): void {
    this.#frozen.delete(peer)
  }

  /** Cuts the nodes named off from all others; what goes between is lost without a word. */
  partition(peers: readonly PeerId[]): void {
    for (const peer of peers) this.#sides.set(peer, 1)
    this.#dropDeadLinks()
  }

  heal(): void {
    this.#sides.clear()
  }

  join(network: MemoryNetwork): void {
    this.#networks.set(network.self, network)
  }

  leave(network: MemoryNetwork): void {
    if (this.#networks.get(network.self) === network) this.#networks.delete(network.self)
  }

  /**
   * Opens both ends of a connection. Never settles when the dial or its answer is lost.
   * @throws peer_unreachable, swarm_refused
   */
  dial(dialer: MemoryNetwork, peer: PeerId, signal: AbortSignal): Promise<void> {
    const self = dialer.self
    return new Promise((resolve, reject) => {
      if (this.#isLost()) return
      this.#transmit(self, peer, handshakeBytes, () => {
        const answerer = this.#networks.get(peer)
        const refusal = answerer?.refusalOf(self, dialer.swarm) ?? 'accepted'
        const isAccepted = answerer !== undefined && refusal === 'accepted'
        const link = isAccepted ? this.#link(self, peer) : undefined
        if (link !== undefined) answerer?.open(self, link)
        this.#transmit(peer, self, handshakeBytes, () => {
          const isWilling = dialer.refusalOf(peer, dialer.swarm) === 'accepted'
          const isWanted = isWilling && !signal.aborted
          if (link !== undefined && isWanted) dialer.open(peer, link)
          else if (link !== undefined) this.close(link, self)
          if (link !== undefined && isWanted) resolve()
          else reject(peerError(refusal === 'swarm' ? 'swarm_refused' : 'peer_unreachable'))
        })
      })
    })
  }

  /** Carries a frame to the other end, or loses it. */
  send(link: MemoryLink, from: PeerId, frame: Frame): void {
    const to = otherEnd(link, from)
    if ((frame.type === 'request' || frame.type === 'open') && this.#isLost()) return
    this.#transmit(from, to, frameBytes(frame), () => {
      this.#networks.get(to)?.receive(from, link, frame)
    })
  }

  /** One end closes; the other one learns it. */
  close(link: MemoryLink, from: PeerId): void {
    const to = otherEnd(link, from)
    const name = pairOf(link.dialer, link.answerer)
    if (this.#links.get(name) === link) this.#links.delete(name)
    const drop = (): void => this.#networks.get(to)?.drop(from, link)
    if (this.#isReachable(from, to)) this.#transmit(from, to, closingBytes, drop)
    else this.#clock.after(this.#deadAfterMs, drop)
  }

  #link(dialer: PeerId, answerer: PeerId): MemoryLink {
    const name = pairOf(dialer, answerer)
    const known = this.#links.get(name)
    if (known !== undefined) return known
    const roundTripMs = this.#latencyMs(dialer, answerer) + this.#latencyMs(answerer, dialer)
    const link: MemoryLink = { dialer, answerer, roundTripMs }
    this.#links.set(name, link)
    return link
  }

  #transmit(from: PeerId, to: PeerId, bytes: number, deliver: () => void): void {
    if (!this.#isReachable(from, to)) return
    const { bandwidth = Number.POSITIVE_INFINITY, jitterMs = 0 } = this.#options
    const nowMs = this.#clock.monotonicMs()
    const name = `${from}>${to}`
    const wire = this.#wires.get(name) ?? { freeAtMs: 0, lastAtMs: 0 }
    this.#wires.set(name, wire)
    wire.freeAtMs = Math.max(wire.freeAtMs, nowMs) + (bytes / bandwidth) * 1_000
    const travelMs = this.#latencyMs(from, to) + jitterMs * this.#random.fraction()
    wire.lastAtMs = Math.max(wire.lastAtMs, wire.freeAtMs + travelMs)
    this.#clock.after(wire.lastAtMs - nowMs, () => {
      if (this.#isReachable(from, to)) deliver()
    })
  }

  /** Connections that nothing can pass are given up after a while, unless it passes again. */
  #dropDeadLinks(): void {
    const dead = [...this.#links.values()].filter(link => !this.#isPassable(link))
    this.#clock.after(this.#deadAfterMs, () => {
      for (const link of dead) {
        const { dialer, answerer } = link
        const name = pairOf(dialer, answerer)
        if (this.#links.get(name) !== link || this.#isPassable(link)) continue
        this.#links.delete(name)
        this.#networks.get(dialer)?.drop(answerer, link)
        this.#networks.get(answerer)?.drop(dialer, link)
      }
    })
  }

  #isPassable({ dialer, answerer }: MemoryLink): boolean {
    return this.#isReachable(dialer, answerer)
  }

  #isReachable(a: PeerId, b: PeerId): boolean {
    if (this.#frozen.has(a) || this.#frozen.has(b)) return false
    return (this.#sides.get(a) ?? 0) === (this.#sides.get(b) ?? 0)
  }

  get #deadAfterMs(): number {
    return this.#options.deadAfterMs ?? 10_000
  }

  #isLost(): boolean {
    const { lossRatio = 0 } = this.#options
    return lossRatio > 0 && this.#random.fraction() < lossRatio
  }

  #latencyMs(from: PeerId, to: PeerId): number {
    const { latencyMs = 0 } = this.#options
    return typeof latencyMs === 'number' ? latencyMs : latencyMs(from, to)
  }
}

export function otherEnd(link: MemoryLink, end: PeerId): PeerId {
  return link.dialer === end ? link.answerer : link.dialer
}

function pairOf(a: PeerId, b: PeerId): string {
  return a < b ? `${a} ${b}` : `${b} ${a}`
}
