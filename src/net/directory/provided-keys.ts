import type { PeerId } from '../../interface/network.ts'
import type { LookupKey } from '../../key/response-key.ts'
import { directoryProvidedMax } from '../../limits.ts'
import {
  chooseOwners,
  type Member,
  type MemberChange,
  moveOwners,
  type Owner,
  type Point,
  pointOf,
} from './choose-owners.ts'
import { isSmall } from './members.ts'
import { type OutboxOptions, OwnerOutbox } from './owner-outbox.ts'
import { closeness, placeOfKey } from './regions/key-space.ts'
import type { Regions } from './regions/regions.ts'

/** What is asked of regions here. */
type KnownRegions = Pick<Regions, 'covering' | 'request' | 'takeChanged'>

interface ProvidedKey {
  /** What owners are chosen by; undefined while they wait to be chosen for the first time. */
  point: Point | undefined
  /** Among all members, who are told; none in a partial mesh, and while everybody is asked. */
  owners: readonly Owner[]
  /** Who was told in a partial mesh, or is about to be. */
  told: readonly OwnerOutbox[]
}

const nobody: readonly never[] = []

/** Keys whose owners are chosen in one go: about 30 ms. */
const chosenAtOnceMax = 8_192

/**
 * The keys that this node announces, and which owners are to be told of them: rendezvous owners
 * among all members, or in a partial mesh the nearest in each key's region. A member that joins or
 * leaves moves only the keys that it owns now or owned.
 */
export class ProvidedKeys {
  readonly #self: PeerId
  readonly #options: OutboxOptions
  readonly #keys = new Map<LookupKey, ProvidedKey>()
  readonly #outboxes = new Map<PeerId, OwnerOutbox>()
  /** Keys whose owners are still to be chosen. */
  readonly #waiting = new Set<LookupKey>()
  #members: readonly Member[] = []
  /** In a partial mesh. */
  #regions: KnownRegions | undefined

  constructor(self: PeerId, options: OutboxOptions) {
    this.#self = self
    this.#options = options
  }

  get size(): number {
    return this.#keys.size
  }

  has(key: LookupKey): boolean {
    return this.#keys.has(key)
  }

  /** How many were refused because there are too many. */
  add(keys: readonly LookupKey[]): number {
    let refusedCount = 0
    for (const key of keys) {
      if (this.#keys.has(key)) continue
      if (this.#keys.size >= directoryProvidedMax) {
        refusedCount += 1
        continue
      }
      this.#keys.set(key, { point: undefined, owners: nobody, told: nobody })
      this.#waiting.add(key)
    }
    return refusedCount
  }

  remove(keys: readonly LookupKey[]): void {
    for (const key of keys) {
      const { owners, told } = this.#keys.get(key) ?? { owners: nobody, told: nobody }
      for (const { member } of owners) this.#outboxes.get(member.peer)?.withdraw(key)
      for (const outbox of told) outbox.withdraw(key)
      this.#keys.delete(key)
      this.#waiting.delete(key)
    }
  }

  /**
   * Sets who is there now, all connected with all; `returned` were away for a moment and may have
   * forgotten everything.
   */
  setMembers(members: readonly Member[], returned: ReadonlySet<PeerId>): void {
    if (this.#regions !== undefined) {
      this.#leaveRegions(members)
      return
    }
    const before = new Set(this.#members.map(({ peer }) => peer))
    const after = new Set(members.map(({ peer }) => peer))
    const joined = members.filter(({ peer }) => !before.has(peer))
    const left = new Set([...before].filter(peer => !after.has(peer)))
    const wasAnnouncing = this.#isAnnouncing
    this.#members = members
    if (!this.#isAnnouncing) this.#outboxes.clear()
    else {
      for (const peer of left) this.#outboxes.delete(peer)
      for (const { peer } of wasAnnouncing ? joined : members) this.#openOutbox(peer)
      for (const peer of returned) this.#outboxes.get(peer)?.check()
    }
    if (!wasAnnouncing || !this.#isAnnouncing) this.#forgetOwners()
    else if (joined.length + left.size > 0) this.#moveKeys({ members, joined, left })
  }

  /**
   * Lets owners be those of the regions from now on, and follows what became of these. Members that
   * are connected are told of it too, whether or not they own a key.
   */
  setRegions(
    regions: KnownRegions,
    members: readonly Member[],
    returned: ReadonlySet<PeerId>,
  ): void {
    if (this.#regions === undefined) this.#enterRegions(regions)
    if (members !== this.#members) {
      this.#members = members
      for (const { peer } of members) if (!this.#outboxes.has(peer)) this.#openOutbox(peer)
      this.#dropIdle(members)
    }
    for (const peer of returned) this.#outboxes.get(peer)?.check()
    const changed = regions.takeChanged()
    if (changed.size === 0) return
    for (const [key, { point }] of this.#keys) {
      const region = point === undefined ? undefined : regions.covering(point)
      if (region === undefined || changed.has(region.id)) this.#waiting.add(key)
    }
  }

  /** An owner is gone: whoever takes its place is chosen when its regions say so. */
  lose(peer: PeerId): void {
    this.#outboxes.delete(peer)
  }

  /** Chooses owners for keys that have none yet; for some of them, where they are many. */
  chooseOwners(): void {
    if (this.#regions === undefined && !this.#isAnnouncing) return
    let chosenCount = 0
    for (const key of this.#waiting) {
      if (chosenCount >= chosenAtOnceMax) return
      chosenCount += 1
      const provided = this.#keys.get(key)
      const isChosen = provided === undefined || this.#choose(key, provided)
      if (isChosen) this.#waiting.delete(key)
    }
  }

  outboxes(): Iterable<OwnerOutbox> {
    return this.#outboxes.values()
  }

  /** A connection was lost: asks at the next tick what that peer still holds. */
  check(peer: PeerId): void {
    this.#outboxes.get(peer)?.check()
  }

  /** What an owner should hold. */
  *keysOf(peer: PeerId): Generator<LookupKey> {
    const outbox = this.#outboxes.get(peer)
    if (outbox === undefined) return
    for (const [key, { owners, told }] of this.#keys) {
      if (isIn(owners, peer) || told.includes(outbox)) yield key
    }
  }

  get #isAnnouncing(): boolean {
    return !isSmall(this.#members)
  }

  /** Whether it could. */
  #choose(key: LookupKey, provided: ProvidedKey): boolean {
    const regions = this.#regions
    if (regions === undefined) {
      provided.point = pointOf(key)
      provided.owners = chooseOwners(provided.point, this.#members)
      for (const { member } of provided.owners) this.#outboxes.get(member.peer)?.assign(key)
      return true
    }
    provided.point ??= placeOfKey(key)
    const region = regions.covering(provided.point)
    if (region === undefined) {
      regions.request(key, provided.point)
      return false
    }
    this.#tell(key, provided, chooseOwners(provided.point, region.members, closeness))
    return true
  }

  #tell(key: LookupKey, provided: ProvidedKey, owners: readonly Owner[]): void {
    const told: OwnerOutbox[] = []
    for (const { member } of owners) {
      const outbox = this.#outboxes.get(member.peer) ?? this.#openOutbox(member.peer)
      if (outbox !== undefined) told.push(outbox)
    }
    // Whoever was lost and came back meanwhile has a new one, and is told again.
    for (const outbox of provided.told) if (!told.includes(outbox)) outbox.withdraw(key)
    for (const outbox of told) if (!provided.told.includes(outbox)) outbox.assign(key)
    provided.told = told
  }

  /** A new one, of which nothing is told yet; this node itself needs none. */
  #openOutbox(peer: PeerId): OwnerOutbox | undefined {
    if (peer === this.#self) return undefined
    const outbox = new OwnerOutbox(peer, this.#options)
    this.#outboxes.set(peer, outbox)
    return outbox
  }

  /** Outboxes of members that are neither connected nor own anything. */
  #dropIdle(members: readonly Member[]): void {
    const connected = new Set(members.map(({ peer }) => peer))
    for (const { peer, assignedCount } of this.#outboxes.values()) {
      if (assignedCount === 0 && !connected.has(peer)) this.#outboxes.delete(peer)
    }
  }

  /** Who was told stays so until an owner in its region is: nothing is lost meanwhile. */
  #enterRegions(regions: KnownRegions): void {
    this.#regions = regions
    this.#members = []
    for (const [key, provided] of this.#keys) {
      const told = provided.owners.map(({ member }) => this.#outboxes.get(member.peer))
      provided.told = told.filter(outbox => outbox !== undefined)
      provided.point = undefined
      provided.owners = nobody
      this.#waiting.add(key)
    }
    for (const outbox of this.#outboxes.values()) outbox.check()
  }

  /** Everybody learns anew what it holds, also that this is nothing. */
  #leaveRegions(members: readonly Member[]): void {
    this.#regions = undefined
    this.#members = members
    this.#outboxes.clear()
    for (const { peer } of members) this.#openOutbox(peer)
    this.#forgetOwners()
  }

  #forgetOwners(): void {
    for (const [key, provided] of this.#keys) {
      provided.owners = nobody
      provided.told = nobody
      this.#waiting.add(key)
    }
  }

  #moveKeys(change: MemberChange): void {
    for (const [key, provided] of this.#keys) {
      if (provided.point === undefined || this.#waiting.has(key)) continue
      const owners = moveOwners(provided.owners, provided.point, change)
      if (owners === provided.owners) continue
      for (const { member } of provided.owners) {
        if (!isIn(owners, member.peer)) this.#outboxes.get(member.peer)?.withdraw(key)
      }
      for (const { member } of owners) {
        if (!isIn(provided.owners, member.peer)) this.#outboxes.get(member.peer)?.assign(key)
      }
      provided.owners = owners
    }
  }
}

function isIn(owners: readonly Owner[], peer: PeerId): boolean {
  return owners.some(({ member }) => member.peer === peer)
}
