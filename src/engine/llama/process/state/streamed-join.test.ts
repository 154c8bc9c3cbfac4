import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import type { BlockRows } from '../../../../interface/kv-state.ts'
import { silentLog } from '../../../../interface/log.ts'
import { blockBytes, blockTokens } from '../../../../key/state-layout.ts'
import { systemClock } from '../../../../std/clock.ts'
import { systemRandom } from '../../../../std/random.ts'
import { TaskScope } from '../../../../std/task-scope.ts'
import { joinBlocks } from '../../../state-file/state-file.ts'
import { ReadyFile } from './ready-file.ts'
import { StateFolder } from './state-folder.ts'
import { StateThread } from './state-thread.ts'
import { StreamedJoin, type StreamedJoinComponents } from './streamed-join.ts'
import { warmUpState } from './warm-up-state.ts'

const form = {
  layout: {
    layers: [
      { keyBytes: 6, valueBytes: 4 },
      { keyBytes: 2, valueBytes: 8 },
    ],
    settings: 'test',
  },
  sequences: 3,
}
const count = 5
const tokenIds = Array.from({ length: count * blockTokens }, (_, index) => index * 3)
const blocks: readonly BlockRows[] = Array.from({ length: count }, (_, block) => {
  const rows = new Uint8Array(new SharedArrayBuffer(blockBytes(form.layout)))
  for (let at = 0; at < rows.length; at++) rows[at] = (at * 7 + block * 13) & 0x3f
  return rows
})
const whole = Buffer.concat(joinBlocks({ ...form, tokenIds, blocks }))

/** Tells what is written. */
interface Watched {
  /** Blocks that were placed at once, job by job. */
  readonly placed: readonly number[]
  /** Resolves with the end of the next job. */
  hasPlaced(): Promise<void>
}

interface Subject extends Watched {
  readonly parts: StreamedJoinComponents
  readonly thread: StateThread
  readonly root: string
  /** Names of the files that are there, once nothing is on its way. */
  files(): Promise<readonly string[]>
}

function watched(thread: StateThread): Watched & StreamedJoinComponents['thread'] {
  const placed: number[] = []
  let next = Promise.withResolvers<void>()
  return {
    placed,
    hasPlaced: () => next.promise,
    begin: job => thread.begin(job),
    async place(job) {
      await thread.place(job)
      placed.push(job.blocks.length)
      next.resolve()
      next = Promise.withResolvers()
    },
  }
}

function subject(test: TestContext): Subject {
  const root = mkdtempSync(join(tmpdir(), 'hyperspace-streamed-'))
  const scope = new TaskScope((task, error) => assert.fail(`${task}: ${error}`))
  const options = { diskRoot: join(root, 'disk'), memoryRoot: undefined }
  const folder = new StateFolder({ log: silentLog, scope, random: systemRandom }, options)
  const thread = new StateThread()
  const watch = watched(thread)
  test.after(async () => {
    await thread.close()
    await scope.close()
    rmSync(root, { recursive: true, force: true })
  })
  const files = async (): Promise<readonly string[]> => {
    // What abandons a file removes it in a task of its own.
    while (scope.runningCount > 0) await scope.drain()
    const names = readdirSync(root, { recursive: true, encoding: 'utf8' })
    return names.filter(name => name.endsWith('.state'))
  }
  const ready = new ReadyFile({ clock: systemClock, log: silentLog, scope, folder, thread })
  const parts = { scope, files: ready, thread: watch }
  return { ...watch, parts, thread, root, files }
}

describe('StreamedJoin', () => {
  it('writes what joinBlocks() joins, block by block as they come', async test => {
    const { parts, placed: jobs, hasPlaced, files } = subject(test)
    const join = new StreamedJoin(parts, form, tokenIds)
    for (const rows of blocks) {
      const placed = hasPlaced()
      join.add(rows)
      await placed
    }
    const file = await join.finish()
    assert.deepEqual(file.tokenIds, tokenIds)
    assert.ok(readFileSync(file.path).equals(whole))
    assert.deepEqual(jobs, [1, 1, 1, 1, 1])
    parts.files.remove(file.path)
    assert.deepEqual(await files(), [])
  })

  it('writes together what comes together', async test => {
    const { parts, placed, hasPlaced } = subject(test)
    const join = new StreamedJoin(parts, form, tokenIds)
    for (const rows of blocks.slice(0, 2)) join.add(rows)
    await hasPlaced()
    for (const rows of blocks.slice(2)) join.add(rows)
    const file = await join.finish()
    assert.ok(readFileSync(file.path).equals(whole))
    const all = placed.reduce((sum, blocks) => sum + blocks)
    assert.equal(all, count)
    assert.ok(placed.length <= 3, String(placed))
  })

  it('abandon() leaves no file, whenever it comes', async test => {
    const { parts, hasPlaced, files } = subject(test)
    for (const added of [0, 1, count]) {
      const join = new StreamedJoin(parts, form, tokenIds)
      for (const rows of blocks.slice(0, added)) join.add(rows)
      join.abandon()
      assert.deepEqual(await files(), [], `${added} blocks, at once`)
      const later = new StreamedJoin(parts, form, tokenIds)
      const placed = added > 0 ? hasPlaced() : undefined
      for (const rows of blocks.slice(0, added)) later.add(rows)
      await placed
      later.abandon()
      later.abandon()
      assert.deepEqual(await files(), [], `${added} blocks, later`)
    }
  })

  it('finish() throws what kept it from being written, and leaves no file', async test => {
    const { parts, files, root } = subject(test)
    const wrong = new StreamedJoin(parts, form, tokenIds)
    for (const rows of [...blocks.slice(1), new Uint8Array(new SharedArrayBuffer(7))]) {
      wrong.add(rows)
    }
    await assert.rejects(wrong.finish(), { code: 'block_invalid' })
    assert.deepEqual(await files(), [])
    // The folder is taken away: no file can be made in it.
    for (const name of readdirSync(join(root, 'disk'))) {
      rmSync(join(root, 'disk', name), { recursive: true })
    }
    const homeless = new StreamedJoin(parts, form, tokenIds)
    for (const rows of blocks) homeless.add(rows)
    await assert.rejects(homeless.finish())
    mkdirSync(join(root, 'disk'), { recursive: true })
    assert.deepEqual(await files(), [])
  })

  it('ends when the thread dies or is closed meanwhile', async test => {
    const { parts, thread } = subject(test)
    const join = new StreamedJoin(parts, form, tokenIds)
    for (const rows of blocks) join.add(rows)
    const failed = assert.rejects(join.finish(), { code: 'engine_failed' })
    await thread.close()
    await failed
  })
})

describe('warmUpState()', () => {
  it('starts the thread and leaves no file', async test => {
    const { parts, thread, files } = subject(test)
    await warmUpState({ ...parts, thread })
    assert.equal(thread.isRunning, true)
    assert.deepEqual(await files(), [])
  })

  it('tells that the thread was closed meanwhile', async test => {
    const { parts, thread } = subject(test)
    const failed = assert.rejects(warmUpState({ ...parts, thread }), { code: 'engine_failed' })
    await thread.close()
    await failed
  })
})
