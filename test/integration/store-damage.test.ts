import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import { silentLog } from '../../src/interface/log.ts'
import { testKey, testRecord } from '../../src/interface/store.compliance.ts'
import { VirtualClock } from '../../src/std/clock.ts'
import { LmdbStore } from '../../src/store/lmdb-store.ts'
import type { DamageReport } from '../support/store-damage-child.ts'

const root = mkdtempSync(join(tmpdir(), 'hyperspace-damage-'))
after(() => rmSync(root, { recursive: true, force: true }))
const signal = new AbortController().signal
const childPath = join(import.meta.dirname, '../support/store-damage-child.ts')

/** A store with history: replaced and removed records have left pages in the free list. */
async function makeStore(folder: string): Promise<void> {
  const store = new LmdbStore(
    { clock: new VirtualClock(), log: silentLog },
    { folder, bytesMax: 4_000_000 },
  )
  await store.start({ signal })
  for (let round = 0; round < 8; round++) {
    const puts = Array.from({ length: 200 }, (_, index) =>
      store.put(testKey(`k${index}`), testRecord(`k${index}`, { bytes: 100 + index * 30 })),
    )
    await Promise.all(puts)
  }
  await store.stop()
}

async function damageInChild(seeds: readonly number[]): Promise<readonly DamageReport[]> {
  const source = join(root, 'source', 'records')
  await makeStore(source)
  const child = spawn(
    process.execPath,
    [childPath, source, join(root, 'work'), ...seeds.map(String)],
    {
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  )
  const [output, progress] = ['', '']
  const text = { output, progress }
  child.stdout.setEncoding('utf8').on('data', piece => (text.output += piece))
  child.stderr.setEncoding('utf8').on('data', piece => (text.progress += piece))
  const [exitCode, signalName] = await once(child, 'close')
  const last = text.progress.trim().split('\n').slice(-8).join(' | ')
  assert.deepEqual([exitCode, signalName], [0, null], `the process died at: ${last}`)
  const lines = text.output.trim().split('\n')
  return lines.map(line => JSON.parse(line))
}

describe('a damaged store', () => {
  it('is moved aside or served without what is damaged, and never kills the node', async () => {
    const seeds = [3, 5, 8, 11, 14, 21, 34, 55, 89, 144, 233, 377]
    const reports = await damageInChild(seeds)
    assert.equal(reports.length, 13 + seeds.length)
    for (const report of reports) {
      const { damage } = report
      assert.equal(report.wrong, 0, `${damage}: a wrong answer`)
      assert.equal(report.puts, 200, `${damage}: not writable afterwards`)
      if (report.movedAside) assert.equal(report.right, 0, damage)
      if (Number.isNaN(Number(damage))) {
        const isIntact = damage === 'none' || damage === 'empty'
        assert.equal(report.movedAside, !isIntact, `${damage}: moved aside`)
      } else if (!report.movedAside)
        assert.ok(report.right > 150, `${damage}: ${report.right} right`)
    }
    assert.equal(reports[0]?.right, 200)
    assert.match(reports.find(({ damage }) => damage === 'a tenth')?.reason ?? '', /truncated/)
    assert.match(
      reports.find(({ damage }) => damage === 'another version')?.reason ?? '',
      /format 999/,
    )
    assert.ok(
      reports.some(report => report.missed > 0 && !report.movedAside),
      'a miss for a damaged one',
    )
  })
})
