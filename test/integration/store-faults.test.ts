import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, it, type TestContext } from 'node:test'
import { OperationError } from '../../src/errors.ts'
import { type Log, silentLog } from '../../src/interface/log.ts'
import { testKey, testRecord } from '../../src/interface/store.compliance.ts'
import { VirtualClock } from '../../src/std/clock.ts'
import { LmdbStore } from '../../src/store/lmdb-store.ts'

const root = mkdtempSync(join(tmpdir(), 'hyperspace-faults-'))
after(() => rmSync(root, { recursive: true, force: true }))
const signal = new AbortController().signal
const bytesMax = 64 * 1024 * 1024

/**
 * Mounts, and unmounts after the test; false, with the test skipped, where that is not permitted.
 */
function mount(t: TestContext, folder: string, args: readonly string[]): boolean {
  mkdirSync(folder, { recursive: true })
  try {
    execFileSync('mount', [...args, folder], { stdio: 'pipe' })
  } catch (error) {
    t.skip(`mounting is not permitted here: ${error}`)
    return false
  }
  // Lazily: where it may not write a lock file, LMDB keeps its data file open until the process
  // ends.
  t.after(() => execFileSync('umount', ['--lazy', folder]))
  return true
}

/** A log whose events can be waited for. */
function eventLog(): { log: Log; next: (event: string) => Promise<void> } {
  const waiting = new Map<string, () => void>()
  const tell = (event: string): void => {
    waiting.get(event)?.()
    waiting.delete(event)
  }
  return {
    log: { ...silentLog, warn: tell, info: tell },
    next: event => new Promise(resolve => waiting.set(event, resolve)),
  }
}

function isUnusable(folder: string, why: RegExp): (error: unknown) => boolean {
  return error => {
    assert.ok(error instanceof OperationError)
    assert.equal(error.code, 'data_folder_unusable')
    assert.ok(error.message.includes(folder), error.message)
    assert.match(error.message, why)
    assert.match(error.message, /--data DIR/)
    return true
  }
}

/** Puts until the store refuses. Returns how many it took. */
async function fill(store: LmdbStore, prefix: string): Promise<number> {
  for (let index = 0; index < 5_000; index++) {
    try {
      await store.put(testKey(`${prefix} ${index}`), testRecord(`${prefix} ${index}`))
    } catch (error) {
      assert.ok(error instanceof OperationError)
      assert.equal(error.code, 'store_failed')
      assert.match(error.message, /full/)
      assert.ok(error.retryable)
      return index
    }
  }
  return assert.fail('the disk never became full')
}

describe('a disk store in trouble', () => {
  it('reads on while the disk is full, and writes again when it is not', async t => {
    const disk = join(root, 'small disk')
    if (!mount(t, disk, ['-t', 'tmpfs', '-o', 'size=6m', 'tmpfs'])) return
    const ballast = join(disk, 'ballast')
    writeFileSync(ballast, Buffer.alloc(3 * 1024 * 1024))
    const folder = join(disk, 'records')
    const clock = new VirtualClock()
    const { log, next } = eventLog()
    const store = new LmdbStore({ clock, log }, { folder, bytesMax })
    await store.start({ signal })
    t.after(() => store.stop())

    const readOnly = next('store read-only')
    const count = await fill(store, 'first')
    await readOnly
    assert.ok(count > 100)
    assert.match(store.stats().tiers[0]?.readOnlyBecause ?? '', /is full/)
    assert.equal(store.stats().tiers[0]?.records, count)
    for (let index = 0; index < count; index++) {
      const found = store.get(testKey(`first ${index}`))
      assert.ok(found && Buffer.compare(found.bytes, testRecord(`first ${index}`).bytes) === 0)
    }
    await assert.rejects(store.remove(testKey('first 0')), /full/)

    rmSync(ballast)
    const writable = next('store writable again')
    clock.advance(1_000)
    await writable
    assert.equal(store.stats().tiers[0]?.readOnlyBecause, undefined)
    await store.put(testKey('second'), testRecord('second'))
    assert.ok(store.get(testKey('second')) && store.get(testKey('first 0')))
    writeFileSync(ballast, Buffer.alloc(1024 * 1024))
    await fill(store, 'third')
    await store.stop()

    const full = new LmdbStore({ clock, log }, { folder, bytesMax })
    fillFile(ballast)
    await assert.rejects(full.start({ signal }), isUnusable(folder, /its disk is full/))
    rmSync(ballast)
    await full.start({ signal })
    assert.ok(full.get(testKey('second')), 'all is there when there is room again')
    await full.stop()
  })

  it('does not start on a read-only file system, but can be read there', async t => {
    const folder = join(root, 'frozen', 'records')
    const clock = new VirtualClock()
    const parts = { clock, log: silentLog }
    const before = new LmdbStore(parts, { folder, bytesMax })
    await before.start({ signal })
    await before.put(testKey('a'), testRecord('a'))
    await before.stop()
    const frozen = join(root, 'frozen')
    if (!mount(t, frozen, ['--bind', frozen])) return
    execFileSync('mount', ['-o', 'remount,ro,bind', frozen])
    const store = new LmdbStore(parts, { folder, bytesMax })
    await assert.rejects(store.start({ signal }), isUnusable(folder, /file system is read-only/))
    const reader = new LmdbStore(parts, { folder, bytesMax, openReadOnly: true })
    await reader.start({ signal })
    assert.ok(reader.get(testKey('a')))
    await reader.stop()
  })

  it('says so when its folder is a file', async () => {
    const path = join(root, 'file')
    writeFileSync(path, 'not a folder')
    for (const folder of [path, join(path, 'records')]) {
      const store = new LmdbStore(
        { clock: new VirtualClock(), log: silentLog },
        { folder, bytesMax },
      )
      await assert.rejects(store.start({ signal }), isUnusable(folder, /is a file/))
    }
  })
})

/** Writes until no byte fits. */
function fillFile(path: string): void {
  try {
    for (;;) writeFileSync(path, Buffer.alloc(4_096), { flag: 'a' })
  } catch (error) {
    assert.ok(error instanceof Error && 'code' in error && error.code === 'ENOSPC')
  }
}
