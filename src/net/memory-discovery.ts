import { createHash } from 'node:crypto'
import type { PeerDiscovery } from '../interface/discovery.ts'
import type { PeerId } from '../interface/network.ts'
import { multihashOfPeerId } from '../key/peer-id.ts'
import { type Clock, delay } from '../std/clock.ts'
import type { SeededRandom } from '../std/seeded-random.ts'
import type { AbortOptions } from '../std/signal.ts'
import type { MemoryNetwork } from './memory-network.ts'
import { peerError } from './peer-error.ts'

export interface MemoryTableComponents {
  readonly clock: Clock
  readonly random: SeededRandom
}

export interface MemoryTableOptions {
  /** How long a walk takes. */
  readonly walkMs: number
  /** Members that a walk names. */
  readonly namedMax: number
  /** Chance that a walk misses one of them. */
  readonly missRatio: number
}

interface Entry {
  readonly network: MemoryNetwork
  readonly place: Uint8Array
}

/**
 * The simulated twin of the swarm's hash table: it knows which nodes of a `MemoryWorld` run. What
 * real walks cost is in their time only, and in `walksOf`.
 */
export class MemoryTable {
  readonly #parts: MemoryTableComponents
  readonly #options: MemoryTableOptions
  readonly #entries = new Map<PeerId, Entry>()
  readonly #providers = new Map<string, Set<PeerId>>()
  readonly #walks = new Map<PeerId, number>()

  constructor(components: MemoryTableComponents, options: Partial<MemoryTableOptions> = {}) {
    this.#parts = components
    this.#options = { walkMs: 50, namedMax: 20, missRatio: 0, ...options }
  }

  /** How many walks a node has begun. */
  walksOf(peer: PeerId): number {
    return this.#walks.get(peer) ?? 0
  }

  /** Puts a node on the table, and lets it look there. */
  discoveryOf(network: MemoryNetwork): PeerDiscovery {
    const place = sha256(multihashOfPeerId(network.self))
    this.#entries.set(network.self, { network, place })
    return {
      closestPeers: (key, options) => this.#closest(network, key, options),
      reach: async (peer, { signal }) => {
        if (!this.#isRunning(peer)) throw peerError('peer_unreachable')
        await network.connect(`/memory/${peer}`, { signal })
      },
      provide: async key => {
        const id = Buffer.from(key).toString('hex')
        const providers = this.#providers.get(id) ?? new Set()
        this.#providers.set(id, providers.add(network.self))
      },
      withdraw: async key => {
        this.#providers.get(Buffer.from(key).toString('hex'))?.delete(network.self)
      },
      findProviders: (key, options) => this.#find(network, key, options),
    }
  }

  async *#closest(
    asker: MemoryNetwork,
    key: Uint8Array,
    { signal }: AbortOptions,
  ): AsyncGenerator<PeerId> {
    if (!(await this.#isWalked(asker, signal))) return
    const place = sha256(key)
    const { namedMax, missRatio } = this.#options
    const running = [...this.#entries.values()]
      .filter(({ network }) => network !== asker && this.#isRunning(network.self))
      .map(entry => ({ ...entry, distance: distance(entry.place, place) }))
      .sort((a, b) => Buffer.compare(a.distance, b.distance))
    for (const { network } of running.slice(0, namedMax)) {
      if (this.#parts.random.fraction() >= missRatio) yield network.self
    }
  }

  async *#find(
    asker: MemoryNetwork,
    key: Uint8Array,
    { signal }: AbortOptions,
  ): AsyncGenerator<PeerId> {
    if (!(await this.#isWalked(asker, signal))) return
    for (const peer of this.#providers.get(Buffer.from(key).toString('hex')) ?? []) {
      if (this.#isRunning(peer)) yield peer
    }
  }

  /** Whether it came to its end. */
  async #isWalked({ self }: MemoryNetwork, signal: AbortSignal): Promise<boolean> {
    this.#walks.set(self, this.walksOf(self) + 1)
    await delay(this.#parts.clock, this.#options.walkMs, signal).catch(() => undefined)
    return !signal.aborted
  }

  #isRunning(peer: PeerId): boolean {
    return (this.#entries.get(peer)?.network.addresses().length ?? 0) > 0
  }
}

function sha256(bytes: Uint8Array): Uint8Array {
  return createHash('sha256').update(bytes).digest()
}

function distance(a: Uint8Array, b: Uint8Array): Uint8Array {
  return a.map((byte, index) => byte ^ (b[index] ?? 0))
}
