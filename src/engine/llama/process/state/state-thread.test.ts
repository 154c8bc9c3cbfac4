import assert from 'node:assert/strict'
import {
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { Worker } from 'node:worker_threads'
import { until } from '../../../../../test/support/until.ts'
import type { BlockRows } from '../../../../interface/kv-state.ts'
import { blockBytes, blockTokens, type StateLayout } from '../../../../key/state-layout.ts'
import { stateJobsMax } from '../../../../limits.ts'
import { joinBlocks, stateFileBytes } from '../../../state-file/state-file.ts'
import { StateThread, startStateWorker } from './state-thread.ts'

const layout: StateLayout = {
  layers: Array.from({ length: 40 }, (_, index) => ({ keyBytes: 8, valueBytes: 4 + 2 * index })),
  settings: 'test',
}
// More pieces than one system call takes (1,024), so that the writing has to go on.
const count = 16
const tokenIds = Array.from({ length: count * blockTokens }, (_, index) => index * 3)

interface Subject {
  readonly thread: StateThread
  readonly path: string
}

function subject(test: TestContext, startWorker = startStateWorker): Subject {
  const folder = mkdtempSync(join(tmpdir(), 'hyperspace-thread-'))
  const thread = new StateThread(startWorker)
  test.after(async () => {
    await thread.close()
    rmSync(folder, { recursive: true })
  })
  return { thread, path: join(folder, 'x.state') }
}

function someBlocks(): readonly BlockRows[] {
  return Array.from({ length: count }, (_, block) => {
    const rows = new Uint8Array(new SharedArrayBuffer(blockBytes(layout)))
    for (let at = 0; at < rows.length; at++) rows[at] = (at * 7 + block * 13) & 0x3f
    return rows
  })
}

const form = { layout, sequences: 4 }

async function written(thread: StateThread, path: string): Promise<void> {
  await thread.begin({ type: 'begin', isReady: false, path, form, tokenIds })
  await thread.place({ ...placing(path), from: 0, blocks: someBlocks() })
}

function placing(path: string) {
  return { type: 'place', path, form, tokens: tokenIds.length } as const
}

describe('StateThread', () => {
  it('writes blocks into a file, all at once or one by one, and cuts them out again', async test => {
    const { thread, path } = subject(test)
    const blocks = someBlocks()
    await written(thread, path)
    assert.equal(statSync(path).size, stateFileBytes(form, tokenIds.length))
    const whole = Buffer.concat(joinBlocks({ ...form, tokenIds, blocks }))
    assert.ok(readFileSync(path).equals(whole))
    const other = `${path}.other`
    await thread.begin({ type: 'begin', isReady: false, path: other, form, tokenIds })
    for (const [from, rows] of [...blocks.entries()].reverse()) {
      await thread.place({ ...placing(other), from, blocks: [rows] })
    }
    assert.ok(readFileSync(other).equals(whole))
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
    await written(thread, path)
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
    const again = thread.begin({ type: 'begin', isReady: false, path, form, tokenIds })
    await assert.rejects(again, { code: 'engine_failed' }, 'writes over nothing')
    assert.deepEqual(readFileSync(path), there)
  })

  it('leaves no file when it cannot be written to its end', {
    skip: existsSync('/dev/full') ? false : 'no device here that is always full',
  }, async test => {
    const { thread, path } = subject(test)
    const place = (blocks: readonly BlockRows[]): Promise<void> =>
      thread.place({ ...placing(path), from: 0, blocks })
    await assert.rejects(place(someBlocks()), { code: 'engine_failed' }, 'it was not begun')
    assert.equal(existsSync(path), false)
    // The name of a device that takes no byte.
    symlinkSync('/dev/full', path)
    await assert.rejects(place(someBlocks()), { code: 'engine_failed' })
    assert.equal(existsSync(path), false)
    await thread.begin({ type: 'begin', isReady: false, path, form, tokenIds })
    await assert.rejects(place([new Uint8Array(7)]), { code: 'block_invalid' })
  })

  it('fails what was to be done when its thread dies, and begins again', async test => {
    // The first one answers nothing: a real one may be done before it is ended.
    const idle = new Worker('setInterval(() => undefined, 60_000)', { eval: true, execArgv: [] })
    const workers = [idle]
    const { thread, path } = subject(test, () => workers.pop() ?? startStateWorker())
    const job = { type: 'cut', path, layout, tokenIds, range: { from: 0, to: 1 } } as const
    assert.equal(thread.isRunning, false)
    const waiting = assert.rejects(thread.cut(job), { code: 'engine_failed' })
    assert.equal(thread.isRunning, true)
    await idle.terminate()
    await waiting
    assert.equal(thread.isRunning, false)
    assert.equal(await thread.cut(job), undefined)
    assert.equal(thread.isRunning, true)
  })

  it('fails what is to be done while there is no thread to be had, however often', async test => {
    let isRefused = true
    const { thread, path } = subject(test, () => {
      if (isRefused) throw new Error('EAGAIN')
      return startStateWorker()
    })
    const job = { type: 'cut', path, layout, tokenIds, range: { from: 0, to: 1 } } as const
    for (let count = 0; count <= stateJobsMax; count++) {
      await assert.rejects(thread.cut(job), { code: 'engine_failed', retryable: true })
    }
    isRefused = false
    assert.equal(await thread.cut(job), undefined)
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
