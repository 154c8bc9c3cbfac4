import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { afterEach, beforeEach, describe, it } from 'node:test'
import type { OperationError } from '../errors.ts'
import { type LookupKey, parseLookupKey } from '../key/response-key.ts'
import { VirtualClock } from '../std/clock.ts'
import type { NewRecord, Store } from './store.ts'

export interface StoreUnderTestOptions {
  readonly bytesMax: number
  readonly clock: VirtualClock
}

const startMs = 1_700_000_000_000
const hourMs = 3_600_000
const ample = 64 * 1024 * 1024

/** A look-up key made of a name. */
export function testKey(name: string): LookupKey {
  const key = parseLookupKey(createHash('sha256').update(name).digest('hex'))
  assert.ok(key)
  return key
}

export interface TestRecordOptions {
  readonly bytes?: number
  readonly costSeconds?: number
  readonly expiresAt?: number
}

/** A record whose content follows from its name. */
export function testRecord(name: string, options: TestRecordOptions = {}): NewRecord {
  const { bytes = 1_000, costSeconds = 1, expiresAt = startMs + hourMs } = options
  const seed = createHash('sha256').update(name).digest()
  return {
    bytes: Uint8Array.from({ length: bytes }, (_, index) => (seed[index % 32] ?? 0) ^ index),
    meta: {
      costSeconds,
      createdAt: startMs,
      expiresAt,
      fieldDigests: { model: name.slice(0, 16) },
    },
  }
}

/**
 * The contract of `Store`, in code. `create` makes a new, started one each time; the suite stops
 * it.
 */
export function storeCompliance(
  name: string,
  create: (options: StoreUnderTestOptions) => Promise<Store>,
): void {
  describe(`${name} as a store`, () => {
    let clock = new VirtualClock(startMs)
    const opened: Store[] = []
    const open = async (bytesMax = ample): Promise<Store> => {
      const store = await create({ bytesMax, clock })
      opened.push(store)
      return store
    }
    beforeEach(() => {
      clock = new VirtualClock(startMs)
    })
    afterEach(async () => {
      for (const store of opened.splice(0)) await store.stop()
    })

    readingAndWriting(open)
    evicting(open)
    expiring(open, () => clock)
  })
}

type Open = (bytesMax?: number) => Promise<Store>

function readingAndWriting(open: Open): void {
  it('get() and peek() return what was put', async () => {
    const store = await open()
    const record = testRecord('a')
    await store.put(testKey('a'), record)
    for (const found of [store.get(testKey('a')), store.peek(testKey('a'))]) {
      assert.ok(found)
      assert.deepEqual(new Uint8Array(found.bytes), record.bytes)
      assert.deepEqual(found.meta, record.meta)
    }
    assert.equal(store.get(testKey('b')), undefined)
    assert.equal(store.peek(testKey('b')), undefined)
  })

  it('keeps records of no bytes and of a megabyte', async () => {
    const store = await open()
    for (const bytes of [0, 1, 1_994, 1_995, 4_096, 1_048_576]) {
      const key = testKey(`size ${bytes}`)
      const record = testRecord(`size ${bytes}`, { bytes })
      await store.put(key, record)
      assert.deepEqual(new Uint8Array(store.get(key)?.bytes ?? []), record.bytes)
    }
  })

  it('is not affected by what callers do to their buffers', async () => {
    const store = await open()
    const record = testRecord('a')
    const expected = record.bytes.slice()
    const buffer = Buffer.from(record.bytes)
    const written = store.put(testKey('a'), { ...record, bytes: buffer })
    buffer.fill(0)
    await written
    store.get(testKey('a'))?.bytes.fill(0)
    assert.deepEqual(new Uint8Array(store.get(testKey('a'))?.bytes ?? []), expected)
  })

  it('put() replaces, and counts the bytes once', async () => {
    const store = await open()
    await store.put(testKey('a'), testRecord('first'))
    const before = disk(store)
    for (let index = 0; index < 20; index++) {
      await store.put(testKey('a'), testRecord(`version ${index}`))
    }
    assert.deepEqual(
      new Uint8Array(store.get(testKey('a'))?.bytes ?? []),
      testRecord('version 19').bytes,
    )
    assert.equal(disk(store).records, 1)
    assert.ok(Math.abs(disk(store).bytes - before.bytes) < 64, 'the bytes of one record')
  })

  it('takes puts at the same time, the last of a key wins', async () => {
    const store = await open()
    const puts = Array.from({ length: 300 }, (_, index) =>
      store.put(testKey(`k${index % 100}`), testRecord(`v${index}`)),
    )
    await Promise.all(puts)
    for (let index = 200; index < 300; index++) {
      const found = store.get(testKey(`k${index % 100}`))
      assert.deepEqual(new Uint8Array(found?.bytes ?? []), testRecord(`v${index}`).bytes)
    }
    assert.equal(disk(store).records, 100)
  })

  it('remove() tells whether there was one', async () => {
    const store = await open()
    await store.put(testKey('a'), testRecord('a'))
    assert.equal(await store.remove(testKey('a')), true)
    assert.equal(await store.remove(testKey('a')), false)
    assert.equal(store.get(testKey('a')), undefined)
    assert.deepEqual([disk(store).records, disk(store).bytes], [0, 0])
  })

  it('clear() leaves nothing and the store usable', async () => {
    const store = await open()
    for (const name of ['a', 'b', 'c']) await store.put(testKey(name), testRecord(name))
    await store.clear()
    assert.deepEqual([...store.list()], [])
    assert.equal(store.get(testKey('a')), undefined)
    assert.deepEqual([disk(store).records, disk(store).bytes], [0, 0])
    await store.put(testKey('a'), testRecord('a'))
    assert.ok(store.get(testKey('a')))
  })

  it('list() tells keys, sizes, uses and meta, most valuable first', async () => {
    const store = await open()
    for (const [name, costSeconds] of [
      ['a', 1],
      ['b', 30],
      ['c', 5],
    ] as const) {
      await store.put(testKey(name), testRecord(name, { costSeconds }))
    }
    store.get(testKey('c'))
    store.peek(testKey('a'))
    const listed = [...store.list()]
    const expected = [
      ['b', 30, 0],
      ['c', 5, 1],
      ['a', 1, 0],
    ] as const
    assert.deepEqual(
      listed,
      expected.map(([name, costSeconds, uses]) => ({
        key: testKey(name),
        bytes: 1_000,
        uses,
        meta: testRecord(name, { costSeconds }).meta,
      })),
    )
  })

  it('list() may be stopped early and outlives changes', async () => {
    const store = await open()
    const names = Array.from({ length: 600 }, (_, index) => `n${index}`)
    await Promise.all(names.map(name => store.put(testKey(name), testRecord(name, { bytes: 10 }))))
    const seen = new Set<LookupKey>()
    for (const { key } of store.list()) {
      if (seen.size === 3) await store.clear()
      seen.add(key)
      if (seen.size === 5) break
    }
    assert.ok(seen.size >= 3)
    assert.deepEqual([...store.list()], [])
  })

  it('stop() may be called twice', async () => {
    const store = await open()
    await store.stop()
    await store.stop()
  })
}

function evicting(open: Open): void {
  it('never exceeds its maximum', async () => {
    const store = await open(64 * 1024)
    for (let index = 0; index < 200; index++) {
      await store.put(
        testKey(`k${index}`),
        testRecord(`k${index}`, { bytes: (index * 37) % 3_000 }),
      )
      for (const { bytes, bytesMax } of store.stats().tiers) {
        assert.ok(bytes <= bytesMax, `${bytes} of ${bytesMax} bytes`)
      }
    }
    assert.ok(disk(store).evictions > 0)
    assert.equal([...store.list()].length, disk(store).records)
  })

  it('refuses a record larger than itself and keeps the others', async () => {
    const store = await open(32 * 1024)
    await store.put(testKey('a'), testRecord('a'))
    await assert.rejects(
      store.put(testKey('huge'), testRecord('huge', { bytes: 40_000 })),
      (error: OperationError) => error.code === 'store_failed' && !error.retryable,
    )
    assert.equal(store.get(testKey('huge')), undefined)
    assert.ok(store.get(testKey('a')))
    assert.equal(disk(store).evictions, 0)
  })

  it('evicts what costs least per byte first', async () => {
    const store = await open(await roomFor(open, 3))
    await store.put(testKey('dear'), testRecord('dear', { costSeconds: 60 }))
    await store.put(testKey('cheap'), testRecord('cheap', { costSeconds: 1 }))
    await store.put(testKey('middling'), testRecord('middling', { costSeconds: 10 }))
    await store.put(testKey('new'), testRecord('new', { costSeconds: 20 }))
    assert.equal(store.peek(testKey('cheap')), undefined)
    for (const name of ['dear', 'middling', 'new']) assert.ok(store.peek(testKey(name)), name)
    await store.put(testKey('newer'), testRecord('newer', { costSeconds: 30 }))
    assert.equal(store.peek(testKey('middling')), undefined)
  })

  it('keeps what is used, but peek() is no use', async () => {
    const store = await open(await roomFor(open, 3))
    for (const name of ['a', 'b', 'c']) {
      await store.put(testKey(name), testRecord(name, { costSeconds: 10 }))
    }
    for (let index = 0; index < 3; index++) {
      store.get(testKey('a'))
      store.countUse(testKey('c'))
      store.peek(testKey('b'))
    }
    await store.put(testKey('d'), testRecord('d', { costSeconds: 15 }))
    assert.equal(store.peek(testKey('b')), undefined)
    for (const name of ['a', 'c', 'd']) assert.ok(store.peek(testKey(name)), name)
  })

  it('forgets in time what was valuable once', async () => {
    const store = await open(await roomFor(open, 3))
    await store.put(testKey('old'), testRecord('old', { costSeconds: 10 }))
    for (let index = 0; index < 100; index++) {
      await store.put(testKey(`k${index}`), testRecord(`k${index}`, { costSeconds: 1 }))
    }
    assert.equal(store.peek(testKey('old')), undefined)
  })

  it('keeps records that cost nothing as long as there is room', async () => {
    const store = await open(await roomFor(open, 3))
    for (const name of ['a', 'b', 'c', 'd']) {
      await store.put(testKey(name), testRecord(name, { costSeconds: 0 }))
    }
    assert.equal(disk(store).records, 3)
  })
}

function expiring(open: Open, clock: () => VirtualClock): void {
  it('does not serve what has expired', async () => {
    const store = await open()
    await store.put(testKey('a'), testRecord('a', { expiresAt: startMs + 1_000 }))
    await store.put(testKey('b'), testRecord('b', { expiresAt: startMs + 5_000 }))
    clock().advance(1_000)
    assert.ok(store.get(testKey('a')), 'served up to the very millisecond')
    clock().advance(1)
    assert.equal(store.peek(testKey('a')), undefined)
    assert.equal(store.get(testKey('a')), undefined)
    assert.deepEqual(
      [...store.list()].map(summary => summary.key),
      [testKey('b')],
    )
  })

  it('survives clock jumps', async () => {
    const store = await open()
    await store.put(testKey('a'), testRecord('a'))
    clock().jump(-10 * 24 * hourMs)
    assert.ok(store.get(testKey('a')), 'a clock set back does not expire anything')
    clock().jump(10 * 24 * hourMs)
    assert.ok(store.get(testKey('a')))
    clock().jump(2 * hourMs)
    assert.equal(store.get(testKey('a')), undefined)
    await store.put(testKey('a'), testRecord('again', { expiresAt: startMs + 9 * hourMs }))
    assert.ok(store.get(testKey('a')), 'an expired record can be replaced')
    assert.equal(disk(store).records, 1)
  })

  it('makes a new record of an expired key', async () => {
    const store = await open()
    const key = testKey('a')
    await store.put(key, testRecord('a', { expiresAt: startMs + 1 }))
    clock().advance(2)
    // The look-up finds it expired and has it removed; the new one must not fall to that.
    assert.equal(store.get(key), undefined)
    await store.put(key, testRecord('b'))
    assert.deepEqual(new Uint8Array(store.get(key)?.bytes ?? []), testRecord('b').bytes)
    await store.put(testKey('other'), testRecord('other'))
    assert.ok(store.get(key))
  })
}

/** The last tier: the only one, or the one that keeps everything. */
function disk(store: Store): ReturnType<Store['stats']>['tiers'][number] {
  const tier = store.stats().tiers.at(-1)
  assert.ok(tier)
  return tier
}

/**
 * A maximum that holds so many records of the usual size and not one more, as this store counts.
 */
async function roomFor(open: Open, count: number): Promise<number> {
  const store = await open()
  await store.put(testKey('one'), testRecord('one'))
  return Math.floor(disk(store).bytes * (count + 0.5))
}
