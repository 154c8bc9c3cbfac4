import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { storeCompliance, testKey, testRecord } from '../interface/store.compliance.ts'
import { VirtualClock } from '../std/clock.ts'
import { MemoryStore } from './memory-store.ts'

storeCompliance(
  'MemoryStore',
  async ({ bytesMax, clock }) => new MemoryStore({ clock }, { bytesMax }),
)

describe('MemoryStore', () => {
  it('says that records come from memory', () => {
    const store = new MemoryStore({ clock: new VirtualClock() }, { bytesMax: 100_000 })
    store.hold(testKey('a'), testRecord('a'))
    assert.equal(store.get(testKey('a'))?.tier, 'memory')
  })

  it('evicts what has expired before what has not', () => {
    const clock = new VirtualClock()
    const store = new MemoryStore({ clock }, { bytesMax: 4 * 1_700 })
    const expiresAt = clock.now() + 10
    store.hold(testKey('dear'), testRecord('dear', { costSeconds: 1_000, expiresAt }))
    for (const name of ['a', 'b', 'c']) store.hold(testKey(name), testRecord(name))
    clock.advance(11)
    store.hold(testKey('d'), testRecord('d'))
    for (const name of ['a', 'b', 'c', 'd']) assert.ok(store.peek(testKey(name)), name)
    assert.equal(store.stats().tiers[0]?.evictions, 0)
  })

  it('hold() of too large a record leaves none under its key', () => {
    const store = new MemoryStore({ clock: new VirtualClock() }, { bytesMax: 10_000 })
    assert.equal(store.hold(testKey('a'), testRecord('a')), true)
    assert.equal(store.hold(testKey('a'), testRecord('a', { bytes: 20_000 })), false)
    assert.equal(store.peek(testKey('a')), undefined, 'the old one would be out of date')
  })
})
