import type { Directory } from '../../../interface/directory.ts'
import type { Log } from '../../../interface/log.ts'
import type { Network, PeerId } from '../../../interface/network.ts'
import type { LookupKey } from '../../../key/response-key.ts'
import { askEverybodyMax, blockProvidersMax, manifestAsksMax } from '../../../limits.ts'
import type { Clock } from '../../../std/clock.ts'
import { linkSignal } from '../../../std/signal.ts'
import type { Reputation } from '../../../trust/reputation.ts'
import type { ManifestAsk } from '../../../wire/block-messages.ts'
import type { HeldShards } from '../hold/held-shards.ts'
import { answersOf } from './answers-of.ts'
import type { FoundStripe } from './found-stripe.ts'
import type { AskOptions, ManifestAsker } from './manifest-asker.ts'
import { CollectedOffers } from './offers.ts'

export interface BlockLookupsComponents {
  readonly network: Network
  readonly directory: Directory
  readonly reputation: Reputation
  readonly held: HeldShards
  readonly asker: ManifestAsker
  readonly clock: Clock
  readonly log: Log
}

export interface LookupOptions {
  readonly signal: AbortSignal
  readonly deadlineMs: number
}

export interface CollectOptions extends LookupOptions {
  /** A peer says that it has some of them, before what it says is checked. */
  readonly onOffers?: (peer: PeerId) => void
}

/** What is known of some keys. */
export interface KeysFound {
  /** Stripes that can be had, the best first; no entry where there are none. */
  readonly stripes: ReadonlyMap<LookupKey, readonly FoundStripe[]>
  /** Whether everybody asked has answered. */
  readonly isComplete: boolean
}

/** Asked of so many of the holders that one failure costs no second round trip. */
const manifestTellersMax = 3
/** Share of the time that the directory may take; what is left is for the holders. */
const directoryShare = 0.5

/** Who has what of blocks: everybody is asked where they are few, else whom the directory names. */
export class BlockLookups {
  readonly #parts: BlockLookupsComponents

  constructor(components: BlockLookupsComponents) {
    this.#parts = components
  }

  /** Whether anybody can be asked. */
  get hasPeers(): boolean {
    const { network, reputation } = this.#parts
    return network.peers().some(({ id }) => !reputation.isQuarantined(id))
  }

  /** Whether everybody is simply asked. */
  get asksEverybody(): boolean {
    const { network, directory } = this.#parts
    return network.peers().length <= askEverybodyMax && !directory.stats().isRegional
  }

  /** All stripes of the keys that can be had now. @throws the signal's reason */
  async collect(keys: readonly LookupKey[], options: CollectOptions): Promise<KeysFound> {
    const { clock } = this.#parts
    const { onOffers } = options
    const startMs = clock.monotonicMs()
    const linked = linkSignal(clock, [options.signal], options.deadlineMs)
    const offers = new CollectedOffers()
    let isComplete = false
    try {
      for (const key of keys) this.#parts.asker.addHeld(key, offers)
      const asks = this.asksEverybody
        ? this.#everybody(keys)
        : await this.#holders(keys, { ...options, signal: linked.signal })
      isComplete = await this.#ask(asks, { keys, offers, onOffers, signal: linked.signal })
      const again = this.#askAgain(offers.withoutManifest(keys))
      const leftMs = options.deadlineMs - (clock.monotonicMs() - startMs)
      if (again.size > 0 && leftMs > 0) {
        await this.#ask(again, { keys, offers, onOffers, signal: linked.signal })
      }
    } finally {
      linked[Symbol.dispose]()
    }
    options.signal.throwIfAborted()
    const found = keys.map(key => [key, offers.stripesOf(key, isComplete)] as const)
    return { stripes: new Map(found.filter(([, list]) => list.length > 0)), isComplete }
  }

  /** Which of the keys anybody is said to hold. @throws the signal's reason */
  async known(
    keys: readonly LookupKey[],
    { signal, deadlineMs }: LookupOptions,
  ): Promise<ReadonlySet<LookupKey>> {
    const { held } = this.#parts
    const known = new Set<LookupKey>()
    const look = async (key: LookupKey): Promise<void> => {
      const isHere = held.stripesOf(key).length > 0
      const peers = isHere ? [] : await this.#providersOf(key, 1, { signal, deadlineMs })
      if (isHere || peers.length > 0) known.add(key)
    }
    await Promise.all(keys.map(look))
    signal.throwIfAborted()
    return known
  }

  #everybody(keys: readonly LookupKey[]): ReadonlyMap<PeerId, readonly ManifestAsk[]> {
    const { network, reputation } = this.#parts
    const asks = keys.map(key => ({ key, wantsManifest: true }))
    const peers = network.peers().map(({ id }) => id)
    return new Map(peers.filter(id => !reputation.isQuarantined(id)).map(id => [id, asks]))
  }

  async #holders(
    keys: readonly LookupKey[],
    { signal, deadlineMs }: LookupOptions,
  ): Promise<ReadonlyMap<PeerId, readonly ManifestAsk[]>> {
    const asks = new Map<PeerId, ManifestAsk[]>()
    const options = { signal, deadlineMs: deadlineMs * directoryShare }
    const look = async (key: LookupKey): Promise<void> => {
      const peers = await this.#providersOf(key, blockProvidersMax, options)
      for (const [rank, peer] of this.#ranked(peers).entries()) {
        const list = asks.get(peer) ?? []
        list.push({ key, wantsManifest: rank < manifestTellersMax })
        asks.set(peer, list)
      }
    }
    await Promise.all(keys.map(look))
    return asks
  }

  /** Never rejects: who is known by the time that it ends is told. */
  async #providersOf(
    key: LookupKey,
    countMax: number,
    options: LookupOptions,
  ): Promise<readonly PeerId[]> {
    const peers: PeerId[] = []
    try {
      for await (const peer of this.#parts.directory.find(key, options)) {
        peers.push(peer)
        if (peers.length >= countMax) break
      }
    } catch (error) {
      const { log } = this.#parts
      if (!options.signal.aborted) log.warn('directory look-up failed', { error })
    }
    return peers
  }

  #ranked(peers: readonly PeerId[]): readonly PeerId[] {
    const { network, reputation } = this.#parts
    const roundTrips = new Map(network.peers().map(({ id, roundTripMs }) => [id, roundTripMs]))
    return reputation.rank(peers, peer => roundTrips.get(peer))
  }

  /** Whoever said that it has something, now for the manifest. */
  #askAgain(
    tellers: ReadonlyMap<LookupKey, readonly PeerId[]>,
  ): ReadonlyMap<PeerId, readonly ManifestAsk[]> {
    const { network } = this.#parts
    const asks = new Map<PeerId, ManifestAsk[]>()
    for (const [key, peers] of tellers) {
      const others = this.#ranked(peers.filter(peer => peer !== network.self))
      for (const peer of others.slice(0, manifestTellersMax)) {
        asks.set(peer, [...(asks.get(peer) ?? []), { key, wantsManifest: true }])
      }
    }
    return asks
  }

  /** Whether all have answered, or failed, before there was enough or the time was over. */
  async #ask(
    asks: ReadonlyMap<PeerId, readonly ManifestAsk[]>,
    { keys, offers, onOffers, signal }: AskKeysOptions,
  ): Promise<boolean> {
    const { clock, asker } = this.#parts
    const ended = new AbortController()
    const linked = linkSignal(clock, [signal, ended.signal])
    const answers: Promise<void>[] = []
    for (const [peer, list] of asks) {
      for (let start = 0; start < list.length; start += manifestAsksMax) {
        const batch = list.slice(start, start + manifestAsksMax)
        answers.push(asker.ask(peer, batch, { offers, onOffers, signal: linked.signal }))
      }
    }
    try {
      let ample = 0
      const isEnough = (): boolean => {
        for (let key = keys[ample]; key !== undefined && offers.isAmple(key); key = keys[ample]) {
          ample += 1
        }
        return ample === keys.length
      }
      return await answersOf(answers, { clock, isEnough, signal })
    } finally {
      ended.abort(new DOMException('Enough is known', 'AbortError'))
      linked[Symbol.dispose]()
      await Promise.all(answers)
    }
  }
}

interface AskKeysOptions extends AskOptions {
  readonly keys: readonly LookupKey[]
}
