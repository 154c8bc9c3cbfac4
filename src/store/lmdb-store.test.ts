import assert from 'node:assert/strict'
import { readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { after, afterEach, describe, it } from 'node:test'
import { temporaryFolders } from '../../test/support/temporary-folders.ts'
import type { OperationError } from '../errors.ts'
import { silentLog } from '../interface/log.ts'
import { storeCompliance, testKey, testRecord } from '../interface/store.compliance.ts'
import type { RecordSummary } from '../interface/store.ts'
import { VirtualClock } from '../std/clock.ts'
import { openDatabases } from './lmdb/databases.ts'
import { LmdbStore, type LmdbStoreOptions } from './lmdb-store.ts'

const folders = temporaryFolders()
after(() => folders.remove())
const signal = new AbortController().signal
const bytesMax = 1_000_000
/** Stopped after each test: a failed one must not leave its thread behind. */
const opened: LmdbStore[] = []

async function openStore(
  options: Partial<LmdbStoreOptions> & { readonly clock?: VirtualClock } = {},
): Promise<LmdbStore> {
  const { clock = new VirtualClock(), ...rest } = options
  const store = new LmdbStore(
    { clock, log: silentLog },
    { folder: folders.next(), bytesMax, ...rest },
  )
  opened.push(store)
  await store.start({ signal })
  return store
}

storeCompliance('LmdbStore', ({ bytesMax, clock }) => openStore({ bytesMax, clock }))

/** Changes rows of a stopped store. */
async function tamper(
  folder: string,
  change: (databases: NonNullable<ReturnType<typeof openDatabases>>) => void,
): Promise<void> {
  const databases = openDatabases(folder, { bytesMax, readOnly: false })
  assert.ok(databases)
  databases.root.transactionSync(() => change(databases))
  await databases.root.close()
}

function idOf(name: string): Buffer {
  return Buffer.from(testKey(name), 'hex')
}

describe('LmdbStore', () => {
  afterEach(async () => {
    for (const store of opened.splice(0)) await store.stop()
  })

  it('keeps records, uses, order and counts when it is opened again', async () => {
    const folder = folders.next()
    const clock = new VirtualClock()
    const first = await openStore({ folder, clock })
    for (let index = 0; index < 50; index++) {
      await first.put(testKey(`k${index}`), testRecord(`k${index}`, { costSeconds: index }))
    }
    for (let index = 0; index < 5; index++) first.get(testKey('k7'))
    // Past the flush and one write, so that the uses count for the order.
    clock.advance(10_000)
    await first.put(testKey('last'), testRecord('last'))
    const listed = [...first.list()]
    const { records, bytes } = first.stats().tiers[0] ?? {}
    await first.stop()

    const second = await openStore({ folder })
    assert.deepEqual(valuesOf([...second.list()]), valuesOf(listed))
    assert.equal(second.list()[Symbol.iterator]().next().value?.uses, 0)
    const tier = second.stats().tiers[0]
    assert.deepEqual([tier?.records, tier?.bytes], [records, bytes])
    const found = second.get(testKey('k7'))
    assert.deepEqual(new Uint8Array(found?.bytes ?? []), testRecord('k7').bytes)
    await second.stop()
  })

  it('brings itself below a maximum that was lowered', async () => {
    const folder = folders.next()
    const first = await openStore({ folder })
    for (let index = 0; index < 100; index++) {
      await first.put(testKey(`k${index}`), testRecord(`k${index}`, { costSeconds: 1 + index }))
    }
    await first.stop()
    const second = await openStore({ folder, bytesMax: 50_000 })
    const tier = second.stats().tiers[0]
    assert.ok(tier && tier.bytes <= 50_000 && tier.records > 10)
    assert.ok(second.peek(testKey('k99')), 'the most valuable is still there')
    assert.equal(second.peek(testKey('k0')), undefined)
    await second.stop()
  })

  it('writes uses in the background, not with every hit', async () => {
    const clock = new VirtualClock()
    const folder = folders.next()
    const store = await openStore({ folder, clock })
    await store.put(testKey('a'), testRecord('a'))
    const written = (): Buffer => readFileSync(join(folder, 'data.mdb'))
    const before = written()
    for (let index = 0; index < 1_000; index++) store.get(testKey('a'))
    assert.ok(written().equals(before), 'hits alone write nothing')
    clock.advance(10_000)
    await store.put(testKey('b'), testRecord('b'))
    const reader = await openStore({ folder, clock, openReadOnly: true })
    assert.equal(summaryOf(reader, 'a')?.uses, 1_000)
    await reader.stop()
    await store.stop()
  })

  it('sweeps what has expired and nobody asks for', async () => {
    const clock = new VirtualClock()
    const store = await openStore({ clock })
    for (let index = 0; index < 20; index++) {
      const expiresAt = clock.now() + (index < 15 ? 1_000 : 3_600_000)
      await store.put(testKey(`k${index}`), testRecord(`k${index}`, { expiresAt }))
    }
    for (let index = 0; index < 6; index++) clock.advance(10_000)
    // The sweep was queued before this write, so it is done when this one is.
    await store.put(testKey('last'), testRecord('last'))
    assert.equal(store.stats().tiers[0]?.records, 6)
    await store.stop()
  })

  it('gives a miss for a damaged record, removes it and keeps the others', async () => {
    const folder = folders.next()
    const first = await openStore({ folder })
    const names = ['bytes', 'swapped', 'other', 'entry', 'gone', 'sound']
    for (const name of names) await first.put(testKey(name), testRecord(name))
    await first.stop()
    await tamper(folder, ({ records, entries }) => {
      const flipped = Buffer.from(records.getBinary(idOf('bytes')) ?? [])
      flipped[500] = (flipped[500] ?? 0) ^ 1
      records.put(idOf('bytes'), flipped)
      records.put(idOf('swapped'), Buffer.from(testRecord('other').bytes))
      const entry = Buffer.from(entries.getBinary(idOf('entry')) ?? [])
      entry[20] = (entry[20] ?? 0) ^ 0x80
      entries.put(idOf('entry'), entry)
      records.remove(idOf('gone'))
    })
    const events: string[] = []
    const log = { ...silentLog, warn: (event: string) => events.push(event) }
    const second = new LmdbStore({ clock: new VirtualClock(), log }, { folder, bytesMax })
    opened.push(second)
    await second.start({ signal })
    for (const name of ['bytes', 'swapped', 'entry', 'gone']) {
      assert.equal(second.get(testKey(name)), undefined, name)
    }
    assert.deepEqual(events, Array(4).fill('record damaged'))
    await second.put(testKey('new'), testRecord('new'))
    assert.equal(second.stats().tiers[0]?.records, 3)
    for (const name of ['other', 'sound', 'new']) {
      const found = second.get(testKey(name))
      assert.deepEqual(new Uint8Array(found?.bytes ?? []), testRecord(name).bytes, name)
    }
    await second.stop()
  })

  it('recounts when its own counts are damaged', async () => {
    const folder = folders.next()
    const first = await openStore({ folder })
    for (const name of ['a', 'b']) await first.put(testKey(name), testRecord(name))
    const { bytes } = first.stats().tiers[0] ?? {}
    await first.stop()
    await tamper(folder, ({ state, queue }) => {
      state.put(Buffer.from('ledger'), Buffer.from('nonsense'))
      queue.clearSync()
    })
    const second = await openStore({ folder })
    const tier = second.stats().tiers[0]
    assert.deepEqual([tier?.records, tier?.bytes], [2, bytes])
    assert.equal([...second.list()].length, 2)
    await second.stop()
  })

  it('reads beside a running node and changes nothing when opened read-only', async () => {
    const clock = new VirtualClock()
    const folder = folders.next()
    const store = await openStore({ folder, clock })
    await store.put(testKey('a'), testRecord('a', { expiresAt: clock.now() + 1_000 }))
    await store.put(testKey('b'), testRecord('b'))
    await store.stop()
    clock.advance(2_000)
    const before = readFileSync(join(folder, 'data.mdb'))
    const reader = await openStore({ folder, clock, openReadOnly: true })
    assert.equal(reader.get(testKey('a')), undefined)
    assert.ok(reader.get(testKey('b')))
    assert.deepEqual(
      [...reader.list()].map(({ key }) => key),
      [testKey('b')],
    )
    assert.equal(reader.stats().tiers[0]?.records, 2)
    assert.match(reader.stats().tiers[0]?.readOnlyBecause ?? '', /read-only/)
    for (const write of [
      () => reader.put(testKey('c'), testRecord('c')),
      () => reader.remove(testKey('b')),
      () => reader.clear(),
    ]) {
      await assert.rejects(write, (error: OperationError) => error.code === 'store_failed')
    }
    await reader.stop()
    assert.ok(readFileSync(join(folder, 'data.mdb')).equals(before))
  })

  it('is empty when opened read-only where there is no store', async () => {
    const reader = await openStore({ openReadOnly: true })
    assert.equal(reader.get(testKey('a')), undefined)
    assert.deepEqual([...reader.list()], [])
    await reader.stop()
  })

  it('refuses writes after stop()', async () => {
    const store = await openStore()
    await store.stop()
    await assert.rejects(
      store.put(testKey('a'), testRecord('a')),
      (error: OperationError) => error.code === 'store_failed',
    )
    assert.equal(store.get(testKey('a')), undefined)
  })

  it('stop() waits for writes that were taken', async () => {
    const folder = folders.next()
    const store = await openStore({ folder })
    const puts = Array.from({ length: 40 }, (_, index) =>
      store.put(testKey(`k${index}`), testRecord(`k${index}`)),
    )
    await store.stop()
    await Promise.all(puts)
    const again = await openStore({ folder })
    assert.equal(again.stats().tiers[0]?.records, 40)
    await again.stop()
  })

  it('reuses space: the file stays near the maximum, whatever the sizes', async () => {
    const fullBytes = 4_000_000
    // What LMDB writes anew in two transactions before it may reuse what they free.
    const inFlightBytes = 8_000_000
    for (const sizes of [[1_200], [100, 1_500, 9_000]]) {
      const folder = folders.next()
      const store = await openStore({ folder, bytesMax: fullBytes })
      for (let round = 0; round < 150; round++) {
        const puts = Array.from({ length: 40 }, (_, index) => {
          const bytes = sizes[(index + round) % sizes.length] ?? 0
          return store.put(testKey(`${round} ${index}`), testRecord(`${round}`, { bytes }))
        })
        await Promise.all(puts)
      }
      const fileBytes = statSync(join(folder, 'data.mdb')).size
      const limitBytes = 1.3 * fullBytes + inFlightBytes
      assert.ok(fileBytes < limitBytes, `${fileBytes} bytes for records of ${sizes}`)
    }
  })
})

function valuesOf(listed: readonly RecordSummary[]): readonly unknown[] {
  return listed.map(({ key, bytes, uses, meta }) => [key, bytes, uses, meta])
}

function summaryOf(store: LmdbStore, name: string): RecordSummary | undefined {
  return [...store.list()].find(({ key }) => key === testKey(name))
}
