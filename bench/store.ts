import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { open } from 'lmdb'
import { silentLog } from '../src/interface/log.ts'
import { type LookupKey, parseLookupKey } from '../src/key/response-key.ts'
import { MiB } from '../src/limits.ts'
import { systemClock } from '../src/std/clock.ts'
import { LmdbStore } from '../src/store/lmdb-store.ts'
import { MemoryStore } from '../src/store/memory-store.ts'
import type { BenchResult, BenchRow } from './bench-result.ts'

const recordCount = 20_000
const recordBytes = 2_048
const inFlight = 64
const getCount = 200_000
const bytesMax = 512 * MiB

interface Subject {
  readonly name: string
  put(index: number): Promise<unknown>
  get(index: number): unknown
  /**
   * Resolves when all puts are on disk. The disk store's puts say so themselves; lmdb's come back
   * earlier.
   */
  flushed(): Promise<unknown>
  stop(): Promise<void>
}

const keys: readonly LookupKey[] = Array.from({ length: 2 * recordCount }, () => {
  const key = parseLookupKey(randomBytes(32).toString('hex'))
  if (key === undefined) throw new TypeError('32 bytes are a key')
  return key
})
const bytes: Uint8Array = randomBytes(recordBytes)

/**
 * Puts 2 KB records, 64 at the same time, and gets them, beside lmdb alone with the same keys and
 * sizes.
 */
export async function run(): Promise<BenchResult> {
  const folder = mkdtempSync(join(tmpdir(), 'hyperspace-bench-'))
  try {
    const raw = await measure(rawLmdb(join(folder, 'raw')))
    const disk = await measure(await diskStore(join(folder, 'records')))
    const memory = await measure(memoryStore())
    const rows = [
      ...rowsOf('lmdb alone', raw, undefined),
      ...rowsOf('disk store', disk, raw),
      ...rowsOf('memory store', memory, raw),
    ]
    return { name: 'store', rows }
  } finally {
    rmSync(folder, { recursive: true })
  }
}

interface Speeds {
  readonly put: number
  readonly getHit: number
  readonly getMiss: number
}

async function measure(subject: Subject): Promise<Speeds> {
  const putStart = performance.now()
  let next = 0
  const lane = async (): Promise<void> => {
    while (next < recordCount) {
      const index = next
      next += 1
      await subject.put(index)
    }
  }
  await Promise.all(Array.from({ length: inFlight }, lane))
  await subject.flushed()
  const put = perSecond(recordCount, putStart)
  const getHit = await measureGets(subject, 0)
  const getMiss = await measureGets(subject, recordCount)
  await subject.stop()
  return { put, getHit, getMiss }
}

/** Gets in turns of 1,000: between them the event loop moves on, as between requests. */
async function measureGets(subject: Subject, first: number): Promise<number> {
  const start = performance.now()
  for (let index = 0; index < getCount; index++) {
    const found = subject.get(first + ((index * 7_919) % recordCount))
    if ((found === undefined) !== first > 0) throw new Error(`${subject.name} is wrong at ${index}`)
    if (index % 1_000 === 0) await new Promise(resolve => setImmediate(resolve))
  }
  return perSecond(getCount, start)
}

function perSecond(count: number, startMs: number): number {
  return (count * 1_000) / (performance.now() - startMs)
}

function rawLmdb(path: string): Subject {
  const database = open<Uint8Array, Uint8Array>({ path, encoding: 'binary', keyEncoding: 'binary' })
  const ids = keys.map(key => Buffer.from(key, 'hex'))
  const idOf = (index: number): Uint8Array => ids[index] ?? new Uint8Array()
  return {
    name: 'lmdb',
    put: index => database.put(idOf(index), bytes),
    get: index => database.getBinary(idOf(index)),
    flushed: async () => await database.flushed,
    stop: () => database.close(),
  }
}

async function diskStore(folder: string): Promise<Subject> {
  const store = new LmdbStore({ clock: systemClock, log: silentLog }, { folder, bytesMax })
  await store.start({ signal: new AbortController().signal })
  return subjectOf(store)
}

function memoryStore(): Subject {
  return subjectOf(new MemoryStore({ clock: systemClock }, { bytesMax }))
}

function subjectOf(store: LmdbStore | MemoryStore): Subject {
  const now = systemClock.now()
  const meta = {
    costSeconds: 2,
    createdAt: now,
    expiresAt: now + 3_600_000,
    fieldDigests: { model: '0123456789abcdef', messages: '0123456789abcdef' },
  }
  const keyOf = (index: number): LookupKey => {
    const key = keys[index]
    if (key === undefined) throw new RangeError(`There is no key ${index}`)
    return key
  }
  return {
    name: store.name,
    put: index => store.put(keyOf(index), { bytes, meta }),
    get: index => store.get(keyOf(index)),
    flushed: () => Promise.resolve(),
    stop: () => store.stop(),
  }
}

function rowsOf(name: string, speeds: Speeds, raw: Speeds | undefined): readonly BenchRow[] {
  const row = (label: string, speed: keyof Speeds): BenchRow => ({
    label: `${name}: ${label}`,
    value: speeds[speed],
    unit: '/s',
    ...(raw === undefined ? {} : { ratio: speeds[speed] / raw[speed], of: 'lmdb alone' }),
  })
  return [
    row(`put 2 KB, ${inFlight} in flight`, 'put'),
    row('get, hit', 'getHit'),
    row('get, miss', 'getMiss'),
  ]
}
