import type { ShardCoder } from '../../../erasure/coder/shard-coder.ts'
import type { Log } from '../../../interface/log.ts'
import type { Network, PeerId } from '../../../interface/network.ts'
import { type BlockHash, blockLookupKey } from '../../../key/block-hash.ts'
import type { LookupKey } from '../../../key/response-key.ts'
import {
  expectedSendersMax,
  findBlocksMax,
  manifestAsksMax,
  negativeKeysMax,
  negativeMs,
} from '../../../limits.ts'
import type { Clock } from '../../../std/clock.ts'
import { Lru } from '../../../std/lru.ts'
import { countOf } from '../shard-mask.ts'
import type { FindBlocksOptions, FoundBlock, FoundRun } from '../swarm-blocks.ts'
import type { BlockLookups } from './block-lookups.ts'
import { type FoundStripe, givenBy } from './found-stripe.ts'
import type { PeerRates } from './peer-rates.ts'

export interface BlockFinderComponents {
  readonly lookups: BlockLookups
  readonly rates: PeerRates
  readonly network: Network
  readonly coder: ShardCoder
  readonly clock: Clock
  readonly log: Log
}

export const emptyRun: FoundRun = { blocks: [], bytes: 0, bandwidth: 0, latencyMs: 0 }

/** Chains up to this length are asked for at once: a question for each end would cost more. */
const shortChain = 16
/** Each question for more of a chain is so many times as long as the one before. */
const roundGrowth = 4
/** Bytes per second of what is on this node's own disk. */
const diskBandwidth = 1_000_000_000

/** Finds the longest run of leading blocks that the swarm can give. */
export class BlockFinder {
  readonly #parts: BlockFinderComponents
  /** Until when (monotonic ms) nobody is believed to have a block. */
  readonly #negative = new Lru<LookupKey, number>(negativeKeysMax)
  readonly #stripes = new WeakMap<FoundBlock, readonly FoundStripe[]>()

  constructor(components: BlockFinderComponents) {
    this.#parts = components
  }

  /** How a block of a run can be had; nothing for one that was not found here. */
  stripesOf(block: FoundBlock): readonly FoundStripe[] {
    return this.#stripes.get(block) ?? []
  }

  /** Somebody has it now. */
  forget(key: LookupKey): void {
    this.#negative.delete(key)
  }

  get hasPeers(): boolean {
    return this.#parts.lookups.hasPeers
  }

  /** @throws the signal's reason, and nothing else */
  async find(hashes: readonly BlockHash[], options: FindBlocksOptions): Promise<FoundRun> {
    try {
      return await this.#find(hashes, options)
    } catch (error) {
      options.signal.throwIfAborted()
      this.#parts.log.warn('blocks not looked for', { error })
      return emptyRun
    }
  }

  async #find(
    hashes: readonly BlockHash[],
    { signal, deadlineMs }: FindBlocksOptions,
  ): Promise<FoundRun> {
    const { clock, lookups } = this.#parts
    const endMs = clock.monotonicMs() + deadlineMs
    const leftMs = (): number => endMs - clock.monotonicMs()
    const keys = this.#notMissing(hashes.map(blockLookupKey))
    const reach = lookups.asksEverybody ? keys.length : await this.#reach(keys, { signal, leftMs })
    const found: FoundBlock[] = []
    const onOffers = this.#expecting()
    let roundKeys = lookups.asksEverybody ? manifestAsksMax : findBlocksMax
    while (found.length < reach && leftMs() > 0) {
      const round = keys.slice(found.length, Math.min(reach, found.length + roundKeys))
      const options = { signal, deadlineMs: leftMs(), onOffers }
      const { stripes, isComplete } = await lookups.collect(round, options)
      const missing = round.findIndex(key => !stripes.has(key))
      const run = missing === -1 ? round : round.slice(0, missing)
      for (const key of run) found.push(this.#block(hashes[found.length], stripes.get(key) ?? []))
      const missingKey = round[missing]
      if (missingKey === undefined) roundKeys = Math.min(findBlocksMax, roundKeys * roundGrowth)
      else {
        if (isComplete) this.#negative.set(missingKey, clock.monotonicMs() + negativeMs, 1)
        break
      }
    }
    if (found.some(block => this.#takesDecoding(block))) this.#parts.coder.warmUp()
    return this.#runOf(found)
  }

  /** While it is checked what they offer, and decided, a connection to them can be opened. */
  #expecting(): (peer: PeerId) => void {
    const expected = new Set<PeerId>()
    return peer => {
      if (expected.has(peer) || expected.size >= expectedSendersMax) return
      expected.add(peer)
      this.#parts.network.expectBytes(peer)
    }
  }

  /** Parts that somebody cuts off the block itself are only put together. */
  #takesDecoding(block: FoundBlock): boolean {
    const [best] = this.stripesOf(block)
    if (best === undefined || best.stripe.manifest.dataShards === 1) return false
    return !best.holders.some(({ isWhole }) => isWhole)
  }

  /** Up to the first key that nobody had a moment ago. */
  #notMissing(keys: readonly LookupKey[]): readonly LookupKey[] {
    const nowMs = this.#parts.clock.monotonicMs()
    const first = keys.findIndex(key => (this.#negative.get(key) ?? 0) > nowMs)
    return first === -1 ? keys : keys.slice(0, first)
  }

  /**
   * How far a chain may reach: by asking the directory at 0, 1, 3, 7, 15, … at once. Whoever has a
   * block has mostly had those before it.
   */
  async #reach(
    keys: readonly LookupKey[],
    { signal, leftMs }: { readonly signal: AbortSignal; readonly leftMs: () => number },
  ): Promise<number> {
    if (keys.length <= shortChain) return keys.length
    const probes: number[] = []
    for (let index = 0; index < keys.length; index = 2 * index + 1) probes.push(index)
    const { lookups, clock } = this.#parts
    const asked = probes.flatMap(index => keys[index] ?? [])
    const known = await lookups.known(asked, { signal, deadlineMs: leftMs() / 3 })
    const missing = asked.findIndex(key => !known.has(key))
    if (missing === -1) return keys.length
    if (missing === 0 && asked[0] !== undefined) {
      this.#negative.set(asked[0], clock.monotonicMs() + negativeMs, 1)
    }
    return probes[missing] ?? keys.length
  }

  #block(hash: BlockHash | undefined, stripes: readonly FoundStripe[]): FoundBlock {
    const [best] = stripes
    if (hash === undefined || best === undefined) throw new RangeError('This block was not found')
    const { objectBytes, issuer } = best.stripe.manifest
    const block: FoundBlock = { hash, bytes: objectBytes, issuer }
    this.#stripes.set(block, stripes)
    return block
  }

  /**
   * Blocks that are fetched together come from all of their holders at once: of as many of the best
   * as there are shards to fetch.
   */
  #runOf(blocks: readonly FoundBlock[]): FoundRun {
    const [first, ...others] = blocks.map(block => this.#sourcesOf(block))
    if (first === undefined) return emptyRun
    const { rates } = this.#parts
    const all = [first, ...others]
    const peers = new Set(all.flatMap(sources => sources.peers))
    const transfers = all.reduce((sum, { needed }) => sum + needed, 0)
    const remote = all.reduce((sum, { remoteBytes }) => sum + remoteBytes, 0)
    const bytes = blocks.reduce((sum, block) => sum + block.bytes, 0)
    const ranked = [...peers].toSorted((a, b) => rates.bandwidthOf(b) - rates.bandwidthOf(a))
    const seconds =
      remote === 0
        ? bytes / diskBandwidth
        : remote / rates.bandwidthTogether(ranked.slice(0, transfers))
    const nearest = first.peers.map(peer => rates.roundTripMs(peer)).toSorted((a, b) => a - b)
    const latencyMs = nearest[first.needed - 1] ?? 0
    return { blocks, bytes, bandwidth: bytes / seconds, latencyMs }
  }

  /** How much of a block is not here, and who can give it. */
  #sourcesOf(block: FoundBlock): BlockSources {
    const { network } = this.#parts
    const [best] = this.stripesOf(block)
    if (best === undefined) return { needed: 0, remoteBytes: 0, peers: [] }
    const { holders, stripe } = best
    const { dataShards } = stripe.manifest
    const self = holders.find(({ peer }) => peer === network.self)
    const here = self === undefined ? 0 : countOf(givenBy(self, stripe.manifest))
    const needed = Math.max(0, dataShards - here)
    const peers = holders.map(({ peer }) => peer).filter(peer => peer !== network.self)
    return { needed, remoteBytes: (block.bytes * needed) / dataShards, peers }
  }
}

interface BlockSources {
  /** Shards to fetch. */
  readonly needed: number
  readonly remoteBytes: number
  readonly peers: readonly PeerId[]
}
