import assert from 'node:assert/strict'
import { after, describe, it } from 'node:test'
import { temporaryFolders } from '../../test/support/temporary-folders.ts'
import type { OperationError } from '../errors.ts'
import { silentLog } from '../interface/log.ts'
import { storeCompliance, testKey, testRecord } from '../interface/store.compliance.ts'
import { VirtualClock } from '../std/clock.ts'
import { LmdbStore } from './lmdb-store.ts'
import { MemoryStore } from './memory-store.ts'
import { TieredStore } from './tiered-store.ts'

const folders = temporaryFolders()
after(() => folders.remove())
const signal = new AbortController().signal

async function createTiers(options: {
  readonly clock: VirtualClock
  readonly bytesMax: number
  readonly memoryBytesMax: number
}): Promise<{ tiers: TieredStore; memory: MemoryStore; disk: LmdbStore }> {
  const { clock, bytesMax, memoryBytesMax } = options
  const memory = new MemoryStore({ clock }, { bytesMax: memoryBytesMax })
  const disk = new LmdbStore({ clock, log: silentLog }, { folder: folders.next(), bytesMax })
  const tiers = new TieredStore({ memory, disk })
  await tiers.start({ signal })
  return { tiers, memory, disk }
}

// Memory that holds two records: the contract must not depend on what memory happens to keep.
storeCompliance('TieredStore', async ({ bytesMax, clock }) => {
  const { tiers } = await createTiers({ clock, bytesMax, memoryBytesMax: 3_500 })
  return tiers
})

describe('TieredStore', () => {
  const ample = { clock: new VirtualClock(), bytesMax: 1_000_000, memoryBytesMax: 1_000_000 }

  it('serves from memory what was put, and promotes what disk has', async () => {
    const { tiers, memory } = await createTiers(ample)
    await tiers.put(testKey('a'), testRecord('a'))
    assert.equal(tiers.get(testKey('a'))?.tier, 'memory')
    await memory.clear()
    assert.equal(tiers.peek(testKey('a'))?.tier, 'disk')
    assert.equal(tiers.get(testKey('a'))?.tier, 'disk')
    assert.equal(tiers.get(testKey('a'))?.tier, 'memory')
    await tiers.stop()
  })

  it('lets the disk know what memory serves', async () => {
    const { tiers, memory } = await createTiers(ample)
    await tiers.put(testKey('a'), testRecord('a'))
    for (let index = 0; index < 4; index++) tiers.get(testKey('a'))
    await memory.clear()
    assert.equal([...tiers.list()][0]?.uses, 4)
    await tiers.stop()
  })

  it('remove() and clear() leave nothing in memory that is read while they run', async () => {
    const { tiers, memory } = await createTiers(ample)
    for (const take of [() => tiers.remove(testKey('a')), () => tiers.clear()]) {
      await tiers.put(testKey('a'), testRecord('a'))
      await memory.clear()
      const taking = take()
      // From the disk, which still has it.
      tiers.get(testKey('a'))
      await Promise.resolve()
      tiers.get(testKey('a'))
      await taking
      assert.equal(tiers.get(testKey('a')), undefined)
      assert.equal(memory.get(testKey('a')), undefined)
    }
    await tiers.stop()
  })

  it('remove() and clear() reach both', async () => {
    const { tiers, memory, disk } = await createTiers(ample)
    for (const name of ['a', 'b']) await tiers.put(testKey(name), testRecord(name))
    assert.equal(await tiers.remove(testKey('a')), true)
    for (const store of [memory, disk]) assert.equal(store.peek(testKey('a')), undefined)
    await tiers.clear()
    for (const store of [memory, disk]) assert.equal(store.peek(testKey('b')), undefined)
    await tiers.stop()
  })

  it('serves a record that the disk could not take, and says that it could not', async () => {
    const clock = new VirtualClock()
    const memory = new MemoryStore({ clock }, { bytesMax: 1_000_000 })
    const folder = folders.next()
    const disk = new LmdbStore({ clock, log: silentLog }, { folder, bytesMax: 10_000 })
    const tiers = new TieredStore({ memory, disk })
    await tiers.start({ signal })
    await tiers.put(testKey('b'), testRecord('b'))
    await assert.rejects(
      tiers.put(testKey('a'), testRecord('a', { bytes: 20_000 })),
      (error: OperationError) => error.code === 'store_failed',
    )
    assert.equal(tiers.get(testKey('a'))?.tier, 'memory')
    assert.deepEqual(
      [...tiers.list()].map(({ key }) => key),
      [testKey('b'), testKey('a')],
      'also what only memory has is listed',
    )
    await tiers.stop()
  })
})
