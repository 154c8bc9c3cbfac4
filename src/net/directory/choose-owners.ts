import { createHash } from 'node:crypto'
import type { PeerId } from '../../interface/network.ts'
import type { LookupKey } from '../../key/response-key.ts'

/** Owners of one key: any one of them can answer, so two may die at the same time. */
export const ownersPerKey = 3

/** 64 bits, as two unsigned halves: what peers and keys are mixed by. */
export interface Point {
  readonly high: number
  readonly low: number
}

export interface Member extends Point {
  readonly peer: PeerId
}

/** A member and its score for the key at hand. */
export interface Owner {
  readonly member: Member
  readonly score: number
}

/** What happened to the members, where `members` are all that there are now. */
export interface MemberChange {
  readonly members: readonly Member[]
  readonly joined: readonly Member[]
  readonly left: ReadonlySet<PeerId>
}

/** The first 8 bytes of SHA-256("hyperspace/owner/1" ‖ peer id). */
export function memberOf(peer: PeerId): Member {
  const digest = createHash('sha256').update('hyperspace/owner/1').update(peer).digest()
  return { peer, high: digest.readUInt32BE(0), low: digest.readUInt32BE(4) }
}

/** A look-up key is a SHA-256 digest itself: its first 8 bytes. */
export function pointOf(key: LookupKey): Point {
  return {
    high: Number.parseInt(key.slice(0, 8), 16),
    low: Number.parseInt(key.slice(8, 16), 16),
  }
}

/**
 * Rendezvous score of a member for a key, a whole number below 2^53: the halves of both points,
 * XORed and mixed.
 *
 * A node with 100,000 keys computes millions of scores when members come and go, and a SHA-256 each
 * would take seconds. Both points come out of SHA-256, so all that is left to do is to make the
 * order of members for one key independent of their order for another, which two finalisers of 32
 * bits do (by L. Wellons and A. Appleby). Whoever wants to own one certain key has to try about as
 * many identities as there are members, as with any hash: that is what three owners are for.
 */
export function ownerScore(member: Point, key: Point): number {
  let first = member.high ^ key.high
  first = Math.imul(first ^ (first >>> 16), 0x21f0_aaad)
  first = Math.imul(first ^ (first >>> 15), 0x735a_2d97)
  first ^= first >>> 15
  let second = member.low ^ key.low ^ first
  second = Math.imul(second ^ (second >>> 16), 0x85eb_ca6b)
  second = Math.imul(second ^ (second >>> 13), 0xc2b2_ae35)
  second ^= second >>> 16
  return (second >>> 0) * 0x20_0000 + (first >>> 11)
}

/** The members with the highest scores, best first; fewer where there are fewer. */
export function chooseOwners(
  key: Point,
  members: readonly Member[],
  scoreOf: typeof ownerScore = ownerScore,
): readonly Owner[] {
  const owners: Owner[] = []
  for (const member of members) insertOwner(owners, member, scoreOf(member, key))
  return owners
}

/**
 * The owners after members came or went: what `chooseOwners` says over the new members, at the cost
 * of one score per member that joined. Only where an owner left, all are looked at. Returns the
 * very same list where nothing changed.
 */
export function moveOwners(
  owners: readonly Owner[],
  key: Point,
  { members, joined, left }: MemberChange,
): readonly Owner[] {
  if (owners.some(({ member }) => left.has(member.peer))) return chooseOwners(key, members)
  let moved: Owner[] | undefined
  for (const member of joined) {
    const last = owners[ownersPerKey - 1]
    const score = ownerScore(member, key)
    if (last !== undefined && !isBefore(score, member, last)) continue
    moved ??= [...owners]
    insertOwner(moved, member, score)
  }
  return moved ?? owners
}

/** Puts a member in its place among the best, and drops the last when there are too many. */
function insertOwner(owners: Owner[], member: Member, score: number): void {
  const last = owners[ownersPerKey - 1]
  if (last !== undefined && !isBefore(score, member, last)) return
  let position = owners.length
  while (position > 0) {
    const above = owners[position - 1]
    if (above === undefined || !isBefore(score, member, above)) break
    position -= 1
  }
  owners.splice(position, 0, { member, score })
  if (owners.length > ownersPerKey) owners.pop()
}

/** Equal scores are decided by the peer id, so that all nodes decide alike. */
function isBefore(score: number, member: Member, other: Owner): boolean {
  return score > other.score || (score === other.score && member.peer < other.member.peer)
}
