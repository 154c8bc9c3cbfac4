import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { testKeys } from '../../interface/directory.compliance.ts'
import { peerIdOfPublicKey } from '../../key/peer-id.ts'
import type { LookupKey } from '../../key/response-key.ts'
import { SeededRandom } from '../../std/seeded-random.ts'
import { chooseOwners, type Member, memberOf, pointOf } from './choose-owners.ts'
import { ProvidedKeys } from './provided-keys.ts'
import { closeness, placeOfKey, placeOfPeer } from './regions/key-space.ts'
import type { Region } from './regions/regions.ts'

const random = new SeededRandom(1)
const [self, ...others] = Array.from({ length: 16 }, () =>
  memberOf(peerIdOfPublicKey(random.bytes(32))),
)
const keys = testKeys('provided', 30)
const options = { intervalMs: 1_000, renewAfterMs: 900_000 }

const step = fc.oneof(
  fc.record({ type: fc.constantFrom('add', 'remove'), keys: fc.subarray([...keys]) }),
  fc.record({ type: fc.constant('members'), members: fc.subarray(others, { minLength: 5 }) }),
  fc.record({ type: fc.constant('choose') }),
)

const places = others.map(({ peer }) => placeOfPeer(peer))
const regionalStep = fc.oneof(
  step.filter(({ type }) => type !== 'members'),
  fc.record({ type: fc.constantFrom('full mesh', 'regions') }),
  fc.record({ type: fc.constant('walk'), region: fc.subarray(places) }),
  fc.record({ type: fc.constant('lose'), lost: fc.constantFrom(...places) }),
)

/** One region that covers everything. */
class FakeRegions {
  members: readonly Member[]
  #isChanged = false

  constructor(members: readonly Member[]) {
    this.members = members
  }

  set(members: readonly Member[]): void {
    this.members = members
    this.#isChanged = true
  }

  covering(): Region {
    const { members } = this
    const anchor = keys[0] ?? assert.fail()
    const times = { foundAtMs: 0, pauseMs: 0, isUsed: true }
    return { id: 0, bits: 0, anchor, named: members, members, ...times }
  }

  request(): void {
    assert.fail('everything is covered')
  }

  takeChanged(): ReadonlySet<number> {
    const changed = this.#isChanged
    this.#isChanged = false
    return new Set(changed ? [0] : [])
  }
}

describe('ProvidedKeys', () => {
  it('every owner is to be told of what it owns, whatever happened before', () => {
    assert.ok(self)
    fc.assert(
      fc.property(fc.array(step), steps => {
        const provided = new ProvidedKeys(self.peer, options)
        const wanted = new Set<LookupKey>()
        let members = [self]
        for (const { type, ...rest } of steps) {
          const changed = 'keys' in rest ? rest.keys : []
          if (type === 'add') for (const key of changed) wanted.add(key)
          if (type === 'add') provided.add(changed)
          if (type === 'remove') for (const key of changed) wanted.delete(key)
          if (type === 'remove') provided.remove(changed)
          if (type === 'choose') provided.chooseOwners()
          if ('members' in rest) {
            members = [self, ...rest.members]
            provided.setMembers(members, new Set())
          }
        }
        provided.chooseOwners()
        assert.equal(provided.size, wanted.size)
        const isAnnouncing = members.length > 8
        const outboxes = new Map([...provided.outboxes()].map(outbox => [outbox.peer, outbox]))
        const told = isAnnouncing ? members.filter(({ peer }) => peer !== self.peer) : []
        assert.deepEqual([...outboxes.keys()].sort(), told.map(({ peer }) => peer).sort())
        for (const { peer } of told) {
          const expected = [...wanted].filter(key =>
            chooseOwners(pointOf(key), members).some(({ member }) => member.peer === peer),
          )
          assert.deepEqual([...provided.keysOf(peer)].sort(), expected.sort())
          assert.equal(outboxes.get(peer)?.assignedCount, expected.length)
        }
      }),
    )
  })

  it('in a partial mesh every owner in a region is to be told of what it owns there', () => {
    assert.ok(self)
    fc.assert(
      fc.property(fc.array(regionalStep, { maxLength: 60, size: 'max' }), steps => {
        const provided = new ProvidedKeys(self.peer, options)
        const world = new FakeRegions(places)
        const wanted = new Set<LookupKey>(keys)
        provided.add(keys)
        for (const { type, ...rest } of steps) {
          const changed = 'keys' in rest ? rest.keys : []
          if (type === 'add') for (const key of changed) wanted.add(key)
          if (type === 'add') provided.add(changed)
          if (type === 'remove') for (const key of changed) wanted.delete(key)
          if (type === 'remove') provided.remove(changed)
          if (type === 'choose') provided.chooseOwners()
          if (type === 'full mesh') provided.setMembers([self, ...others], new Set())
          if (type === 'regions') provided.setRegions(world, [self], new Set())
          if ('region' in rest) world.set(rest.region)
          if ('lost' in rest) {
            world.set(world.members.filter(({ peer }) => peer !== rest.lost.peer))
            provided.lose(rest.lost.peer)
          }
        }
        provided.setRegions(world, [self], new Set())
        provided.chooseOwners()
        assert.equal(provided.size, wanted.size)
        const owned = Map.groupBy(
          [...wanted].flatMap(key =>
            chooseOwners(placeOfKey(key), world.members, closeness).map(({ member }) => ({
              key,
              peer: member.peer,
            })),
          ),
          ({ peer }) => peer,
        )
        for (const outbox of provided.outboxes()) {
          const expected = owned.get(outbox.peer)?.map(({ key }) => key) ?? []
          assert.deepEqual([...provided.keysOf(outbox.peer)].sort(), expected.sort())
          assert.equal(outbox.assignedCount, expected.length)
          owned.delete(outbox.peer)
        }
        assert.equal(owned.size, 0, 'each owner has an outbox')
      }),
    )
  })
})
