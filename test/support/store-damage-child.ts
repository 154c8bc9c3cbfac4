import { copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { silentLog } from '../../src/interface/log.ts'
import { testKey, testRecord } from '../../src/interface/store.compliance.ts'
import { VirtualClock } from '../../src/std/clock.ts'
import { LmdbStore } from '../../src/store/lmdb-store.ts'
import { seededBytes, seededRandom } from './seeded-random.ts'

/**
 * Runs in a process of its own, because LMDB may kill it: damages copies of a store, opens each,
 * reads and writes, and prints what came of it, one JSON line per damage.
 *
 *     node store-damage-child.ts FOLDER_OF_A_STORE WORK_FOLDER SEED…
 */
export interface DamageReport {
  readonly damage: string
  readonly movedAside: boolean
  readonly reason: string | undefined
  /** Of the records that were in the store. */
  readonly right: number
  readonly missed: number
  readonly wrong: number
  readonly puts: number
}

const recordCount = 200
const bytesMax = 4_000_000
const signal = new AbortController().signal

type Damage = (file: Buffer, random: () => number) => Buffer

/** Named damages, and the ones that a seed chooses. */
const damages: { readonly [name: string]: Damage } = {
  none: file => file,
  empty: () => Buffer.alloc(0),
  'ten bytes': file => file.subarray(0, 10),
  'one page': file => file.subarray(0, 4_096),
  'two pages': file => file.subarray(0, 8_192),
  'a tenth': file => file.subarray(0, file.length / 10),
  // Of the rest of the file much is reserve and free pages, which nobody would miss.
  'a fifth': file => file.subarray(0, file.length / 5),
  'garbage head': file => overwrite(file, 0, 4_096, 1),
  'garbage second head': file => overwrite(file, 4_096, 4_096, 2),
  'all garbage': file => overwrite(file, 0, file.length, 3),
  'all zero': file => Buffer.alloc(file.length),
  'another version': file => patch(patch(file, 28, 999), 4_096 + 28, 999),
  'a text file': () => Buffer.from('this is not a database\n'.repeat(1_000)),
}

function seededDamage(file: Buffer, random: () => number): Buffer {
  const page = 2 + Math.floor(random() * (file.length / 4_096 - 2))
  const kind = Math.floor(random() * 4)
  if (kind === 0) return overwrite(file, page * 4_096, 4_096, page)
  // The header and the slots of a page, where numbers are that LMDB follows blindly.
  if (kind === 1) return overwrite(file, page * 4_096 + Math.floor(random() * 120), 4, page)
  if (kind === 2) return overwrite(file, Math.floor(random() * (file.length - 64)), 64, page)
  const damaged = Buffer.from(file)
  const source = 2 + Math.floor(random() * (file.length / 4_096 - 2))
  file.copy(damaged, page * 4_096, source * 4_096, (source + 1) * 4_096)
  return damaged
}

function overwrite(file: Buffer, offset: number, bytes: number, seed: number): Buffer {
  const damaged = Buffer.from(file)
  damaged.set(seededBytes(seed, bytes), offset)
  return damaged
}

function patch(file: Buffer, offset: number, value: number): Buffer {
  const damaged = Buffer.from(file)
  damaged.writeUInt32LE(value, offset)
  return damaged
}

async function tryDamage(source: string, folder: string, name: string): Promise<DamageReport> {
  mkdirSync(folder, { recursive: true })
  const seed = Number(name)
  const damage = damages[name] ?? seededDamage
  const file = damage(readFileSync(join(source, 'data.mdb')), seededRandom(seed || 1))
  writeFileSync(join(folder, 'data.mdb'), file)
  // A lock file of another process, or garbage.
  if (seed % 2 === 0) writeFileSync(join(folder, 'lock.mdb'), seededBytes(seed, 8_192))
  else copyFileSync(join(source, 'lock.mdb'), join(folder, 'lock.mdb'))
  let reason: string | undefined
  const log = {
    ...silentLog,
    warn: (event: string, fields?: { readonly reason?: unknown }) => {
      if (event === 'store moved aside') reason = String(fields?.reason)
    },
  }
  const store = new LmdbStore({ clock: new VirtualClock(), log }, { folder, bytesMax })
  await store.start({ signal })
  const counts = { right: 0, missed: 0, wrong: 0 }
  for (let index = 0; index < recordCount; index++) {
    const found = store.get(testKey(`k${index}`))
    const expected = testRecord(`k${index}`, { bytes: 100 + index * 30 }).bytes
    if (found === undefined) counts.missed += 1
    else counts[Buffer.compare(found.bytes, expected) === 0 ? 'right' : 'wrong'] += 1
  }
  let puts = 0
  for (let round = 0; round < 4; round++) {
    const written = Array.from({ length: 50 }, (_, index) =>
      store.put(testKey(`new ${round} ${index}`), testRecord('new', { bytes: index * 100 })),
    )
    for (const outcome of await Promise.allSettled(written)) {
      if (outcome.status === 'fulfilled') puts += 1
    }
  }
  await store.stop()
  const names = readdirSync(dirname(folder))
  const movedAside = names.some(entry => entry.startsWith('records.corrupt-'))
  return { damage: name, movedAside, reason, ...counts, puts }
}

async function main(source: string, work: string, names: readonly string[]): Promise<void> {
  for (const [index, name] of [...Object.keys(damages), ...names].entries()) {
    // Said before it is tried, so that a crash has a name.
    process.stderr.write(`${name}\n`)
    const folder = join(work, `${index}`, 'records')
    const report = await tryDamage(source, folder, name)
    process.stdout.write(`${JSON.stringify(report)}\n`)
    rmSync(join(work, `${index}`), { recursive: true })
  }
}

const [source, work, ...names] = process.argv.slice(2)
if (source !== undefined && work !== undefined) await main(source, work, names)
