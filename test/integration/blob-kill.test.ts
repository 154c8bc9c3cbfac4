import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { globSync, mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { after, describe, it } from 'node:test'
import { bodyOf } from '../../src/interface/blob-store.compliance.ts'
import { type Log, silentLog } from '../../src/interface/log.ts'
import { systemClock } from '../../src/std/clock.ts'
import { FileStore } from '../../src/store/files/file-store.ts'
import { blobOfNumber, nameOfNumber, successorsOf } from '../support/blob-put-child.ts'
import { seededRandom } from '../support/seeded-random.ts'

const root = mkdtempSync(join(tmpdir(), 'hyperspace-kill-'))
after(() => rmSync(root, { recursive: true, force: true }))
const childPath = join(import.meta.dirname, '../support/blob-put-child.ts')

interface Round {
  readonly folder: string
  readonly first: number
  readonly bytesMax: number
  readonly killAfter: number
}

/** Runs the child until it has acknowledged so many puts, kills it, and returns their numbers. */
async function putUntilKilled(round: Round): Promise<readonly number[]> {
  const { folder, first, bytesMax, killAfter } = round
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

/** Bytes that the files of a folder take. */
function bytesOnDisk(folder: string): number {
  const files = globSync('**/*', { cwd: folder, withFileTypes: true }).filter(file => file.isFile())
  return files
    .map(file => statSync(join(file.parentPath, file.name)).size)
    .reduce((sum, size) => sum + Math.ceil(size / 4_096) * 4_096, 0)
}

/** Opens a store that nobody stopped, and checks every blob in it. Tells the numbers it holds. */
async function verify({ folder, bytesMax }: Round): Promise<ReadonlySet<number>> {
  const { signal } = new AbortController()
  const warnings: string[] = []
  const log: Log = { ...silentLog, warn: event => void warnings.push(event) }
  const store = new FileStore({ clock: systemClock, log }, { folder, bytesMax })
  await store.start({ signal })
  const held = new Set<number>()
  for (const { name, note } of store.list()) {
    const number = Number(Buffer.from(note).toString())
    assert.equal(name, nameOfNumber(number), 'the note is of a blob of this name')
    const body = await store.read(name, { signal })
    assert.ok(body && bodyOf(blobOfNumber(number)).equals(body), 'what is there is whole')
    held.add(number)
  }
  assert.deepEqual(warnings, [], 'nothing was damaged')
  assert.equal(store.stats().blobs, held.size)
  assert.equal(store.stats().bytes, bytesOnDisk(folder), 'and nothing else is left on the disk')
  await store.stop()
  return held
}

describe('kill -9 while blobs are put', () => {
  it('loses nothing that was acknowledged and leaves nothing half written', async () => {
    const random = seededRandom(20_261_125)
    for (let index = 0; index < 4; index++) {
      const round = {
        folder: join(root, 'ample'),
        first: index * 10_000,
        bytesMax: 1024 * 1024 * 1024,
        killAfter: 1 + Math.floor(random() * 400),
      }
      const acknowledged = await putUntilKilled(round)
      const held = await verify(round)
      for (const number of acknowledged) {
        assert.ok(
          successorsOf(number).some(other => held.has(other)),
          `${number} or what replaced it`,
        )
      }
    }
  })

  it('keeps its maximum while it evicts', async () => {
    const random = seededRandom(7)
    for (let index = 0; index < 3; index++) {
      const round = {
        folder: join(root, 'scarce'),
        first: index * 10_000,
        bytesMax: 2 * 1024 * 1024,
        killAfter: 100 + Math.floor(random() * 300),
      }
      await putUntilKilled(round)
      assert.ok(bytesOnDisk(round.folder) <= round.bytesMax, 'half written ones included')
      assert.ok((await verify(round)).size > 10)
    }
  })
})
