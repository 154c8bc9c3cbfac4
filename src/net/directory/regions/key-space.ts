import { createHash, hash } from 'node:crypto'
import type { PeerId } from '../../../interface/network.ts'
import { multihashOfPeerId } from '../../../key/peer-id.ts'
import type { LookupKey } from '../../../key/response-key.ts'
import type { Member, Point } from '../choose-owners.ts'

/**
 * The space in which the swarm's hash table measures distance (see `PeerDiscovery`): unlike in
 * rendezvous hashing, members near one key are near its neighbours too.
 */
export function placeOfPeer(peer: PeerId): Member {
  const digest = createHash('sha256').update(multihashOfPeerId(peer)).digest()
  return { peer, high: digest.readUInt32BE(0), low: digest.readUInt32BE(4) }
}

export function placeOfKey(key: LookupKey): Point {
  const digest = hash('sha256', Buffer.from(key, 'hex'), 'hex')
  return {
    high: Number.parseInt(digest.slice(0, 8), 16),
    low: Number.parseInt(digest.slice(8, 16), 16),
  }
}

/** The nearer, the higher: a score for `chooseOwners`, a whole number below 2^53. */
export function closeness(a: Point, b: Point): number {
  const high = (a.high ^ b.high) >>> 0
  const low = (a.low ^ b.low) >>> 0
  return Number.MAX_SAFE_INTEGER - (high * 0x20_0000 + (low >>> 11))
}

/** How many leading bits two places have in common; at most 32 are looked at. */
export function sharedBits(a: Point, b: Point): number {
  return Math.clz32(a.high ^ b.high)
}

/** A number for the places that begin with the same bits; at most 32. */
export function prefixId(place: Point, bits: number): number {
  const prefix = bits === 0 ? 0 : place.high >>> (32 - bits)
  return bits * 0x1_0000_0000 + prefix
}
