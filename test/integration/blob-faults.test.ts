import assert from 'node:assert/strict'
import {
  chmodSync,
  closeSync,
  mkdtempSync,
  openSync,
  readdirSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import type { OperationError } from '../../src/errors.ts'
import { blobName, bodyOf, testBlob } from '../../src/interface/blob-store.compliance.ts'
import { type Log, silentLog } from '../../src/interface/log.ts'
import { MiB } from '../../src/limits.ts'
import { VirtualClock } from '../../src/std/clock.ts'
import { FileStore } from '../../src/store/files/file-store.ts'
import { mountTmpfs } from '../support/mount.ts'
import { until } from '../support/until.ts'

const { signal } = new AbortController()

interface Opened {
  readonly store: FileStore
  readonly clock: VirtualClock
  readonly logged: readonly string[]
}

async function openStore(test: TestContext, folder: string): Promise<Opened> {
  const logged: string[] = []
  const note = (event: string, fields?: object): void => {
    logged.push(`${event} ${JSON.stringify(fields)}`)
  }
  const log: Log = { ...silentLog, warn: note, info: note }
  const clock = new VirtualClock()
  const store = new FileStore({ clock, log }, { folder, bytesMax: 256 * MiB })
  await store.start({ signal })
  test.after(() => store.stop())
  return { store, clock, logged }
}

/** Fills the file system to its last byte. Returns what frees it again. */
function fill(folder: string): () => void {
  const path = join(folder, 'ballast')
  const file = openSync(path, 'w')
  try {
    for (const bytes of [1_048_576, 4_096, 1]) {
      for (;;) if (writeSync(file, Buffer.alloc(bytes)) === 0) break
    }
  } catch (error) {
    assert.match(String(error), /ENOSPC/)
  } finally {
    closeSync(file)
  }
  return () => rmSync(path)
}

async function assertHolds({ store }: Opened, name: string): Promise<void> {
  const body = await store.read(blobName(name), { signal })
  assert.ok(body && bodyOf(testBlob(name)).equals(body), name)
}

function refused(why: RegExp): (error: OperationError) => boolean {
  return error => error.code === 'store_failed' && error.retryable && why.test(error.message)
}

function temporaryFilesIn(folder: string): readonly string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter(name =>
    name.endsWith('.tmp'),
  )
}

describe('FileStore on a disk that fails', () => {
  it('full: goes on reading, says why, leaves no half files, and resumes', async test => {
    const mount = mountTmpfs(test, 'size=16m')
    if (mount === undefined) return
    const folder = join(mount.folder, 'blobs')
    const opened = await openStore(test, folder)
    const { store, clock, logged } = opened
    await store.put(blobName('before'), testBlob('before'))
    const free = fill(mount.folder)
    const large = testBlob('large', { bytes: 2 * MiB })
    const puts = [1, 2, 3].map(index => store.put(blobName(`large ${index}`), large))
    for (const outcome of await Promise.allSettled(puts)) {
      assert.ok(outcome.status === 'rejected' && refused(/disk of .* is full/)(outcome.reason))
    }
    assert.match(store.stats().readOnlyBecause ?? '', /is full/)
    await assert.rejects(store.put(blobName('next'), testBlob('next')), refused(/is full/))
    await assert.rejects(store.update(blobName('before'), { expiresAt: 8e15 }), refused(/is full/))
    await assertHolds(opened, 'before')
    assert.deepEqual(temporaryFilesIn(folder), [])
    assert.equal(store.stats().blobs, 1)

    free()
    clock.advance(60_000)
    await until(() => store.stats().readOnlyBecause === undefined, test.signal)
    await store.put(blobName('after'), testBlob('after'))
    await assertHolds(opened, 'after')
    await assertHolds(opened, 'before')
    assert.equal(logged.filter(line => line.startsWith('store read-only')).length, 1)
    assert.equal(logged.filter(line => line.startsWith('store writable again')).length, 1)
    for (const name of ['before', 'large 1']) assert.ok(!logged.join().includes(blobName(name)))
  })

  it('full, and then something is removed: that helps', async test => {
    const mount = mountTmpfs(test, 'size=16m')
    if (mount === undefined) return
    const { store, clock } = await openStore(test, join(mount.folder, 'blobs'))
    const large = testBlob('large', { bytes: 4 * MiB })
    await store.put(blobName('large'), large)
    fill(mount.folder)
    await assert.rejects(store.put(blobName('other'), large), refused(/is full/))
    assert.equal(await store.remove(blobName('large')), true)
    clock.advance(1_000)
    await until(() => store.stats().readOnlyBecause === undefined, test.signal)
    await store.put(blobName('small'), testBlob('small'))
  })

  it('read-only while it runs: goes on reading, keeps what it cannot remove, and resumes', async test => {
    const mount = mountTmpfs(test, 'size=16m')
    if (mount === undefined) return
    const folder = join(mount.folder, 'blobs')
    const opened = await openStore(test, folder)
    const { store, clock } = opened
    for (const name of ['a', 'b']) await store.put(blobName(name), testBlob(name))
    mount.remount('ro')
    await assert.rejects(store.put(blobName('c'), testBlob('c')), refused(/read-only/))
    await assert.rejects(store.remove(blobName('a')), refused(/read-only/))
    await assert.rejects(store.clear(), refused(/read-only/))
    assert.match(store.stats().readOnlyBecause ?? '', /read-only/)
    for (const name of ['a', 'b']) await assertHolds(opened, name)
    mount.remount('rw')
    clock.advance(60_000)
    await until(() => store.stats().readOnlyBecause === undefined, test.signal)
    await store.put(blobName('c'), testBlob('c'))
    await store.clear()
    assert.deepEqual([store.stats().blobs, store.stats().bytes], [0, 0])
  })

  it('read-only at the start: what is there is served', async test => {
    const mount = mountTmpfs(test, 'size=16m')
    if (mount === undefined) return
    const folder = join(mount.folder, 'blobs')
    const before = await openStore(test, folder)
    await before.store.put(blobName('a'), testBlob('a'))
    await before.store.put(blobName('old'), testBlob('old', { expiresAt: 1 }))
    await before.store.stop()
    mount.remount('ro')
    const opened = await openStore(test, folder)
    assert.match(opened.store.stats().readOnlyBecause ?? '', /read-only/)
    await assertHolds(opened, 'a')
    assert.equal(opened.store.find(blobName('old')), undefined)
    await assert.rejects(opened.store.put(blobName('b'), testBlob('b')), refused(/read-only/))
    const empty = await openStore(test, join(mount.folder, 'nothing yet'))
    assert.match(empty.store.stats().readOnlyBecause ?? '', /read-only/)
  })

  it('a folder that this account may not write to: refuses, and resumes', async test => {
    if (process.getuid?.() === 0) return test.skip('root may write anywhere')
    const folder = mkdtempSync(join(tmpdir(), 'hyperspace-blobs-'))
    test.after(() => rmSync(folder, { recursive: true, force: true }))
    const { store, clock } = await openStore(test, folder)
    chmodSync(folder, 0o500)
    await assert.rejects(store.put(blobName('a'), testBlob('a')), refused(/cannot be written/))
    chmodSync(folder, 0o700)
    clock.advance(60_000)
    await until(() => store.stats().readOnlyBecause === undefined, test.signal)
    await store.put(blobName('a'), testBlob('a'))
  })

  it('a file in place of a subfolder: says so, and goes on with other names', async test => {
    const folder = mkdtempSync(join(tmpdir(), 'hyperspace-blobs-'))
    test.after(() => rmSync(folder, { recursive: true, force: true }))
    const opened = await openStore(test, folder)
    const { store, clock } = opened
    writeFileSync(join(folder, blobName('a').slice(0, 2)), 'a file')
    await assert.rejects(store.put(blobName('a'), testBlob('a')), refused(/ENOTDIR/))
    clock.advance(60_000)
    await until(() => store.stats().readOnlyBecause === undefined, test.signal)
    await store.put(blobName('b'), testBlob('b'))
    await assertHolds(opened, 'b')
  })
})
