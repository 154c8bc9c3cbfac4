import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { testKeys } from '../../interface/directory.compliance.ts'
import type { PeerId } from '../../interface/network.ts'
import { peerIdOfPublicKey } from '../../key/peer-id.ts'
import { SeededRandom } from '../../std/seeded-random.ts'
import {
  chooseOwners,
  type Member,
  memberOf,
  moveOwners,
  type Owner,
  ownerScore,
  ownersPerKey,
  type Point,
  pointOf,
} from './choose-owners.ts'

const random = new SeededRandom(1)
const everybody = Array.from({ length: 64 }, () => memberOf(peerIdOfPublicKey(random.bytes(32))))
const keys = testKeys('owner', 4_000).map(pointOf)

const point = fc.record({ high: fc.nat({ max: 0xffff_ffff }), low: fc.nat({ max: 0xffff_ffff }) })
const swarm = fc.uniqueArray(fc.constantFrom(...everybody), { selector: member => member.peer })
/** Points out of few, so that scores are equal now and then. */
const crowd = fc
  .array(fc.record({ high: fc.nat({ max: 1 }), low: fc.nat({ max: 1 }) }))
  .map(points => points.map((at, index): Member => ({ ...at, peer: `peer${index}` as PeerId })))

/** The dumb twin: sorts all members. */
function sortedOwners(key: Point, members: readonly Member[]): readonly PeerId[] {
  const compare = (a: Member, b: Member): number =>
    ownerScore(b, key) - ownerScore(a, key) || (a.peer < b.peer ? -1 : 1)
  return members
    .toSorted(compare)
    .slice(0, ownersPerKey)
    .map(({ peer }) => peer)
}

function peersOf(owners: readonly Owner[]): readonly PeerId[] {
  return owners.map(({ member }) => member.peer)
}

describe('chooseOwners', () => {
  it('takes those that come first when all are sorted', () => {
    fc.assert(
      fc.property(point, fc.oneof(swarm, crowd), (key, members) => {
        assert.deepEqual(peersOf(chooseOwners(key, members)), sortedOwners(key, members))
      }),
    )
  })

  it('does not depend on the order in which members are known', () => {
    fc.assert(
      fc.property(point, fc.oneof(swarm, crowd), (key, members) => {
        assert.deepEqual(chooseOwners(key, members.toReversed()), chooseOwners(key, members))
      }),
    )
  })

  it('scores are whole numbers below 2^53', () => {
    fc.assert(
      fc.property(point, point, (member, key) => {
        const score = ownerScore(member, key)
        assert.ok(Number.isSafeInteger(score) && score >= 0)
      }),
    )
  })

  it('gives every member about the same share, in every place, and of every pair', () => {
    const shares = new Map<string, number>()
    const count = (name: string): void => {
      shares.set(name, (shares.get(name) ?? 0) + 1)
    }
    const members = everybody.slice(0, 16)
    for (const key of keys) {
      const peers = peersOf(chooseOwners(key, members))
      for (const [place, peer] of peers.entries()) count(`${place} ${peer}`)
      count(`pair ${peers.slice(0, 2).sort().join(' ')}`)
    }
    const expectedOf = (name: string): number =>
      name.startsWith('pair') ? keys.length / ((16 * 15) / 2) : keys.length / 16
    const names = [...shares.keys()]
    assert.equal(names.length, 3 * 16 + (16 * 15) / 2)
    for (const name of names) {
      const expected = expectedOf(name)
      const difference = Math.abs((shares.get(name) ?? 0) - expected)
      // Six standard deviations; the keys are fixed, so this holds or it does not.
      assert.ok(difference < 6 * Math.sqrt(expected), `${name}: ${shares.get(name)} keys`)
    }
  })

  it('a member that joins moves only the keys that it owns now', () => {
    const [newcomer, ...members] = everybody
    assert.ok(newcomer)
    let movedCount = 0
    for (const key of keys) {
      const before = peersOf(chooseOwners(key, members))
      const after: readonly PeerId[] = peersOf(chooseOwners(key, [newcomer, ...members]))
      if (!after.includes(newcomer.peer)) assert.deepEqual(after, before)
      else {
        movedCount += 1
        const others: readonly PeerId[] = after.filter(peer => peer !== newcomer.peer)
        assert.deepEqual(others, before.slice(0, ownersPerKey - 1))
      }
    }
    const expected = (keys.length * ownersPerKey) / everybody.length
    assert.ok(Math.abs(movedCount - expected) < 6 * Math.sqrt(expected), `${movedCount} moved`)
  })
})

describe('moveOwners', () => {
  it('ends where chooseOwners ends, whoever came and went', () => {
    fc.assert(
      fc.property(point, fc.oneof(swarm, crowd), fc.infiniteStream(fc.nat(2)), (key, all, fate) => {
        const fates = new Map(all.map(member => [member, [...fate.take(1)][0] ?? 0]))
        const is = (...kinds: readonly number[]): Member[] =>
          all.filter(member => kinds.includes(fates.get(member) ?? 0))
        const members = is(1, 2)
        const left = new Set(is(0).map(({ peer }) => peer))
        const before = chooseOwners(key, is(0, 1))
        const after = moveOwners(before, key, { members, joined: is(2), left })
        assert.deepEqual(after, chooseOwners(key, members))
        const isSame = peersOf(before).join() === peersOf(after).join()
        const hadLoss = peersOf(before).some(peer => left.has(peer))
        if (isSame && !hadLoss) assert.equal(after, before)
      }),
    )
  })
})
