import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { after, describe, it } from 'node:test'
import { type Log, silentLog } from '../../src/interface/log.ts'
import { testKey } from '../../src/interface/store.compliance.ts'
import { systemClock } from '../../src/std/clock.ts'
import { openDatabases } from '../../src/store/lmdb/databases.ts'
import { decodeRecordEntry, diskBytes } from '../../src/store/lmdb/record-entry.ts'
import { LmdbStore } from '../../src/store/lmdb-store.ts'
import { seededRandom } from '../support/seeded-random.ts'
import { recordOfNumber } from '../support/store-put-child.ts'

const root = mkdtempSync(join(tmpdir(), 'hyperspace-kill-'))
after(() => rmSync(root, { recursive: true, force: true }))
const childPath = join(import.meta.dirname, '../support/store-put-child.ts')

/**
 * Runs the child until it has acknowledged so many puts, kills it, and returns the numbers it
 * acknowledged.
 */
async function putUntilKilled(options: {
  readonly folder: string
  readonly first: number
  readonly bytesMax: number
  readonly killAfter: number
}): Promise<readonly number[]> {
  const { folder, first, bytesMax, killAfter } = options
  const child = spawn(process.execPath, [childPath, folder, `${first}`, `${bytesMax}`], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const acknowledged: number[] = []
  const closed = once(child, 'close')
  for await (const line of createInterface({ input: child.stdout })) {
    acknowledged.push(Number(line))
    if (acknowledged.length === killAfter) child.kill('SIGKILL')
  }
  const [, signalName] = await closed
  assert.equal(signalName, 'SIGKILL', 'the child ended before it was killed')
  return acknowledged
}

/**
 * Opens a store that nobody stopped and checks every record and count in it. Returns which of the
 * numbers it holds.
 */
async function verify(
  folder: string,
  bytesMax: number,
  acknowledged: readonly number[],
): Promise<readonly number[]> {
  const warnings: string[] = []
  const log: Log = { ...silentLog, warn: event => void warnings.push(event) }
  const store = new LmdbStore({ clock: systemClock, log }, { folder, bytesMax })
  await store.start({ signal: new AbortController().signal })
  try {
    const numberCount = Math.max(...acknowledged) + 200
    const numbers = new Map(
      Array.from({ length: numberCount }, (_, number) => [testKey(`${number}`), number]),
    )
    let listedCount = 0
    for (const { key, meta } of store.list()) {
      listedCount += 1
      const number = numbers.get(key)
      assert.ok(number !== undefined, 'a record that nobody put')
      const found = store.peek(key)
      assert.ok(found, `record ${number} is listed but cannot be read`)
      assert.equal(Buffer.compare(found.bytes, recordOfNumber(number).bytes), 0, `${number}`)
      assert.deepEqual([found.meta, meta], Array(2).fill(recordOfNumber(number).meta))
    }
    const tier = store.stats().tiers[0]
    assert.ok(tier && tier.bytes <= bytesMax)
    assert.deepEqual([tier.records, tier.bytes], [listedCount, await recount(folder, bytesMax)])
    assert.deepEqual(warnings, [], 'nothing was damaged or moved aside')
    return acknowledged.filter(number => store.peek(testKey(`${number}`)) !== undefined)
  } finally {
    await store.stop()
  }
}

async function recount(folder: string, bytesMax: number): Promise<number> {
  const databases = openDatabases(folder, { bytesMax, readOnly: false })
  let bytes = 0
  for (const { key, value } of databases?.entries.getRange({}) ?? []) {
    const entry = decodeRecordEntry(key, Buffer.from(value))
    assert.ok(entry)
    bytes += diskBytes(entry)
  }
  await databases?.root.close()
  return bytes
}

describe('kill -9 while records are put', () => {
  it('loses nothing that was acknowledged and leaves nothing half written', async () => {
    const folder = join(root, 'ample', 'records')
    const bytesMax = 256 * 1024 * 1024
    const random = seededRandom(20_261_122)
    const acknowledged: number[] = []
    for (let round = 0; round < 5; round++) {
      const killAfter = 1 + Math.floor(random() * 1_500)
      const first = round * 20_000
      acknowledged.push(...(await putUntilKilled({ folder, first, bytesMax, killAfter })))
      assert.deepEqual(await verify(folder, bytesMax, acknowledged), acknowledged)
    }
  })

  it('keeps its maximum and its counts while it evicts', async () => {
    const folder = join(root, 'scarce', 'records')
    const bytesMax = 2 * 1024 * 1024
    const random = seededRandom(7)
    for (let round = 0; round < 3; round++) {
      const killAfter = 1_000 + Math.floor(random() * 1_500)
      const first = round * 20_000
      const acknowledged = await putUntilKilled({ folder, first, bytesMax, killAfter })
      const held = await verify(folder, bytesMax, acknowledged)
      assert.ok(held.length > 50 && held.length < acknowledged.length, `${held.length} held`)
    }
  })
})
