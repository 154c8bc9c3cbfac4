import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { until } from '../../../../../test/support/until.ts'
import { silentLog } from '../../../../interface/log.ts'
import { systemRandom } from '../../../../std/random.ts'
import { TaskScope } from '../../../../std/task-scope.ts'
import { StateFolder } from './state-folder.ts'

interface Subject {
  readonly folder: StateFolder
  readonly scope: TaskScope
  readonly memoryRoot: string
  readonly diskRoot: string
}

function subject(test: TestContext, random = systemRandom): Subject {
  const root = mkdtempSync(join(tmpdir(), 'hyperspace-folder-'))
  test.after(() => rmSync(root, { recursive: true, force: true }))
  const [memoryRoot, diskRoot] = [join(root, 'memory'), join(root, 'disk')]
  mkdirSync(memoryRoot)
  const scope = new TaskScope(() => undefined)
  const folder = new StateFolder({ log: silentLog, scope, random }, { diskRoot, memoryRoot })
  return { folder, scope, memoryRoot, diskRoot }
}

describe('StateFolder', () => {
  it('gives other names each time, in a folder for its owner only, and removes it', async test => {
    const { folder, scope, memoryRoot } = subject(test)
    await folder.open()
    const [first, second] = [await folder.fileFor(1), await folder.fileFor(1)]
    assert.notEqual(first, second)
    assert.match(basename(first), /^[0-9a-f]{32}\.state$/)
    assert.equal(dirname(dirname(first)), memoryRoot)
    assert.equal(statSync(dirname(first)).mode & 0o777, 0o700)
    for (const path of [first, second]) writeFileSync(path, 'state')
    folder.remove(first)
    folder.remove(join(dirname(first), 'never-written.state'))
    await scope.drain()
    assert.deepEqual([existsSync(first), existsSync(second)], [false, true])
    await folder.close()
    assert.equal(existsSync(dirname(first)), false)
    await assert.rejects(folder.fileFor(1), { code: 'store_failed' })
    assert.deepEqual(readdirSync(memoryRoot), [], 'nobody would remove it')
  })

  it('takes the disk for what memory has no room for, and says when nothing has', async test => {
    const { folder, diskRoot } = subject(test)
    // Beyond any machine's memory, and within what a sparse look at the disk may hold: neither.
    await assert.rejects(folder.fileFor(2 ** 52), { code: 'store_failed' })
    const unavailable = new StateFolder(
      { log: silentLog, scope: new TaskScope(() => undefined), random: systemRandom },
      { diskRoot, memoryRoot: join(diskRoot, 'is not there') },
    )
    const path = await unavailable.fileFor(1)
    assert.equal(dirname(dirname(path)), diskRoot)
    await unavailable.close()
    await folder.close()
  })

  it('removes what processes have left that are gone, and nothing else', async test => {
    const { folder, memoryRoot, diskRoot } = subject(test)
    const own = basename(dirname(await folder.fileFor(1)))
    const [namespace, pid, start] = own.split('-').slice(2)
    // A process that has ended.
    const gone = spawnSync(process.execPath, ['--version']).pid
    mkdirSync(diskRoot, { recursive: true })
    const dead = [
      join(memoryRoot, `hyperspace-state-${namespace}-${gone}-1-abcdef`),
      join(diskRoot, `hyperspace-state-${namespace}-${gone}-1-abcdef`),
      // This pid, but of a process that began at another time.
      ...(start === '0' ? [] : [join(memoryRoot, `hyperspace-state-${namespace}-${pid}-1-abcdef`)]),
    ]
    const kept = [
      join(memoryRoot, own),
      join(memoryRoot, `hyperspace-state-${Number(namespace) + 1}-${gone}-1-abcdef`),
      join(memoryRoot, 'hyperspace-state-of-somebody'),
      join(memoryRoot, `other-${namespace}-${gone}-1-abcdef`),
    ]
    for (const path of [...dead, ...kept]) {
      mkdirSync(path, { recursive: true })
      writeFileSync(join(path, 'x.state'), 'state')
    }
    await folder.open()
    assert.deepEqual(dead.filter(existsSync), [])
    assert.deepEqual(kept.filter(existsSync), kept)
    await folder.close()
  })

  it('removes what a process has left that only waits to be reaped', {
    skip: process.platform === 'linux' ? false : 'only Linux shows that a process has ended',
  }, async test => {
    const { folder, memoryRoot } = subject(test)
    const own = basename(dirname(await folder.fileFor(1)))
    // sleep has a child that it knows nothing of, and that ends when sleep is there.
    const parent = spawn('sh', ['-c', 'cat <&3 >/dev/null & echo $!; exec sleep 60'], {
      stdio: ['ignore', 'pipe', 'inherit', 'pipe'],
    })
    test.after(() => parent.kill('SIGKILL'))
    assert.ok(parent.stdout !== null)
    const [pid] = await once(parent.stdout, 'data')
    await until(() => readFileSync(`/proc/${parent.pid}/comm`, 'utf8') === 'sleep\n', test.signal)
    parent.stdio[3]?.destroy()
    const stat = `/proc/${Number(pid)}/stat`
    await until(() => /\) Z /.test(readFileSync(stat, 'utf8')), test.signal)
    const start = readFileSync(stat, 'utf8').split(') ')[1]?.split(' ')[19]
    const namespace = own.split('-')[2]
    const left = join(memoryRoot, `hyperspace-state-${namespace}-${Number(pid)}-${start}-abcdef`)
    mkdirSync(left)
    await folder.open()
    assert.equal(existsSync(left), false)
    await folder.close()
  })
})
