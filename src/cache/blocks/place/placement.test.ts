import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { peerIdOfPublicKey } from '../../../key/peer-id.ts'
import { KiB, MiB, sealedBlockBytesMax } from '../../../limits.ts'
import { parseStripeId, type StripeId } from '../../../wire/manifest.ts'
import { type PlacementCandidate, planCode, planPlacement } from './placement.ts'
import { subnetOf } from './subnet.ts'

const dayMs = 86_400_000
const hourMs = 3_600_000

function candidate(number: number, more: Partial<PlacementCandidate> = {}): PlacementCandidate {
  const peer = peerIdOfPublicKey(Buffer.alloc(32, `peer ${number} `))
  return { peer, subnet: undefined, connectedMs: dayMs, score: 0, ...more }
}

function stripe(number: number): StripeId {
  return parseStripeId(Buffer.alloc(32, `stripe ${number} `)) ?? assert.fail()
}

function upTo(count: number): readonly number[] {
  return Array.from({ length: count }, (_, index) => index)
}

describe('planCode()', () => {
  it('goes by size where there are peers enough', () => {
    assert.deepEqual(planCode(256 * KiB - 1, 100), { dataShards: 1, shards: 3 })
    assert.deepEqual(planCode(256 * KiB, 100), { dataShards: 4, shards: 8 })
    assert.deepEqual(planCode(4 * MiB, 8), { dataShards: 4, shards: 8 })
    assert.deepEqual(planCode(4 * MiB + 1, 14), { dataShards: 8, shards: 14 })
  })

  it('shrinks to the peers that there are, and to copies where they are few', () => {
    const codes = upTo(14).map(peers => {
      const { dataShards, shards } = planCode(8 * MiB, peers)
      return `${dataShards}/${shards}`
    })
    assert.deepEqual(codes.slice(0, 9), [
      '1/1',
      '1/1',
      '1/2',
      '1/3',
      '2/4',
      '2/5',
      '3/6',
      '3/7',
      '4/8',
    ])
    assert.equal(codes[13], '6/13')
  })

  it('never needs more peers than there are, and survives the loss of half of the shards', () => {
    const bytes = fc.integer({ min: 1, max: sealedBlockBytesMax })
    fc.assert(
      fc.property(bytes, fc.integer({ min: 1, max: 1_000 }), (objectBytes, peers) => {
        const { dataShards, shards } = planCode(objectBytes, peers)
        assert.ok(shards <= peers && shards >= 1 && dataShards >= 1)
        assert.ok(shards - dataShards >= Math.floor(shards / 2) - 1)
        // Two of three copies may go, and at least one peer wherever there are two.
        if (peers > 1) assert.ok(shards > dataShards)
      }),
    )
  })
})

const candidates = fc
  .array(
    fc.record({
      subnet: fc.option(fc.constantFrom('a', 'b', 'c', 'd'), { nil: undefined }),
      connectedMs: fc.constantFrom(0, hourMs, dayMs),
      score: fc.integer({ min: -200, max: 20 }),
    }),
    { maxLength: 40 },
  )
  .map(list => list.map((each, number) => candidate(number, each)))

describe('planPlacement()', () => {
  it('gives each shard another peer, as many shards as it can', () => {
    fc.assert(
      fc.property(candidates, fc.integer({ min: 1, max: 14 }), (peers, count) => {
        const plan = planPlacement({ stripe: stripe(1), indices: upTo(count) }, peers)
        assert.equal(plan.size, Math.min(count, peers.length))
        assert.equal(new Set(plan.values()).size, plan.size)
      }),
    )
  })

  it('goes round the subnets before it uses one twice, used ones last', () => {
    fc.assert(
      fc.property(candidates, fc.integer({ min: 1, max: 14 }), (peers, count) => {
        const old = peers.map(peer => ({ ...peer, connectedMs: dayMs }))
        const plan = planPlacement({ stripe: stripe(2), indices: upTo(count) }, old)
        const apart = old.filter(({ subnet }) => subnet === undefined).length
        const subnets = new Set(old.flatMap(({ subnet }) => subnet ?? []))
        const bySubnet = Map.groupBy(
          old.filter(({ peer }) => [...plan.values()].includes(peer)),
          ({ subnet }) => subnet,
        )
        bySubnet.delete(undefined)
        if (count <= apart + subnets.size) {
          assert.ok([...bySubnet.values()].every(list => list.length === 1))
        }
      }),
    )
    const peers = [candidate(1, { subnet: 'a' }), candidate(2, { subnet: 'b' })]
    const wish = { indices: [0], usedSubnets: new Set(['a']) }
    for (const number of upTo(20)) {
      const plan = planPlacement({ ...wish, stripe: stripe(number) }, peers)
      assert.equal(plan.get(0), peers[1]?.peer)
    }
  })

  it('takes peers that have been there for long where they are enough', () => {
    const old = upTo(4).map(number => candidate(number))
    const young = upTo(40).map(number => candidate(100 + number, { connectedMs: hourMs }))
    const chosen = (count: number): ReadonlySet<string> =>
      new Set(
        planPlacement({ stripe: stripe(3), indices: upTo(count) }, [...young, ...old]).values(),
      )
    assert.deepEqual(chosen(4), new Set(old.map(({ peer }) => peer)))
    assert.equal(chosen(5).size, 5)
  })

  it('is the same whatever the order, even over the peers, and moves little when one leaves', () => {
    const peers = upTo(20).map(number => candidate(number))
    const counts = new Map<string, number>()
    let moved = 0
    for (const number of upTo(400)) {
      const wish = { stripe: stripe(number), indices: upTo(4) }
      const plan = planPlacement(wish, peers)
      assert.deepEqual(planPlacement(wish, peers.toReversed()), plan)
      for (const peer of plan.values()) counts.set(peer, (counts.get(peer) ?? 0) + 1)
      const [gone] = plan.values()
      const left = planPlacement(
        wish,
        peers.filter(({ peer }) => peer !== gone),
      )
      moved += [...plan].filter(([index, peer]) => left.get(index) !== peer).length
    }
    const mean = (400 * 4) / 20
    for (const count of counts.values()) assert.ok(count > 0.6 * mean && count < 1.5 * mean)
    assert.ok(moved < 400 * 1.5, `${moved} of 1,600 moved`)
  })

  it('gives less to whom went wrong, and more to whom did well', () => {
    const scores = [-60, 0, 20]
    const peers = upTo(30).map(number => candidate(number, { score: scores[number % 3] ?? 0 }))
    const counts = [0, 0, 0]
    for (const number of upTo(600)) {
      for (const peer of planPlacement({ stripe: stripe(number), indices: [0] }, peers).values()) {
        const at = peers.findIndex(other => other.peer === peer) % 3
        counts[at] = (counts[at] ?? 0) + 1
      }
    }
    const [bad = 0, unknown = 0, good = 0] = counts
    assert.ok(bad < 0.3 * unknown && good > 1.5 * unknown, `${counts}`)
  })
})

describe('subnetOf()', () => {
  it('is /24 of IPv4 and /48 of IPv6, and nothing where it says nothing', () => {
    for (const [address, subnet] of [
      ['/ip4/203.0.113.77/tcp/4001/p2p/x', '203.0.113.0/24'],
      ['/ip4/172.32.0.1/tcp/1', '172.32.0.0/24'],
      ['/ip4/100.128.0.1/tcp/1', '100.128.0.0/24'],
      ['/ip4/127.0.0.1/tcp/1', undefined],
      ['/ip4/10.1.2.3/tcp/1', undefined],
      ['/ip4/172.16.0.1/tcp/1', undefined],
      ['/ip4/192.168.1.1/tcp/1', undefined],
      ['/ip4/169.254.1.1/tcp/1', undefined],
      ['/ip4/100.64.1.1/tcp/1', undefined],
      ['/ip4/999.1.1.1/tcp/1', undefined],
      ['/ip6/2001:db8:7:8::1/tcp/1', '2001:db8:7::/48'],
      ['/ip6/2001:db8::1/tcp/1', '2001:db8:0::/48'],
      ['/ip6/::1/tcp/1', undefined],
      ['/ip6/fe80::1/tcp/1', undefined],
      ['/ip6/fd00::1/tcp/1', undefined],
      ['/dns4/example.org/tcp/1', undefined],
      ['/memory/x', undefined],
      ['', undefined],
    ] as const) {
      assert.equal(subnetOf({ address, isRelayed: false }), subnet, address)
    }
    assert.equal(subnetOf({ address: '/ip4/203.0.113.77/tcp/1', isRelayed: true }), undefined)
  })
})
