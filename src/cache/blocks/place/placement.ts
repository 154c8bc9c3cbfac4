import { hash } from 'node:crypto'
import type { PeerId } from '../../../interface/network.ts'
import { KiB, MiB } from '../../../limits.ts'
import type { StripeId } from '../../../wire/manifest.ts'

/** So many shards in all, of which any `dataShards` give the block back. */
export interface Code {
  readonly dataShards: number
  readonly shards: number
}

/** A peer that shards can be placed on. */
export interface PlacementCandidate {
  readonly peer: PeerId
  /** Of its address; undefined where that tells nothing of who fails together. */
  readonly subnet: string | undefined
  /** How long it has been connected. */
  readonly connectedMs: number
  /** What is thought of it, 0 where nothing is known (trust/reputation.ts). */
  readonly score: number
}

/** Below this a shard would hardly be larger than what is said about it. */
const replicatedBytesMax = 256 * KiB
const mediumBytesMax = 4 * MiB
const replicas = 3
/** Fewer peers cannot hold two shards' loss of three: copies are simpler and cost no more. */
const coderPeersMin = 4
const mediumCode: Code = { dataShards: 4, shards: 8 }
const largeCode: Code = { dataShards: 8, shards: 14 }

/**
 * How to code a block by its size (DESIGN §6; research/erasure-and-placement.md §6), shrunk to so
 * many peers that each holds another shard: then at least half of the shards may be lost. Pure.
 */
export function planCode(objectBytes: number, peerCount: number): Code {
  if (objectBytes < replicatedBytesMax || peerCount < coderPeersMin) {
    return { dataShards: 1, shards: Math.max(1, Math.min(replicas, peerCount)) }
  }
  const code = objectBytes <= mediumBytesMax ? mediumCode : largeCode
  if (peerCount >= code.shards) return code
  return { dataShards: Math.min(code.dataShards, peerCount >> 1), shards: peerCount }
}

/**
 * Sessions of this age are likely to last (Stutzbach and Rejaie, IMC 2006; research §5: of holders
 * 4 h old 86 % are there 8 h later, of any 80 %).
 */
const elderMs = 4 * 3_600_000
/** So many points of reputation double a peer's share of shards, or halve it. */
const pointsPerDoubling = 20
const weightMin = 1 / 8
const weightMax = 2

/** What is to be placed, and where some of it is already. */
export interface PlacementWish {
  readonly stripe: StripeId
  readonly indices: readonly number[]
  /** Where other shards of the stripe are. */
  readonly usedSubnets?: ReadonlySet<string>
}

/**
 * Which peer holds which shard: near the shard's own point by weighted rendezvous hashing, so that
 * no neighbourhood can be taken over to get at a whole stripe. Each shard on another peer, on other
 * subnets as far as they go round, on those that have been there for long where they are enough.
 * Shards that nobody is left for are left out. Pure.
 */
export function planPlacement(
  { stripe, indices, usedSubnets = new Set() }: PlacementWish,
  candidates: readonly PlacementCandidate[],
): ReadonlyMap<number, PeerId> {
  const elders = candidates.filter(({ connectedMs }) => connectedMs >= elderMs)
  const pool = (elders.length >= indices.length ? elders : candidates).map(candidate => ({
    ...candidate,
    point: pointOf(candidate.peer),
    weight: weightOf(candidate.score),
  }))
  const plan = new Map<number, PeerId>()
  const peers = new Set<PeerId>()
  const subnets = new Set(usedSubnets)
  for (const index of indices) {
    const shard = pointOf(`hyperspace/shard/1 ${stripe} ${index}`)
    const free = pool.filter(({ peer }) => !peers.has(peer))
    const apart = free.filter(({ subnet }) => subnet === undefined || !subnets.has(subnet))
    const chosen = best(apart.length > 0 ? apart : free, shard)
    if (chosen === undefined) break
    plan.set(index, chosen.peer)
    peers.add(chosen.peer)
    if (chosen.subnet !== undefined) subnets.add(chosen.subnet)
  }
  return plan
}

interface Point {
  readonly high: number
  readonly low: number
}

interface Weighted extends PlacementCandidate {
  readonly point: Point
  readonly weight: number
}

function best(candidates: readonly Weighted[], shard: Point): Weighted | undefined {
  let chosen: Weighted | undefined
  let chosenScore = Number.NEGATIVE_INFINITY
  for (const candidate of candidates) {
    // D. Thaler and C. Ravishankar 1998, weighted as by J. Resch: −w / ln u.
    const score = -candidate.weight / Math.log(fractionOf(candidate.point, shard))
    if (score <= chosenScore) continue
    chosen = candidate
    chosenScore = score
  }
  return chosen
}

function weightOf(score: number): number {
  return Math.min(weightMax, Math.max(weightMin, 2 ** (score / pointsPerDoubling)))
}

function pointOf(text: string): Point {
  const digest = hash('sha256', text, 'buffer')
  return { high: digest.readUInt32BE(0), low: digest.readUInt32BE(4) }
}

/** In (0, 1). Both points are digests already: all that is left is to mix them. */
function fractionOf(a: Point, b: Point): number {
  let mixed = a.high ^ b.high
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85eb_ca6b)
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2_ae35)
  mixed ^= (mixed >>> 16) ^ a.low ^ b.low
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x21f0_aaad)
  mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a_2d97)
  return (((mixed ^ (mixed >>> 15)) >>> 0) + 0.5) / 0x1_0000_0000
}
