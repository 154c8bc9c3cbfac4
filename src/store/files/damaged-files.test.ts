import assert from 'node:assert/strict'
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { after, describe, it } from 'node:test'
import { temporaryFolders } from '../../../test/support/temporary-folders.ts'
import { blobName, bodyOf, testBlob } from '../../interface/blob-store.compliance.ts'
import type { BlobName } from '../../interface/blob-store.ts'
import { type Log, silentLog } from '../../interface/log.ts'
import { VirtualClock } from '../../std/clock.ts'
import { FileStore } from './file-store.ts'

const folders = temporaryFolders()
after(() => folders.remove())
const { signal } = new AbortController()
const blob = testBlob('a', { bytes: 300, note: Buffer.from('a note') })
const name = blobName('a')

interface Opened {
  readonly store: FileStore
  readonly warnings: readonly string[]
  readonly lost: readonly BlobName[]
}

async function openStore(folder: string, bytesMax = 1_000_000): Promise<Opened> {
  const warnings: string[] = []
  const log: Log = {
    ...silentLog,
    warn: (event, fields) => void warnings.push(`${event} ${JSON.stringify(fields)}`),
  }
  const store = new FileStore({ clock: new VirtualClock(), log }, { folder, bytesMax })
  const lost: BlobName[] = []
  store.onLost(given => lost.push(given))
  await store.start({ signal })
  return { store, warnings, lost }
}

function fileOf(folder: string): string {
  return join(folder, name.slice(0, 2), name)
}

/** The bytes of a file that holds `blob`. */
async function writtenFile(folder: string): Promise<Buffer> {
  const { store } = await openStore(folder)
  await store.put(name, blob)
  await store.stop()
  return readFileSync(fileOf(folder))
}

describe('FileStore with files on the disk', () => {
  it('finds them again when it starts, without what was expired or half written', async () => {
    const folder = folders.next()
    const { store } = await openStore(folder)
    await store.put(name, blob)
    await store.put(blobName('b'), testBlob('b', { expiresAt: 1 }))
    await store.update(name, { note: Buffer.from('another note') })
    await store.stop()
    const leftover = `${fileOf(folder)}.12.tmp`
    const foreign = join(folder, 'README')
    writeFileSync(leftover, 'half a blob')
    writeFileSync(foreign, 'mine')
    const again = await openStore(folder)
    assert.deepEqual(
      [...again.store.list()].map(facts => [facts.name, Buffer.from(facts.note).toString()]),
      [[name, 'another note']],
    )
    assert.ok(bodyOf(blob).equals((await again.store.read(name, { signal })) ?? Buffer.alloc(0)))
    assert.deepEqual([existsSync(leftover), existsSync(foreign)], [false, true])
    assert.deepEqual(again.warnings, [])
    await again.store.stop()
  })

  it('evicts down to a maximum that is lower than before', async () => {
    const folder = folders.next()
    const { store } = await openStore(folder)
    for (const [index, letter] of [...'abcdef'].entries()) {
      await store.put(blobName(letter), testBlob(letter, { bytes: 3_000, costSeconds: index + 1 }))
    }
    await store.stop()
    const again = await openStore(folder, 3 * 4_096)
    const kept = [...again.store.list()].map(facts => facts.name)
    assert.deepEqual(kept.sort(), ['d', 'e', 'f'].map(blobName).sort())
    assert.ok(again.store.stats().bytes <= 3 * 4_096)
    await again.store.stop()
  })

  it('a byte changed anywhere is noticed at the start or when it is read, never served', async () => {
    const folder = folders.next()
    const bytes = await writtenFile(folder)
    let atStart = 0
    let whenRead = 0
    // Room for a longer note is nobody's.
    const noteEnd = 84 + blob.note.length
    for (let position = 0; position < bytes.length; position++) {
      if (position >= noteEnd && position < 512) continue
      const changed = Buffer.from(bytes)
      changed[position] = (changed[position] ?? 0) ^ (1 << (position % 8))
      writeFileSync(fileOf(folder), changed)
      const { store, warnings, lost } = await openStore(folder)
      if (store.find(name) === undefined) atStart += 1
      assert.equal(await store.read(name, { signal }), undefined, `byte ${position}`)
      if (lost.length > 0) whenRead += 1
      assert.equal(store.find(name), undefined)
      assert.equal(warnings.length, 1)
      assert.ok(!warnings.join().includes(name))
      await store.stop()
      assert.equal(existsSync(fileOf(folder)), false)
    }
    assert.deepEqual([atStart, whenRead], [noteEnd, 300])
  })

  it('a file that is cut anywhere, or longer, is gone', async () => {
    const folder = folders.next()
    const bytes = await writtenFile(folder)
    const files = [
      ...Array.from({ length: 150 }, (_, end) => bytes.subarray(0, end)),
      ...[150, 300, 511, 512, 513, 700, bytes.length - 1].map(end => bytes.subarray(0, end)),
      Buffer.concat([bytes, Buffer.of(0)]),
      Buffer.alloc(100_000, 'HSBF'),
    ]
    for (const file of files) {
      writeFileSync(fileOf(folder), file)
      const { store } = await openStore(folder)
      assert.equal(store.find(name), undefined)
      assert.equal(existsSync(fileOf(folder)), false)
      await store.stop()
    }
  })

  it("a file under another blob's name is damaged", async () => {
    const folder = folders.next()
    await writtenFile(folder)
    const other = blobName('b')
    mkdirSync(join(folder, other.slice(0, 2)), { recursive: true })
    renameSync(fileOf(folder), join(folder, other.slice(0, 2), other))
    const { store } = await openStore(folder)
    assert.deepEqual([...store.list()], [])
    await store.stop()
  })

  it('files that are cut, changed or taken away while it runs are lost when they are read', async () => {
    const folder = folders.next()
    const { store, lost } = await openStore(folder)
    const file = fileOf(folder)
    const told: BlobName[] = []
    const damages: readonly (() => void)[] = [
      () => writeFileSync(file, readFileSync(file).subarray(0, 700)),
      () => writeFileSync(file, readFileSync(file).fill(1, 600, 601)),
      () => rmSync(file),
      () => rmSync(dirname(file), { recursive: true }),
      () => rmSync(folder, { recursive: true }),
    ]
    for (const damage of damages) {
      await store.put(name, blob)
      damage()
      assert.ok(store.find(name), 'it cannot know yet')
      assert.equal(await store.read(name, { signal }), undefined)
      assert.equal(store.find(name), undefined)
      told.push(name)
      assert.deepEqual(lost, told)
    }
    await store.stop()
    assert.equal(existsSync(file), false)
  })

  it('readRange() of a file that was cut ends early, and it is lost', async () => {
    const folder = folders.next()
    const { store, lost } = await openStore(folder)
    await store.put(name, blob)
    writeFileSync(fileOf(folder), readFileSync(fileOf(folder)).subarray(0, 512 + 150))
    const pieces: Uint8Array[] = []
    const range = { start: 0, end: 300, pieceBytes: 100 }
    for await (const piece of store.readRange(name, range, { signal })) pieces.push(piece)
    assert.ok(Buffer.concat(pieces).equals(bodyOf(blob).subarray(0, 100)))
    assert.deepEqual(lost, [name])
    await store.stop()
  })

  it('start() ends at its signal, and leaves nothing behind', async () => {
    const folder = folders.next()
    const { store } = await openStore(folder, 10_000_000)
    for (let index = 0; index < 300; index++) {
      await store.put(blobName(`${index}`), testBlob(`${index}`, { bytes: 1 }))
    }
    await store.stop()
    const controller = new AbortController()
    const clock = new VirtualClock()
    const again = new FileStore({ clock, log: silentLog }, { folder, bytesMax: 10_000_000 })
    const starting = again.start(controller)
    controller.abort()
    await assert.rejects(starting, { name: 'AbortError' })
    assert.deepEqual([...again.list()], [])
    const third = await openStore(folder, 10_000_000)
    assert.equal(third.store.stats().blobs, 300)
    await third.store.stop()
  })

  it('a file in place of its folder: one clear error', async () => {
    const folder = folders.next()
    mkdirSync(dirname(folder), { recursive: true })
    writeFileSync(folder, 'something else')
    await assert.rejects(openStore(folder), { code: 'data_folder_unusable' })
    assert.equal(readFileSync(folder, 'utf8'), 'something else')
  })

  it('takes nothing before it starts and after it has stopped', async () => {
    const folder = folders.next()
    const clock = new VirtualClock()
    const store = new FileStore({ clock, log: silentLog }, { folder, bytesMax: 10_000_000 })
    for (const state of ['before', 'after']) {
      const failed = { code: 'store_failed' }
      await assert.rejects(store.put(name, blob), failed, state)
      await assert.rejects(store.remove(name), failed)
      assert.equal(await store.read(name, { signal }), undefined)
      if (state === 'before') await store.start({ signal })
      await store.stop()
    }
  })
})
