import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { testKeys } from '../../interface/directory.compliance.ts'
import type { PeerId } from '../../interface/network.ts'
import type { LookupKey } from '../../key/response-key.ts'
import {
  directoryAnnounceBurst,
  directoryAnnouncePerSecond,
  directoryProvidersMax,
  directoryRecordsMax,
  directoryRecordsPerPeerMax,
} from '../../limits.ts'
import { addToSum, emptyKeySum } from '../../wire/directory-messages.ts'
import { OwnedRecords } from './owned-records.ts'

const a = 'a' as PeerId
const b = 'b' as PeerId
const [one, two, three] = testKeys('record', 3) as readonly [LookupKey, LookupKey, LookupKey]

function announce(
  added: readonly LookupKey[],
  removed: readonly LookupKey[] = [],
  isReset = false,
) {
  return { type: 'announce', isReset, regionalSeconds: 0, added, removed } as const
}

function records(): OwnedRecords {
  return new OwnedRecords({ leaseMs: 1_000_000, graceMs: 10_000 })
}

describe('OwnedRecords', () => {
  it('says what it holds of a provider, and of nobody else', () => {
    const owned = records()
    owned.apply(b, announce([three]), 0)
    const { isRefused, held } = owned.apply(a, announce([one, two, one]), 0)
    assert.equal(isRefused, false)
    assert.deepEqual(held, [one, two].reduce(addToSum, emptyKeySum))
    assert.deepEqual(owned.apply(a, announce([], [one, three]), 0).held, addToSum(emptyKeySum, two))
    assert.deepEqual(owned.apply(a, announce([three], [], true), 0).held.count, 1)
    assert.deepEqual(
      [one, two, three].map(key => owned.providersOf(key)),
      [[], [], [b, a]],
    )
    assert.equal(owned.size, 2)
  })

  it('records end with their lease, which every announcement renews', () => {
    const owned = records()
    owned.apply(a, announce([one]), 0)
    owned.apply(a, announce([]), 900_000)
    owned.sweep(1_899_999)
    assert.deepEqual(owned.providersOf(one), [a])
    owned.sweep(1_900_000)
    assert.deepEqual(owned.providersOf(one), [])
    assert.equal(owned.size, 0)
  })

  it('a provider that is disconnected is not named, and forgotten after the grace time', () => {
    const owned = records()
    owned.apply(a, announce([one]), 0)
    owned.disconnected(a, 1_000)
    assert.deepEqual(owned.providersOf(one), [])
    owned.sweep(10_999)
    owned.connected(a)
    assert.deepEqual(owned.providersOf(one), [a])
    owned.disconnected(a, 20_000)
    owned.sweep(30_000)
    owned.connected(a)
    assert.deepEqual(owned.providersOf(one), [])
    assert.equal(owned.size, 0)
  })

  it('refuses a flood of announcements, and those of that peer only', () => {
    const owned = records()
    for (let index = 0; index < directoryAnnounceBurst; index++) {
      assert.equal(owned.apply(a, announce([]), 0).isRefused, false)
    }
    assert.equal(owned.apply(a, announce([one]), 0).refusal, 'announce_flood')
    assert.deepEqual(owned.providersOf(one), [])
    assert.equal(owned.apply(b, announce([one]), 0).refusal, undefined)
    const later = 1_000 / directoryAnnouncePerSecond
    assert.equal(owned.apply(a, announce([]), later).refusal, undefined)
    assert.equal(owned.apply(a, announce([]), later).refusal, 'announce_flood')
  })

  it('holds so many records of one provider, and so many in all', () => {
    const owned = records()
    const fill = (peer: PeerId, count: number, nowMs: number): boolean =>
      owned.apply(peer, announce(testKeys(`of ${peer}`, count)), nowMs).isRefused
    assert.equal(fill(a, directoryRecordsPerPeerMax, 0), false)
    assert.equal(fill(a, directoryRecordsPerPeerMax + 1, 0), true)
    assert.equal(owned.size, directoryRecordsPerPeerMax)
    assert.equal(owned.apply(b, announce([one]), 0).isRefused, false)
    assert.ok(directoryRecordsMax >= 8 * directoryRecordsPerPeerMax)
  })

  it('records of whoever does without a full mesh outlast its connection, not its lease', () => {
    const owned = records()
    owned.apply(a, { ...announce([one, two]), regionalSeconds: 60 }, 0)
    owned.apply(b, announce([one]), 0)
    owned.disconnected(a, 0)
    assert.deepEqual(owned.providersOf(one), [b, a], 'those that are connected come first')
    owned.sweep(999_999)
    assert.deepEqual(owned.providersOf(two), [a])
    owned.sweep(1_000_000)
    assert.deepEqual(owned.providersOf(two), [])
    owned.apply(a, { ...announce([one]), regionalSeconds: 60 }, 1_000_000)
    owned.apply(a, announce([]), 1_000_000)
    owned.disconnected(a, 1_000_000)
    owned.sweep(1_010_000)
    assert.deepEqual(owned.providersOf(one), [], 'it went back to a full mesh')
  })

  it('names some of many providers, other ones each time', () => {
    const owned = records()
    const peers = Array.from({ length: 50 }, (_, index) => `peer${index}` as PeerId)
    for (const peer of peers) owned.apply(peer, announce([one]), 0)
    const named = new Set<PeerId>()
    for (let round = 0; round < 8; round++) {
      const some = owned.providersOf(one)
      assert.equal(new Set(some).size, directoryProvidersMax)
      for (const peer of some) named.add(peer)
    }
    assert.equal(named.size, peers.length)
  })
})
