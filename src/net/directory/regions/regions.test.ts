import assert from 'node:assert/strict'
import { afterEach, describe, it } from 'node:test'
import fc from 'fast-check'
import { testKeys } from '../../../interface/directory.compliance.ts'
import { silentLog } from '../../../interface/log.ts'
import type { PeerId } from '../../../interface/network.ts'
import { peerIdOfPublicKey } from '../../../key/peer-id.ts'
import { directoryRegionPeersMax, directoryWalksMax } from '../../../limits.ts'
import { VirtualClock } from '../../../std/clock.ts'
import { SeededRandom } from '../../../std/seeded-random.ts'
import { TaskScope } from '../../../std/task-scope.ts'
import { chooseOwners, type Member } from '../choose-owners.ts'
import { Members } from '../members.ts'
import { closeness, placeOfKey, placeOfPeer, prefixId, sharedBits } from './key-space.ts'
import { Regions } from './regions.ts'

const { signal } = new AbortController()
const random = new SeededRandom(1)
const [self, ...others] = Array.from({ length: 400 }, () =>
  placeOfPeer(peerIdOfPublicKey(random.bytes(32))),
)
const keys = testKeys('in a region', 300)

function peersNear(
  place: Member | ReturnType<typeof placeOfKey>,
  all: readonly Member[],
): PeerId[] {
  return chooseOwners(place, all, closeness).map(({ member }) => member.peer)
}

/** A key space with these members, whose walks are exact and counted. */
function bed(all: readonly Member[], walk: () => Promise<void> = async () => undefined) {
  assert.ok(self)
  const clock = new VirtualClock()
  const scope = new TaskScope((_, error) => assert.fail(String(error)))
  const counts = { walks: 0 }
  const alive = new Set(all)
  const discovery = {
    async *closestPeers(key: Uint8Array) {
      counts.walks += 1
      await walk()
      const place = placeOfKey(Buffer.from(key).toString('hex') as (typeof keys)[number])
      const near = [...alive].sort((a, b) => closeness(b, place) - closeness(a, place))
      for (const { peer } of near.slice(0, directoryRegionPeersMax)) yield peer
    },
  }
  const members = new Members(self.peer)
  members.join(self.peer)
  const parts = { self: self.peer, clock, log: silentLog, scope, members, discovery }
  const regions = new Regions(parts, { lifeMs: 600_000 })
  return { clock, scope, counts, alive, members, regions }
}

describe('Regions', () => {
  let close = async (): Promise<void> => undefined
  afterEach(() => close())

  it('choose the same owners as one who knows all, whoever was looked for first', async () => {
    const swarm = fc.integer({ min: 1, max: others.length })
    const order = fc.shuffledSubarray([...keys], { minLength: 60, maxLength: 60 })
    await fc.assert(
      fc.asyncProperty(swarm, order, async (count, asked) => {
        const all = others.slice(0, count)
        const { regions, counts, scope } = bed(all)
        for (const key of asked) {
          const region = await regions.locate(key, signal)
          assert.ok(region)
          const place = placeOfKey(key)
          const within = all.filter(
            member => prefixId(member, region.bits) === prefixId(place, region.bits),
          )
          // Fewer members than owners in one region are as rare as three walks that fail.
          if (within.length < 3 && count > directoryRegionPeersMax) continue
          assert.deepEqual(peersNear(place, region.members), peersNear(place, all))
        }
        assert.ok(counts.walks <= Math.max(12, count / 4), `${counts.walks} walks for ${count}`)
        await scope.close()
      }),
      { numRuns: 30 },
    )
  })

  it('look-ups at the same time share walks, and only so many go on at once', async () => {
    const gate = Promise.withResolvers<void>()
    const { regions, counts, scope } = bed(others, () => gate.promise)
    close = () => scope.close()
    const located = Promise.all(keys.map(key => regions.locate(key, signal)))
    assert.ok(counts.walks <= directoryWalksMax)
    gate.resolve()
    assert.ok((await located).every(region => region !== undefined))
    assert.ok(counts.walks <= 100, `${counts.walks} walks`)
  })

  it('a look-up ends with its signal, and after a walk that found nobody', async () => {
    const gate = Promise.withResolvers<void>()
    const slow = bed(others, () => gate.promise)
    const controller = new AbortController()
    const [key] = keys
    assert.ok(key)
    const located = slow.regions.locate(key, controller.signal)
    controller.abort()
    assert.equal(await located, undefined)
    gate.resolve()
    await slow.scope.close()
    const empty = bed([])
    assert.equal(await empty.regions.locate(key, signal), undefined)
    assert.equal(await empty.regions.locate(key, signal), undefined)
    assert.equal(empty.counts.walks, 1)
    await empty.scope.close()
  })

  it('a lost member is left out until it is seen again', async () => {
    const { regions, scope, clock } = bed(others)
    close = () => scope.close()
    const [key] = keys
    assert.ok(key)
    const [nearest, second] = (await regions.nearest(key, signal)) ?? []
    assert.ok(nearest)
    regions.takeChanged()
    regions.lose(nearest)
    assert.equal((await regions.nearest(key, signal))?.[0], second)
    assert.equal(regions.takeChanged().size, 1)
    regions.regain(nearest)
    assert.equal((await regions.nearest(key, signal))?.[0], nearest)
    regions.lose(nearest)
    clock.advance(600_000)
    regions.tick(clock.monotonicMs())
    await scope.drain()
    assert.equal((await regions.nearest(key, signal))?.[0], nearest)
  })

  it('regions in use are looked for again, and others forgotten', async () => {
    const { regions, scope, clock, counts, alive } = bed(others)
    close = () => scope.close()
    for (const key of keys) await regions.locate(key, signal)
    const [walks, count] = [counts.walks, regions.size]
    for (const member of others.slice(200)) alive.delete(member)
    for (let minute = 0; minute < 10; minute++) {
      clock.advance(61_000)
      for (let turn = 0; turn < 100; turn++) {
        regions.tick(clock.monotonicMs())
        await scope.drain()
      }
    }
    assert.ok(counts.walks > walks)
    assert.ok(regions.size < count, 'a smaller swarm has fewer regions')
    clock.advance(1_200_000)
    regions.tick(clock.monotonicMs())
    assert.equal(regions.size, 0)
  })

  it('in a swarm that is just forming, members that were missed come soon', async () => {
    const { regions, scope, clock, alive, members } = bed(others.slice(0, 1))
    close = () => scope.close()
    const [key] = keys
    assert.ok(key)
    assert.equal((await regions.nearest(key, signal))?.length, 1)
    for (const member of others.slice(0, 12)) {
      alive.add(member)
      members.join(member.peer)
    }
    clock.advance(2_000)
    regions.tick(clock.monotonicMs())
    await scope.drain()
    assert.equal((await regions.nearest(key, signal))?.length, 12)
  })
})

describe('the key space', () => {
  it('orders members by the XOR of all their bits', () => {
    const [one, other] = others
    assert.ok(self && one && other)
    const isNearer = closeness(one, self) > closeness(other, self)
    const [a, b] = [one, other].map(
      ({ high, low }) => (BigInt((high ^ self.high) >>> 0) << 32n) + BigInt((low ^ self.low) >>> 0),
    )
    assert.ok(a !== undefined && b !== undefined)
    assert.equal(isNearer, a < b)
    assert.equal(sharedBits({ high: 0b1010 << 28, low: 0 }, { high: 0b1011 << 28, low: 0 }), 3)
    assert.equal(prefixId({ high: 0xf000_0000, low: 0 }, 0), 0)
  })
})
