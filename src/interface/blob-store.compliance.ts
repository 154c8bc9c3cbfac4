import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { afterEach, beforeEach, describe, it } from 'node:test'
import fc from 'fast-check'
import type { OperationError } from '../errors.ts'
import { blobNoteBytesMax, blobPieceBytes } from '../limits.ts'
import { VirtualClock } from '../std/clock.ts'
import { afterThisTurn } from '../std/turn.ts'
import type { BlobName, BlobStore, NewBlob } from './blob-store.ts'

export interface BlobStoreUnderTestOptions {
  readonly bytesMax: number
  readonly clock: VirtualClock
}

const startMs = 1_700_000_000_000
const hourMs = 3_600_000
const ample = 64 * 1024 * 1024
const { signal } = new AbortController()

export function blobName(name: string): BlobName {
  return createHash('sha256').update(name).digest('hex')
}

export interface TestBlobOptions {
  readonly bytes?: number
  readonly costSeconds?: number
  readonly expiresAt?: number
  readonly note?: Uint8Array
}

/** A blob whose content follows from its seed. */
export function testBlob(seed: string, options: TestBlobOptions = {}): NewBlob {
  const { bytes = 10_000, costSeconds = 1, expiresAt = startMs + hourMs } = options
  const pattern = createHash('sha256').update(seed).digest()
  const body = Uint8Array.from({ length: bytes }, (_, i) => (pattern[i % 32] ?? 0) ^ (i >> 5))
  const third = Math.floor(bytes / 3)
  return {
    pieces: [body.subarray(0, third), body.subarray(third, third), body.subarray(third)],
    costSeconds,
    createdAt: startMs,
    expiresAt,
    note: options.note ?? Buffer.from(seed),
  }
}

export function bodyOf({ pieces }: NewBlob): Buffer {
  return Buffer.concat(pieces)
}

/** The contract of `BlobStore`, in code. `create` makes a new, started one; the suite stops it. */
export function blobStoreCompliance(
  name: string,
  create: (options: BlobStoreUnderTestOptions) => Promise<BlobStore>,
): void {
  describe(`${name} as a blob store`, () => {
    let clock = new VirtualClock(startMs)
    const opened: BlobStore[] = []
    const open = async (bytesMax = ample): Promise<BlobStore> => {
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
    ranges(open)
    changing(open)
    evicting(open)
    expiring(open, () => clock)
    twins(open, () => clock)
  })
}

type Open = (bytesMax?: number) => Promise<BlobStore>

async function assertHolds(store: BlobStore, name: string, blob: NewBlob): Promise<void> {
  const body = await store.read(blobName(name), { signal })
  assert.ok(body, `${name} is there`)
  assert.equal(Buffer.compare(body, bodyOf(blob)), 0, `${name} is what was put`)
}

const oneTurn = (): Promise<void> => new Promise(resolve => afterThisTurn(resolve))

function storeFailed({ code }: OperationError): boolean {
  return code === 'store_failed'
}

function readingAndWriting(open: Open): void {
  it('find() and read() return what was put', async () => {
    const store = await open()
    const blob = testBlob('a')
    await store.put(blobName('a'), blob)
    await assertHolds(store, 'a', blob)
    const { pieces: _, ...meta } = blob
    const facts = store.find(blobName('a'))
    assert.deepEqual(
      { ...facts, note: Buffer.from(facts?.note ?? []) },
      { ...meta, note: Buffer.from(meta.note), name: blobName('a'), bytes: 10_000, uses: 0 },
    )
    assert.equal(store.find(blobName('b')), undefined)
    assert.equal(await store.read(blobName('b'), { signal }), undefined)
  })

  it('keeps blobs of any size, in memory that threads may share', async () => {
    const store = await open()
    for (const bytes of [0, 1, 511, 512, 4_096, 65_537, 2 * blobPieceBytes + 1]) {
      const blob = testBlob(`${bytes}`, { bytes })
      await store.put(blobName('a'), blob)
      await assertHolds(store, 'a', blob)
      assert.equal(store.find(blobName('a'))?.bytes, bytes)
      const body = await store.read(blobName('a'), { signal })
      assert.ok(body?.buffer instanceof SharedArrayBuffer)
    }
  })

  it('is not affected by what callers do to their buffers afterwards', async () => {
    const store = await open()
    const blob = testBlob('a', { note: Buffer.from('note') })
    const expected = testBlob('a')
    await store.put(blobName('a'), blob)
    for (const piece of [...blob.pieces, blob.note]) piece.fill(0)
    const first = await store.read(blobName('a'), { signal })
    first?.fill(0)
    await assertHolds(store, 'a', expected)
    assert.equal(Buffer.from(store.find(blobName('a'))?.note ?? []).toString(), 'note')
  })

  it('put() replaces, keeps the uses and counts the bytes once', async () => {
    const store = await open()
    await store.put(blobName('a'), testBlob('first'))
    store.countUse(blobName('a'))
    const before = store.stats()
    for (let index = 0; index < 5; index++) {
      await store.put(blobName('a'), testBlob(`version ${index}`))
    }
    await assertHolds(store, 'a', testBlob('version 4'))
    assert.equal(store.find(blobName('a'))?.uses, 1)
    assert.equal(store.stats().blobs, 1)
    assert.ok(Math.abs(store.stats().bytes - before.bytes) < 64)
  })

  it('takes puts at the same time, the last of a name wins', async () => {
    const store = await open()
    // The earlier, the longer they take.
    const blobs = [900_000, 300_000, 30_000, 10].map(bytes => testBlob(`${bytes}`, { bytes }))
    const last = blobs.at(-1) ?? assert.fail()
    for (let round = 0; round < 5; round++) {
      const names = ['a', 'b', 'c'].map(name => `${name} ${round}`)
      await Promise.all(names.flatMap(name => blobs.map(blob => store.put(blobName(name), blob))))
      for (const name of names) await assertHolds(store, name, last)
    }
    assert.equal(store.stats().blobs, 15)
  })

  it('a removal takes away what was there, never what is put meanwhile', async () => {
    const store = await open()
    for (let round = 0; round < 40; round++) {
      await store.put(blobName('a'), testBlob('old', { bytes: 10 }))
      const put = store.put(blobName('a'), testBlob('new', { bytes: 10 }))
      for (let turn = 0; turn < round * 5; turn++) await oneTurn()
      await Promise.all([put, store.remove(blobName('a'))])
      const isKnown = store.find(blobName('a')) !== undefined
      if (isKnown) await assertHolds(store, 'a', testBlob('new', { bytes: 10 }))
      else assert.equal(await store.read(blobName('a'), { signal }), undefined)
    }
  })

  it('a blob that is replaced or removed while it is read is read whole, or not at all', async () => {
    const store = await open()
    const bytes = blobPieceBytes + 1
    const [first, second, third] = ['0', '1', '2'].map(seed => testBlob(seed, { bytes }))
    assert.ok(first && second && third)
    const versions = [first, second, third].map(bodyOf)
    for (let round = 0; round < 4; round++) {
      await store.put(blobName('a'), first)
      const reads = [1, 2, 3].map(() => store.read(blobName('a'), { signal }))
      const changes = [
        store.put(blobName('a'), second),
        store.put(blobName('a'), third),
        ...(round % 2 === 0 ? [store.remove(blobName('a'))] : []),
      ]
      for (const body of await Promise.all(reads)) {
        if (body === undefined) continue
        assert.ok(
          versions.some(version => version.equals(body)),
          'one of the versions',
        )
      }
      await Promise.all(changes)
    }
  })

  it('read() rejects with the reason of its signal', async () => {
    const store = await open()
    await store.put(blobName('a'), testBlob('a'))
    const controller = new AbortController()
    const reason = new Error('not needed any more')
    controller.abort(reason)
    await assert.rejects(store.read(blobName('a'), controller), reason)
    await assertHolds(store, 'a', testBlob('a'))
  })

  it('refuses what no blob can be', async () => {
    const store = await open()
    const blob = testBlob('a')
    const note = new Uint8Array(blobNoteBytesMax + 1)
    for (const name of ['', 'ab', `${blobName('a')}0`, blobName('a').toUpperCase(), '../../x']) {
      await assert.rejects(store.put(name, blob), RangeError)
    }
    await assert.rejects(store.put(blobName('a'), { ...blob, note }), RangeError)
    await assert.rejects(store.put(blobName('a'), { ...blob, expiresAt: Number.NaN }), RangeError)
    await assert.rejects(store.update(blobName('a'), { note }), RangeError)
    assert.equal(store.stats().blobs, 0)
  })

  it('list() is lazy and outlives changes', async () => {
    const store = await open()
    const names = Array.from({ length: 20 }, (_, index) => `n${index}`)
    for (const name of names) await store.put(blobName(name), testBlob(name, { bytes: 10 }))
    assert.deepEqual([...store.list()].map(({ name }) => name).sort(), names.map(blobName).sort())
    let seen = 0
    for (const _ of store.list()) {
      if (seen === 3) await store.clear()
      seen += 1
    }
    assert.ok(seen >= 3 && seen <= 5)
    assert.deepEqual([...store.list()], [])
  })

  it('stop() may be called twice', async () => {
    const store = await open()
    await store.put(blobName('a'), testBlob('a'))
    await store.stop()
    await store.stop()
    assert.equal(store.find(blobName('a')), undefined)
  })
}

async function gather(pieces: AsyncIterable<Uint8Array>): Promise<readonly Uint8Array[]> {
  const gathered: Uint8Array[] = []
  for await (const piece of pieces) gathered.push(piece)
  return gathered
}

function ranges(open: Open): void {
  it('readRange() gives any part in pieces of the size asked for', async () => {
    const store = await open()
    const blob = testBlob('a', { bytes: 1_000 })
    await store.put(blobName('a'), blob)
    for (const [start, end, pieceBytes, sizes] of [
      [0, 1_000, 400, [400, 400, 200]],
      [100, 101, 400, [1]],
      [999, 5_000, 400, [1]],
      [500, 500, 1, []],
      [1_000, 2_000, 10, []],
      [5, 9, 2, [2, 2]],
    ] as const) {
      const range = { start, end, pieceBytes }
      const pieces = await gather(store.readRange(blobName('a'), range, { signal }))
      assert.deepEqual(
        pieces.map(({ length }) => length),
        sizes,
      )
      assert.ok(Buffer.concat(pieces).equals(bodyOf(blob).subarray(start, end)))
    }
    const range = { start: 0, end: 10, pieceBytes: 10 }
    assert.deepEqual(await gather(store.readRange(blobName('b'), range, { signal })), [])
    const wrong = store.readRange(blobName('a'), { start: 0, end: 10, pieceBytes: 0 }, { signal })
    await assert.rejects(gather(wrong), RangeError)
  })

  it('readRange() ends early when the blob vanishes or is replaced', async () => {
    const store = await open()
    const range = { start: 0, end: 10_000, pieceBytes: 1_000 }
    for (const change of [
      () => store.remove(blobName('a')),
      () => store.put(blobName('a'), testBlob('other')),
      () => store.clear(),
    ]) {
      await store.put(blobName('a'), testBlob('a'))
      const seen: Uint8Array[] = []
      for await (const piece of store.readRange(blobName('a'), range, { signal })) {
        seen.push(piece)
        if (seen.length === 3) await change()
      }
      assert.ok(Buffer.concat(seen).equals(bodyOf(testBlob('a')).subarray(0, 3_000)))
    }
  })

  it('readRange() stops at its signal', async () => {
    const store = await open()
    await store.put(blobName('a'), testBlob('a'))
    const controller = new AbortController()
    const range = { start: 0, end: 10_000, pieceBytes: 10 }
    const reading = async (): Promise<void> => {
      for await (const _ of store.readRange(blobName('a'), range, controller)) controller.abort()
    }
    await assert.rejects(reading(), { name: 'AbortError' })
  })
}

function changing(open: Open): void {
  it('update() changes note and expiry and keeps bytes, cost and uses', async () => {
    const store = await open()
    const blob = testBlob('a')
    await store.put(blobName('a'), blob)
    store.countUse(blobName('a'))
    const lengths = [0, 1, 40, 500, 3, blobNoteBytesMax, 700]
    for (const length of lengths) {
      const note = Buffer.alloc(length, `${length} `)
      assert.equal(await store.update(blobName('a'), { note }), true)
      note.fill(0)
      const facts = store.find(blobName('a'))
      assert.ok(Buffer.from(facts?.note ?? []).equals(Buffer.alloc(length, `${length} `)))
      assert.deepEqual([facts?.uses, facts?.costSeconds, facts?.bytes], [1, 1, 10_000])
      await assertHolds(store, 'a', blob)
    }
    assert.equal(await store.update(blobName('a'), { expiresAt: startMs + 5 }), true)
    assert.equal(store.find(blobName('a'))?.expiresAt, startMs + 5)
    assert.equal(store.find(blobName('a'))?.note.length, 700)
    assert.equal(await store.update(blobName('b'), { expiresAt: startMs }), false)
  })

  it('takes updates at the same time as puts and removals', async () => {
    const store = await open()
    const work: Promise<unknown>[] = []
    for (let round = 0; round < 12; round++) {
      work.push(store.put(blobName('a'), testBlob(`${round}`)))
      work.push(store.update(blobName('a'), { expiresAt: startMs + 1_000 + round }))
      work.push(store.update(blobName('a'), { note: Buffer.alloc(900, 1) }))
      if (round % 3 === 2) work.push(store.remove(blobName('a')))
    }
    await Promise.all(work)
    const body = await store.read(blobName('a'), { signal })
    assert.equal(body === undefined, store.find(blobName('a')) === undefined)
    const versions = Array.from({ length: 12 }, (_, round) => bodyOf(testBlob(`${round}`)))
    assert.ok(body === undefined || versions.some(version => version.equals(body)))
  })

  it('remove() tells whether there was one, and nobody of a loss', async () => {
    const store = await open()
    const lost: BlobName[] = []
    store.onLost(name => lost.push(name))
    await store.put(blobName('a'), testBlob('a'))
    assert.equal(await store.remove(blobName('a')), true)
    assert.equal(await store.remove(blobName('a')), false)
    assert.equal(store.find(blobName('a')), undefined)
    assert.deepEqual([store.stats().blobs, store.stats().bytes], [0, 0])
    assert.deepEqual(lost, [])
  })

  it('clear() leaves nothing and the store usable', async () => {
    const store = await open()
    for (const name of ['a', 'b', 'c']) await store.put(blobName(name), testBlob(name))
    await store.clear()
    assert.deepEqual([...store.list()], [])
    assert.deepEqual([store.stats().blobs, store.stats().bytes], [0, 0])
    await store.put(blobName('a'), testBlob('a'))
    await assertHolds(store, 'a', testBlob('a'))
  })
}

/** A maximum that holds so many blobs of the usual size and not one more, as this store counts. */
async function roomFor(open: Open, count: number): Promise<number> {
  const store = await open()
  await store.put(blobName('one'), testBlob('one'))
  return Math.floor(store.stats().bytes * (count + 0.5))
}

function evicting(open: Open): void {
  it('never exceeds its maximum, and tells of what it evicts', async () => {
    const store = await open(200_000)
    const lost = new Set<BlobName>()
    const end = store.onLost(name => lost.add(name))
    const names = Array.from({ length: 80 }, (_, index) => `n${index}`)
    await Promise.all(
      names.map(async (name, index) => {
        await store.put(blobName(name), testBlob(name, { bytes: (index * 997) % 30_000 }))
        assert.ok(store.stats().bytes <= 200_000)
      }),
    )
    const { blobs, evictions } = store.stats()
    assert.equal(blobs + evictions, 80)
    for (const name of names) {
      assert.equal(store.find(blobName(name)) === undefined, lost.has(blobName(name)))
    }
    end()
    lost.clear()
    await store.put(blobName('more'), testBlob('more', { bytes: 150_000 }))
    assert.ok(store.stats().evictions > evictions)
    assert.deepEqual([...lost], [], 'nobody listens any more')
  })

  it('refuses a blob larger than itself and keeps the others', async () => {
    const store = await open(32_768)
    await store.put(blobName('a'), testBlob('a'))
    const huge = testBlob('huge', { bytes: 32_768 })
    await assert.rejects(
      store.put(blobName('huge'), huge),
      (error: OperationError) => storeFailed(error) && !error.retryable,
    )
    await assertHolds(store, 'a', testBlob('a'))
    assert.equal(store.stats().evictions, 0)
  })

  it('replaces a blob that fills it, several times at once', async () => {
    const store = await open(100_000)
    const seeds = ['0', '1', '2', '3']
    await Promise.all(
      seeds.map(seed => store.put(blobName('a'), testBlob(seed, { bytes: 80_000 }))),
    )
    await assertHolds(store, 'a', testBlob('3', { bytes: 80_000 }))
    await Promise.all(
      seeds.map(seed => store.put(blobName(seed), testBlob(seed, { bytes: 80_000 }))),
    )
    assert.equal(store.stats().blobs, 1)
  })

  it('what has to go for its own successor is not lost, and leaves its uses', async () => {
    const store = await open(await roomFor(open, 2))
    const lost: BlobName[] = []
    store.onLost(name => lost.push(name))
    await store.put(blobName('dear'), testBlob('dear', { costSeconds: 90 }))
    await store.put(blobName('cheap'), testBlob('cheap', { costSeconds: 1 }))
    store.countUse(blobName('cheap'))
    await store.put(blobName('cheap'), testBlob('other', { costSeconds: 1 }))
    const note = Buffer.alloc(3_000, 1)
    assert.equal(await store.update(blobName('cheap'), { note }), true)
    await assertHolds(store, 'cheap', testBlob('other'))
    assert.equal(store.find(blobName('cheap'))?.uses, 1)
    assert.deepEqual(lost, [])
  })

  it('evicts what saves least per byte first, and keeps what is used', async () => {
    const store = await open(await roomFor(open, 3))
    await store.put(blobName('dear'), testBlob('dear', { costSeconds: 60 }))
    await store.put(blobName('cheap'), testBlob('cheap', { costSeconds: 1 }))
    await store.put(blobName('middling'), testBlob('middling', { costSeconds: 10 }))
    await store.put(blobName('new'), testBlob('new', { costSeconds: 9 }))
    assert.equal(store.find(blobName('cheap')), undefined)
    for (const name of ['dear', 'middling', 'new']) assert.ok(store.find(blobName(name)), name)
    for (let use = 0; use < 5; use++) store.countUse(blobName('new'))
    assert.equal(store.find(blobName('new'))?.uses, 5)
    await store.put(blobName('newer'), testBlob('newer', { costSeconds: 30 }))
    assert.equal(store.find(blobName('middling')), undefined)
    assert.ok(store.find(blobName('new')))
  })

  it('forgets in time what was valuable once', async () => {
    const store = await open(await roomFor(open, 3))
    await store.put(blobName('old'), testBlob('old', { costSeconds: 10 }))
    for (let index = 0; index < 60; index++) {
      await store.put(blobName(`${index}`), testBlob(`${index}`, { costSeconds: 1 }))
    }
    assert.equal(store.find(blobName('old')), undefined)
  })
}

function expiring(open: Open, clock: () => VirtualClock): void {
  it('does not serve what has expired, and tells once', async () => {
    const store = await open()
    const lost: BlobName[] = []
    store.onLost(name => lost.push(name))
    await store.put(blobName('a'), testBlob('a', { expiresAt: startMs + 1_000 }))
    await store.put(blobName('b'), testBlob('b', { expiresAt: startMs + 5_000 }))
    clock().advance(1_000)
    assert.ok(store.find(blobName('a')), 'up to the very millisecond')
    clock().advance(1)
    assert.equal(store.find(blobName('a')), undefined)
    assert.equal(await store.read(blobName('a'), { signal }), undefined)
    assert.deepEqual(
      [...store.list()].map(({ name }) => name),
      [blobName('b')],
    )
    assert.deepEqual(lost, [blobName('a')])
    await store.put(blobName('a'), testBlob('again'))
    await assertHolds(store, 'a', testBlob('again'))
  })

  it('finds by itself what has expired', async () => {
    const store = await open()
    const lost: BlobName[] = []
    store.onLost(name => lost.push(name))
    await store.put(blobName('a'), testBlob('a', { expiresAt: startMs + 1_000 }))
    await store.put(blobName('b'), testBlob('b'))
    clock().advance(60_000)
    assert.deepEqual(lost, [blobName('a')])
    assert.equal(store.stats().blobs, 1)
  })

  it('update() can prolong a life, and end it', async () => {
    const store = await open()
    await store.put(blobName('a'), testBlob('a', { expiresAt: startMs + 1_000 }))
    await store.update(blobName('a'), { expiresAt: startMs + 5_000 })
    clock().advance(3_000)
    await assertHolds(store, 'a', testBlob('a'))
    await store.update(blobName('a'), { expiresAt: startMs })
    assert.equal(store.find(blobName('a')), undefined)
    assert.equal(await store.update(blobName('a'), { expiresAt: startMs + hourMs }), false)
  })

  it('what has expired makes room before what is alive', async () => {
    const store = await open(await roomFor(open, 2))
    await store.put(blobName('dear'), testBlob('dear', { costSeconds: 90, expiresAt: startMs + 1 }))
    await store.put(blobName('cheap'), testBlob('cheap', { costSeconds: 1 }))
    clock().advance(2)
    await store.put(blobName('new'), testBlob('new'))
    assert.ok(store.find(blobName('cheap')))
    assert.equal(store.stats().evictions, 0)
  })
}

const nameOf = fc.constantFrom('a', 'b', 'c', 'd', 'e')
const step = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      type: fc.constant('put' as const),
      name: nameOf,
      bytes: fc.nat(30_000),
      noteBytes: fc.nat(300),
      lifeMs: fc.integer({ min: 0, max: 5_000 }),
    }),
  },
  fc.record({ type: fc.constant('update' as const), name: nameOf, noteBytes: fc.nat(1_000) }),
  fc.record({ type: fc.constant('remove' as const), name: nameOf }),
  fc.record({ type: fc.constant('use' as const), name: nameOf }),
  fc.record({ type: fc.constant('wait' as const), ms: fc.nat(1_500) }),
)
type Step = typeof step extends fc.Arbitrary<infer Value> ? Value : never

interface UnderTest {
  readonly store: BlobStore
  readonly clock: VirtualClock
  readonly lost: Set<BlobName>
}

/** A map that evicts nothing: what the store holds must be what it says. */
class Twin {
  readonly blobs = new Map<
    string,
    { body: Buffer; note: Buffer; expiresAt: number; uses: number }
  >()
  #version = 0

  async take(given: Step, { store, clock, lost }: UnderTest): Promise<void> {
    this.#version += 1
    const known = 'name' in given ? this.blobs.get(given.name) : undefined
    switch (given.type) {
      case 'wait':
        return clock.advance(given.ms)
      case 'use':
        store.countUse(blobName(given.name))
        if (known !== undefined && known.expiresAt >= clock.now()) known.uses += 1
        return
      case 'remove':
        this.blobs.delete(given.name)
        await store.remove(blobName(given.name))
        return
      case 'update': {
        const note = Buffer.alloc(given.noteBytes, this.#version)
        const isThere = await store.update(blobName(given.name), { note })
        if (isThere) Object.assign(known ?? assert.fail('it has none'), { note })
        return
      }
      case 'put': {
        const expiresAt = clock.now() + given.lifeMs
        const note = Buffer.alloc(given.noteBytes, this.#version)
        const blob = testBlob(`${this.#version}`, { bytes: given.bytes, expiresAt, note })
        const wasThere = store.find(blobName(given.name)) !== undefined
        lost.delete(blobName(given.name))
        await store.put(blobName(given.name), blob)
        assert.ok(!lost.has(blobName(given.name)), 'what is replaced is not lost')
        const uses = wasThere ? (known?.uses ?? 0) : 0
        this.blobs.set(given.name, { body: bodyOf(blob), note, expiresAt, uses })
      }
    }
  }
}

function twins(open: Open, clock: () => VirtualClock): void {
  for (const [what, bytesMax] of [
    ['with room for all', ample],
    ['that evicts', 60_000],
  ] as const) {
    it(`holds what a dumb twin holds: ${what}`, async () => {
      await fc.assert(
        fc.asyncProperty(fc.array(step, { maxLength: 30 }), async steps => {
          const store = await open(bytesMax)
          const twin = new Twin()
          const lost = new Set<BlobName>()
          store.onLost(name => lost.add(name))
          for (const given of steps) {
            await twin.take(given, { store, clock: clock(), lost })
            assert.ok(store.stats().bytes <= bytesMax)
          }
          await assertTwin({ store, twin, lost, now: clock().now() })
          if (bytesMax === ample) assert.equal(store.stats().evictions, 0)
          await store.stop()
        }),
        { numRuns: 25 },
      )
    })
  }
}

async function assertTwin(given: {
  readonly store: BlobStore
  readonly twin: Twin
  readonly lost: ReadonlySet<BlobName>
  readonly now: number
}): Promise<void> {
  const { store, twin, lost, now } = given
  const listed = new Map([...store.list()].map(facts => [facts.name, facts]))
  for (const name of ['a', 'b', 'c', 'd', 'e']) {
    const expected = twin.blobs.get(name)
    const facts = store.find(blobName(name))
    const body = await store.read(blobName(name), { signal })
    assert.deepEqual(listed.get(blobName(name)), facts)
    if (facts === undefined) {
      assert.equal(body, undefined)
      const isGone = expected === undefined || expected.expiresAt < now
      assert.ok(isGone || lost.has(blobName(name)), 'nothing vanishes without a word')
      continue
    }
    assert.ok(expected && expected.expiresAt >= now)
    assert.ok(body && expected.body.equals(body))
    assert.ok(expected.note.equals(facts.note))
    assert.deepEqual([facts.bytes, facts.uses], [expected.body.length, expected.uses])
  }
  assert.equal(store.stats().blobs, [...store.list()].length)
}
