import type { PeerDiscovery } from '../../../interface/discovery.ts'
import type { Log } from '../../../interface/log.ts'
import type { PeerId } from '../../../interface/network.ts'
import type { LookupKey } from '../../../key/response-key.ts'
import {
  directoryRegionPeersMax,
  directoryRegionsMax,
  directoryWalksMax,
  directoryWalkTimeoutMs,
  membersMax,
} from '../../../limits.ts'
import type { Clock } from '../../../std/clock.ts'
import { Lru } from '../../../std/lru.ts'
import { linkSignal } from '../../../std/signal.ts'
import type { TaskScope } from '../../../std/task-scope.ts'
import { settledBefore } from '../arrivals.ts'
import type { Member, Point } from '../choose-owners.ts'
import type { Members } from '../members.ts'
import { closeness, placeOfKey, placeOfPeer, prefixId, sharedBits } from './key-space.ts'

export interface RegionsComponents {
  readonly self: PeerId
  readonly clock: Clock
  readonly log: Log
  readonly scope: TaskScope
  readonly members: Members
  readonly discovery: Pick<PeerDiscovery, 'closestPeers'>
}

export interface RegionsOptions {
  /** Age at which a region is looked for again; at twice that it is forgotten. */
  readonly lifeMs: number
}

/** The members nearest to all keys whose places begin with the same bits. */
export interface Region {
  readonly id: number
  readonly bits: number
  /** The key that was looked for. */
  readonly anchor: LookupKey
  readonly named: readonly Member[]
  readonly foundAtMs: number
  /** When to look again, should members be lacking. */
  readonly pauseMs: number
  /** Those of `named` that are not known to be gone. */
  members: readonly Member[]
  /** Whether anybody asked for it since it was found. */
  isUsed: boolean
}

/** Pause after a walk that found nobody. */
const barrenMs = 5_000
/** Fewer members that are there are a reason to look again. */
const membersMin = 6
/** Pause before it; it doubles each time that members are lacking still. */
const firstPauseMs = 2_000

/**
 * What is known of the key space (ADR 0005). One walk to a key names the members nearest to it, and
 * with the farthest of them it shows how large a part of the space they are all members of: every
 * key there has its owners among them, and costs no walk. The more members the swarm has, the
 * smaller the part is; nobody needs to know how many there are.
 */
export class Regions {
  readonly #parts: RegionsComponents
  readonly #options: RegionsOptions
  readonly #regions = new Map<number, Region>()
  /** Lengths of the prefixes of `#regions`, longest first. */
  #lengths: readonly number[] = []
  /** Length of the last region's prefix: that of the others will be about the same. */
  #bitsExpected = 0
  readonly #walks = new Map<number, Promise<void>>()
  /** Until when (monotonic ms) no walk is tried again. */
  readonly #barren = new Lru<number, number>(directoryRegionsMax)
  /** When members were last named, by any walk: one walk may miss some. The newest are last. */
  readonly #named = new Map<PeerId, { readonly member: Member; readonly atMs: number }>()
  /** Members that could not be reached, until they are seen again. */
  readonly #lost = new Lru<PeerId, true>(membersMax)
  #changed = new Set<number>()

  constructor(components: RegionsComponents, options: RegionsOptions) {
    this.#parts = components
    this.#options = options
  }

  get size(): number {
    return this.#regions.size
  }

  /** The region of a place, if it is known. */
  covering(place: Point): Region | undefined {
    const region = this.#lookUp(place)
    if (region !== undefined) region.isUsed = true
    return region
  }

  /**
   * The region of a key, looked for where it is not known. Undefined when none is found in time.
   */
  async locate(key: LookupKey, signal: AbortSignal): Promise<Region | undefined> {
    const place = placeOfKey(key)
    while (!signal.aborted) {
      const region = this.covering(place)
      if (region !== undefined) return region
      const walk = this.#walkTo(key, place)
      if (walk !== undefined) {
        await settledBefore(walk.done, signal)
        if (walk.isOwn) return this.covering(place)
      } else if (this.#walks.size === 0) return undefined
      else await settledBefore(Promise.race(this.#walks.values()), signal)
    }
    return undefined
  }

  /** Members nearest to a key, the nearest first; undefined when none is found in time. */
  async nearest(key: LookupKey, signal: AbortSignal): Promise<readonly PeerId[] | undefined> {
    const region = await this.locate(key, signal)
    if (region === undefined) return undefined
    const place = placeOfKey(key)
    return region.members
      .toSorted((a, b) => closeness(b, place) - closeness(a, place))
      .map(({ peer }) => peer)
  }

  /** Begins to look for the region of a key, if there is a free place for it now. */
  request(key: LookupKey, place: Point): void {
    this.#walkTo(key, place)
  }

  /** Looks again for regions in use that are old or lack members, and forgets the others. */
  tick(nowMs: number): void {
    const { lifeMs } = this.#options
    for (const [id, region] of this.#regions) {
      const ageMs = nowMs - region.foundAtMs
      const isOld = ageMs >= (this.#isLacking(region) ? Math.min(region.pauseMs, lifeMs) : lifeMs)
      if (ageMs >= 2 * lifeMs) this.#forget(id)
      else if (isOld && region.isUsed) this.#walkTo(region.anchor, placeOfKey(region.anchor))
    }
  }

  /** A member cannot be reached. */
  lose(peer: PeerId): void {
    this.#lost.set(peer, true, 1)
    this.#review(peer)
  }

  /** A member is there, which may have been lost. */
  regain(peer: PeerId): void {
    if (this.#lost.delete(peer)) this.#review(peer)
  }

  isLost(peer: PeerId): boolean {
    return this.#lost.peek(peer) === true
  }

  /** Regions whose members are not the same as when this was last asked; also those forgotten. */
  takeChanged(): ReadonlySet<number> {
    const changed = this.#changed
    this.#changed = new Set()
    return changed
  }

  clear(): void {
    for (const id of [...this.#regions.keys()]) this.#forget(id)
    this.#named.clear()
    this.#lost.clear()
    this.#barren.clear()
    this.#bitsExpected = 0
  }

  /** Whether members were missed, as in a swarm that is just forming, or are gone since. */
  #isLacking({ named, members }: Region): boolean {
    const others = this.#parts.members.size - 1
    return (
      named.length < Math.min(others, directoryRegionPeersMax) ||
      members.length < Math.min(membersMin, named.length)
    )
  }

  #review(peer: PeerId): void {
    for (const region of this.#regions.values()) {
      if (!region.named.some(member => member.peer === peer)) continue
      region.members = this.#present(region.named)
      this.#changed.add(region.id)
    }
  }

  #present(named: readonly Member[]): readonly Member[] {
    return named.filter(({ peer }) => !this.isLost(peer))
  }

  /** The walk that may bring the region of a place; undefined where none can begin now. */
  #walkTo(
    anchor: LookupKey,
    place: Point,
  ): { readonly done: Promise<void>; readonly isOwn: boolean } | undefined {
    const { clock, scope } = this.#parts
    const id = prefixId(place, this.#bitsExpected)
    const running = this.#walks.get(id)
    if (running !== undefined) return { done: running, isOwn: false }
    const isBarren = (this.#barren.get(id) ?? 0) > clock.monotonicMs()
    if (isBarren || this.#walks.size >= directoryWalksMax || scope.signal.aborted) return undefined
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#walks.set(id, promise)
    scope.spawn('walk to a region', async signal => {
      try {
        const found = await this.#walk(anchor, place, signal)
        if (!found) this.#barren.set(id, clock.monotonicMs() + barrenMs, 1)
      } finally {
        this.#walks.delete(id)
        resolve()
      }
    })
    return { done: promise, isOwn: true }
  }

  /** Whether it came to an end and found somebody. */
  async #walk(anchor: LookupKey, place: Point, signal: AbortSignal): Promise<boolean> {
    const { clock, log, discovery, self } = this.#parts
    const linked = linkSignal(clock, [signal], directoryWalkTimeoutMs)
    const peers = new Set<PeerId>()
    try {
      const key = Buffer.from(anchor, 'hex')
      for await (const peer of discovery.closestPeers(key, { signal: linked.signal })) {
        if (peer !== self) peers.add(peer)
        if (peers.size >= 2 * directoryRegionPeersMax) break
      }
    } catch (error) {
      if (!linked.signal.aborted) log.debug('walk to a region failed', { error })
      return false
    } finally {
      linked[Symbol.dispose]()
    }
    // One that was cut off may have missed the nearest.
    if (linked.signal.aborted || peers.size === 0) return false
    this.#keep(anchor, place, this.#note(peers))
    return true
  }

  /** Members that a walk named, who are there therefore. */
  #note(peers: Iterable<PeerId>): readonly Member[] {
    const atMs = this.#parts.clock.monotonicMs()
    const members = [...peers].map(placeOfPeer)
    for (const member of members) {
      this.#named.delete(member.peer)
      this.#named.set(member.peer, { member, atMs })
      this.regain(member.peer)
    }
    for (const peer of this.#named.keys()) {
      if (this.#named.size <= membersMax) break
      this.#named.delete(peer)
    }
    return members
  }

  /** What a walk to the place named, with what it missed of what others named not long ago. */
  #nearestOf(place: Point, found: readonly Member[]): readonly Member[] {
    const nearness = (member: Member): number => closeness(member, place)
    const farthest = Math.min(...found.map(nearness))
    const sinceMs = this.#parts.clock.monotonicMs() - this.#options.lifeMs / 2
    const all = new Map(found.map(member => [member.peer, member]))
    for (const { member, atMs } of this.#named.values()) {
      const isNear = atMs >= sinceMs && nearness(member) > farthest
      if (isNear && !this.isLost(member.peer)) all.set(member.peer, member)
    }
    return [...all.values()]
      .sort((a, b) => nearness(b) - nearness(a))
      .slice(0, directoryRegionPeersMax)
  }

  #keep(anchor: LookupKey, place: Point, found: readonly Member[]): void {
    const named = this.#nearestOf(place, found)
    const farthest = named.at(-1) ?? place
    // Whoever shares more bits with the key than the farthest is nearer, and was named.
    const bits = Math.min(sharedBits(farthest, place) + 1, 32)
    const id = prefixId(place, bits)
    let pauseMs = firstPauseMs
    for (const region of this.#regions.values()) {
      if (region.anchor === anchor && this.#isLacking(region)) pauseMs = 2 * region.pauseMs
      const isWithin = region.bits > bits && prefixId(placeOfKey(region.anchor), bits) === id
      const isReplaced = region.anchor === anchor && region.id !== id
      if (isWithin || isReplaced) this.#forget(region.id)
    }
    const before = this.#regions.get(id)?.members ?? []
    if (!isSame(before, named)) this.#changed.add(id)
    // As the newest it comes last.
    this.#regions.delete(id)
    const foundAtMs = this.#parts.clock.monotonicMs()
    const region = { id, bits, anchor, named, foundAtMs, pauseMs, members: named, isUsed: false }
    // Whoever asked is not served well yet.
    region.isUsed = this.#isLacking(region)
    this.#regions.set(id, region)
    this.#bitsExpected = bits
    const [oldest] = this.#regions.keys()
    if (this.#regions.size > directoryRegionsMax && oldest !== undefined) this.#forget(oldest)
    this.#lengths = lengthsOf(this.#regions.values())
  }

  #forget(id: number): void {
    const region = this.#regions.get(id)
    if (region === undefined) return
    this.#regions.delete(id)
    this.#lengths = lengthsOf(this.#regions.values())
    this.#changed.add(id)
    const wider = this.#lookUp(placeOfKey(region.anchor))
    if (wider !== undefined) this.#changed.add(wider.id)
  }

  #lookUp(place: Point): Region | undefined {
    for (const bits of this.#lengths) {
      const region = this.#regions.get(prefixId(place, bits))
      if (region !== undefined) return region
    }
    return undefined
  }
}

function lengthsOf(regions: Iterable<Region>): readonly number[] {
  return [...new Set([...regions].map(({ bits }) => bits))].sort((a, b) => b - a)
}

function isSame(before: readonly Member[], after: readonly Member[]): boolean {
  const peers = new Set(before.map(({ peer }) => peer))
  return before.length === after.length && after.every(({ peer }) => peers.has(peer))
}
