import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { until } from '../../../../../test/support/until.ts'
import type { BlockRows } from '../../../../interface/kv-state.ts'
import { blockBytes, blockTokens, type StateLayout } from '../../../../key/state-layout.ts'
import { stateThreadIdleMs } from '../../../../limits.ts'
import { VirtualClock } from '../../../../std/clock.ts'
import { stateFileBytes } from '../../../state-file/state-file.ts'
import { StateThread } from './state-thread.ts'

const layout: StateLayout = {
  layers: Array.from({ length: 40 }, (_, index) => ({ keyBytes: 8, valueBytes: 4 + 2 * index })),
  settings: 'test',
}
// More pieces than one system call takes (1,024), so that the writing has to go on.
const count = 16
const tokenIds = Array.from({ length: count * blockTokens }, (_, index) => index * 3)

interface Subject {
  readonly thread: StateThread
  readonly clock: VirtualClock
  readonly path: string
}

function subject(test: TestContext): Subject {
  const folder = mkdtempSync(join(tmpdir(), 'hyperspace-thread-'))
  const clock = new VirtualClock()
  const thread = new StateThread(clock)
  test.after(async () => {
    await thread.close()
    rmSync(folder, { recursive: true })
  })
  return { thread, clock, path: join(folder, 'x.state') }
}

function someBlocks(): readonly BlockRows[] {
  return Array.from({ length: count }, (_, block) => {
    const rows = new Uint8Array(new SharedArrayBuffer(blockBytes(layout)))
    for (let at = 0; at < rows.length; at++) rows[at] = (at * 7 + block * 13) & 0x3f
    return rows
  })
}

describe('StateThread', () => {
  it('joins blocks into a file and cuts them out again', async test => {
    const { thread, path } = subject(test)
    const blocks = someBlocks()
    await thread.join({ type: 'join', path, layout, tokenIds, blocks, sequences: 4 })
    assert.equal(statSync(path).size, stateFileBytes({ layout, sequences: 4 }, tokenIds.length))
    assert.equal(statSync(path).mode & 0o777, 0o600)
    const range = { from: 3, to: 9 }
    const wanted = tokenIds.slice(0, 9 * blockTokens)
    const cut = await thread.cut({ type: 'cut', path, layout, tokenIds: wanted, range })
    assert.deepEqual(
      cut?.map(rows => Buffer.from(rows)),
      blocks.slice(3, 9).map(rows => Buffer.from(rows)),
    )
    assert.ok(cut?.every(rows => rows.buffer instanceof SharedArrayBuffer))
  })

  it('says what it cannot use, and goes on', async test => {
    const { thread, path } = subject(test)
    const job = { type: 'cut', path, layout, tokenIds, range: { from: 0, to: 1 } } as const
    assert.equal(await thread.cut(job), undefined, 'there is no file')
    await thread.join({ type: 'join', path, layout, tokenIds, blocks: someBlocks(), sequences: 1 })
    const swapped = tokenIds.with(200, 7)
    await assert.rejects(thread.cut({ ...job, tokenIds: swapped }), { code: 'block_invalid' })
    await assert.rejects(thread.cut({ ...job, tokenIds: [...tokenIds, 1] }), {
      code: 'block_invalid',
    })
    const other = { ...layout, layers: layout.layers.slice(1) }
    await assert.rejects(thread.cut({ ...job, layout: other }), { code: 'block_invalid' })
    truncateSync(path, statSync(path).size - 1)
    await assert.rejects(thread.cut(job), { code: 'block_invalid' })
    writeFileSync(path, 'nonsense')
    await assert.rejects(thread.cut(job), { code: 'block_invalid' })
    const there = readFileSync(path)
    const again = thread.join({
      ...{ type: 'join', path, layout, tokenIds, sequences: 1 },
      blocks: someBlocks(),
    })
    await assert.rejects(again, { code: 'engine_failed' }, 'writes over nothing')
    assert.deepEqual(readFileSync(path), there)
  })

  it('ends when it had nothing to do for a while, and begins again', async test => {
    const { thread, clock, path } = subject(test)
    const job = { type: 'cut', path, layout, tokenIds, range: { from: 0, to: 1 } } as const
    assert.equal(thread.isRunning, false)
    await thread.cut(job)
    clock.advance(stateThreadIdleMs - 1)
    await thread.cut(job)
    clock.advance(stateThreadIdleMs - 1)
    assert.equal(thread.isRunning, true)
    clock.advance(1)
    assert.equal(thread.isRunning, false)
    assert.equal(await thread.cut(job), undefined)
  })

  it('ends as well when the job that it was started for does not come', async test => {
    const { thread, clock } = subject(test)
    thread.warmUp()
    assert.equal(thread.isRunning, true)
    clock.advance(stateThreadIdleMs)
    assert.equal(thread.isRunning, false)
  })

  it('close() fails what waits and whoever comes', async test => {
    const { thread, path } = subject(test)
    const job = { type: 'cut', path, layout, tokenIds, range: { from: 0, to: 1 } } as const
    const waiting = assert.rejects(thread.cut(job), { code: 'engine_failed' })
    await until(() => thread.isRunning, test.signal)
    await thread.close()
    await waiting
    await assert.rejects(thread.cut(job), { code: 'engine_failed' })
    assert.equal(thread.isRunning, false)
  })
})
