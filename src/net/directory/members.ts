import type { PeerId } from '../../interface/network.ts'
import type { LookupKey } from '../../key/response-key.ts'
import { directoryAskAllMax, membersMax } from '../../limits.ts'
import { chooseOwners, type Member, memberOf, pointOf } from './choose-owners.ts'

/** The members that this node knows: itself and those connected now. */
export class Members {
  readonly #self: PeerId
  readonly #ownersMax: number
  readonly #members = new Map<PeerId, Member>()
  #all: readonly Member[] | undefined
  #owners: readonly Member[] | undefined

  /** Past `ownersMax` members only some of them own keys. */
  constructor(self: PeerId, ownersMax: number = membersMax) {
    this.#self = self
    this.#ownersMax = ownersMax
  }

  get size(): number {
    return this.#members.size
  }

  has(peer: PeerId): boolean {
    return this.#members.has(peer)
  }

  join(peer: PeerId): void {
    this.#members.set(peer, memberOf(peer))
    this.#all = undefined
    this.#owners = undefined
  }

  leave(peer: PeerId): void {
    this.#members.delete(peer)
    this.#all = undefined
    this.#owners = undefined
  }

  clear(): void {
    this.#members.clear()
    this.#all = undefined
    this.#owners = undefined
  }

  /** Whether there are more members than all nodes can be connected with. */
  get isCrowded(): boolean {
    return this.#members.size > this.#ownersMax
  }

  /** Whether connections are so few that none has to be given up for another one. */
  get hasRoom(): boolean {
    return this.#members.size <= this.#ownersMax * 0.75
  }

  peers(): Iterable<PeerId> {
    return this.#members.keys()
  }

  /** The same list until somebody joins or leaves. */
  all(): readonly Member[] {
    this.#all ??= [...this.#members.values()]
    return this.#all
  }

  /**
   * Members that own keys: all, or past the limit the first of them in the order of their
   * points, which is the same order everywhere. The same list until somebody joins or leaves.
   */
  owners(): readonly Member[] {
    if (this.#owners !== undefined) return this.#owners
    const members = this.all()
    this.#owners =
      members.length <= this.#ownersMax
        ? members
        : members.toSorted((a, b) => a.high - b.high || a.low - b.low).slice(0, this.#ownersMax)
    return this.#owners
  }

  /** Who can know the providers of a key, but this node. */
  peersToAsk(key: LookupKey): readonly PeerId[] {
    const members = this.owners()
    const asked = isSmall(members)
      ? members
      : chooseOwners(pointOf(key), members).map(({ member }) => member)
    return asked.map(({ peer }) => peer).filter(peer => peer !== this.#self)
  }
}

/** Whether everybody is asked for every key, and nothing needs to be announced. */
export function isSmall(members: readonly Member[]): boolean {
  return members.length <= directoryAskAllMax
}
