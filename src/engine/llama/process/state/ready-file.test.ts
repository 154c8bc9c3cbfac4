import assert from 'node:assert/strict'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import type { BlockRows } from '../../../../interface/kv-state.ts'
import { silentLog } from '../../../../interface/log.ts'
import { blockBytes, blockTokens } from '../../../../key/state-layout.ts'
import { blockInlineBytesMax, KiB, readyMemoryIdleMs } from '../../../../limits.ts'
import { systemRandom } from '../../../../std/random.ts'
import { SimulatedClock } from '../../../../std/simulated-clock.ts'
import { TaskScope } from '../../../../std/task-scope.ts'
import { joinBlocks, stateFileBytes } from '../../../state-file/state-file.ts'
import { ReadyFile } from './ready-file.ts'
import { StateFolder } from './state-folder.ts'
import { StateThread } from './state-thread.ts'
import { StreamedJoin } from './streamed-join.ts'

const layout = {
  layers: Array.from({ length: 4 }, () => ({ keyBytes: 600, valueBytes: 600 })),
  settings: 'test',
}
const form = { layout, sequences: 2 }
const tokenIds = Array.from({ length: 2 * blockTokens }, (_, index) => index)
const blocks: readonly BlockRows[] = [3, 5].map(value =>
  new Uint8Array(new SharedArrayBuffer(blockBytes(layout))).fill(value),
)
const whole = Buffer.concat(joinBlocks({ ...form, tokenIds, blocks }))
const wholeBytes = stateFileBytes(form, tokenIds.length)

interface Subject {
  readonly files: ReadyFile
  readonly folder: StateFolder
  readonly thread: StateThread
  readonly clock: SimulatedClock
  readonly scope: TaskScope
  /** Lets the ready file be made, if it is to be. */
  rest(): Promise<void>
  /** Joins the two blocks to a file, as an import does. */
  joined(): Promise<string>
  names(): readonly string[]
}

function subject(test: TestContext, hasMemory = true): Subject {
  const root = mkdtempSync(join(tmpdir(), 'hyperspace-ready-'))
  const clock = new SimulatedClock()
  const scope = new TaskScope((task, error) => assert.fail(`${task}: ${error}`))
  const memoryRoot = join(root, 'memory')
  if (hasMemory) mkdirSync(memoryRoot)
  const thread = new StateThread()
  const folder = new StateFolder(
    { log: silentLog, scope, random: systemRandom },
    { memoryRoot, diskRoot: join(root, 'disk') },
  )
  const files = new ReadyFile({ clock, log: silentLog, scope, folder, thread })
  test.after(async () => {
    files.close()
    await thread.close()
    await scope.close()
    await folder.close()
    rmSync(root, { recursive: true, force: true })
  })
  const rest = async (): Promise<void> => {
    await scope.drain()
    await clock.run(readyMemoryIdleMs)
    await scope.drain()
  }
  const joined = async (): Promise<string> => {
    const joining = new StreamedJoin({ files, thread, scope }, form, tokenIds)
    for (const rows of blocks) joining.add(rows)
    return (await joining.finish()).path
  }
  const names = (): readonly string[] => {
    const all = readdirSync(root, { recursive: true, encoding: 'utf8' })
    return all.filter(name => name.endsWith('.state'))
  }
  return { files, folder, thread, clock, scope, rest, joined, names }
}

describe('ReadyFile', () => {
  it('keeps no file before it is told to', async test => {
    const { files, rest, joined, names } = subject(test)
    const path = await joined()
    assert.ok(readFileSync(path).equals(whole))
    files.remove(path)
    await rest()
    assert.deepEqual(names(), [])
  })

  for (const [what, bytes] of [
    ['as large', wholeBytes],
    ['larger', wholeBytes + 300 * KiB],
    ['smaller', wholeBytes - 500 * KiB],
  ] as const) {
    it(`a file that is ready, ${what}, becomes the very file that a new one would`, async test => {
      const { files, rest, joined, names } = subject(test)
      files.keep(bytes)
      await rest()
      const ready = names()
      assert.equal(ready.length, 1)
      for (let round = 0; round < 3; round++) {
        const path = await joined()
        assert.ok(readFileSync(path).equals(whole))
        assert.deepEqual(names(), ready, 'no other file was made')
        files.remove(path)
        assert.ok(existsSync(path))
        await rest()
        assert.deepEqual(names(), ready)
        assert.ok(readFileSync(path).equals(Buffer.alloc(bytes)), 'nothing of the state is left')
      }
    })
  }

  it('gives it to one at a time, and to nobody who needs little', async test => {
    const { files, rest, joined, names } = subject(test)
    files.keep(wholeBytes)
    await rest()
    const [ready = ''] = names()
    const small = await files.fileFor(blockInlineBytesMax)
    assert.equal(small.isReady, false)
    const paths = await Promise.all([joined(), joined()])
    assert.equal(paths.filter(path => path.endsWith(ready)).length, 1)
    for (const path of paths) {
      assert.ok(readFileSync(path).equals(whole))
      files.remove(path)
    }
    await rest()
    assert.equal(names().length, 1, 'one is kept')
  })

  it('makes another one when the used one does not come back in time', async test => {
    const { files, rest, joined, names } = subject(test)
    files.keep(wholeBytes)
    await rest()
    const path = await joined()
    await rest()
    assert.equal(names().length, 2)
    files.remove(path)
    await rest()
    assert.equal(names().length, 1)
    assert.ok(!existsSync(path))
  })

  it('falls back to a new file where there is no room for the rest', async test => {
    const { files, folder, rest, names } = subject(test)
    files.keep(wholeBytes)
    await rest()
    const { mock } = test.mock.method(folder, 'fileFor', async () => '/elsewhere/x.state')
    const file = await files.fileFor(2 * wholeBytes)
    assert.deepEqual(file, { path: '/elsewhere/x.state', isReady: false })
    mock.restore()
    await rest()
    assert.equal(names().length, 1, 'the one that was too small has made way for the next')
  })

  it('leaves nothing when it cannot be written, and tries again after the next use', async test => {
    const { files, thread, rest, joined, names } = subject(test)
    const { mock } = test.mock.method(thread, 'zero', () => Promise.reject(new Error('no room')))
    files.keep(wholeBytes)
    await rest()
    assert.deepEqual(names(), [])
    const path = await joined()
    mock.restore()
    files.remove(path)
    await rest()
    assert.equal(names().length, 1)
  })

  it('keeps no file that was not ready, nor one that has grown far', async test => {
    const { files, folder, rest, joined, names } = subject(test)
    files.keep(wholeBytes)
    await rest()
    const paths = [await joined(), await joined()] as const
    const saved = await folder.fileFor(wholeBytes)
    for (const path of [saved, paths[1]]) files.remove(path)
    await rest()
    assert.equal(names().length, 2, 'the one in use, and a new one')
    files.remove(paths[0])
    const grown = await files.fileFor(2 * wholeBytes + 1)
    assert.equal(grown.isReady, true)
    files.remove(grown.path)
    await rest()
    assert.equal(names().length, 1)
    assert.notEqual(names()[0], grown.path)
    assert.ok(!existsSync(grown.path))
  })

  it('is made once more when a larger one is to be kept', async test => {
    const { files, rest, joined, names } = subject(test)
    files.keep(wholeBytes / 2)
    files.keep(wholeBytes)
    await rest()
    const [ready] = names()
    files.keep(wholeBytes + 1)
    files.keep(5)
    await rest()
    assert.deepEqual(names(), [ready])
    const path = await joined()
    files.remove(path)
    await rest()
    assert.equal(statSync(path).size, wholeBytes + 1)
  })

  it('is made behind the last of many, and not when memory is short', async test => {
    const { files, clock, scope, thread, joined, names } = subject(test)
    const zeroed = test.mock.method(thread, 'zero')
    const { mock } = test.mock.method(process, 'availableMemory', () => 4 * wholeBytes)
    files.keep(wholeBytes)
    await scope.drain()
    assert.deepEqual(names(), [])
    mock.restore()
    for (let use = 0; use < 3; use++) {
      files.remove(await joined())
      await clock.run(readyMemoryIdleMs - 1)
    }
    await scope.drain()
    assert.equal(zeroed.mock.callCount(), 0)
    await clock.run(1)
    await scope.drain()
    assert.equal(zeroed.mock.callCount(), 1)
    assert.equal(names().length, 1)
  })

  it('makes none on disk, where it would spare nothing', async test => {
    const { files, rest, names } = subject(test, false)
    files.keep(wholeBytes)
    await rest()
    const { path } = await files.fileFor(wholeBytes)
    files.remove(path)
    await rest()
    assert.deepEqual(names(), [])
  })

  it('close() lets a used file be removed, and makes no other', async test => {
    const { files, rest, joined, names } = subject(test)
    files.keep(wholeBytes)
    await rest()
    const path = await joined()
    files.close()
    files.remove(path)
    await rest()
    assert.deepEqual(names(), [])
  })
})
