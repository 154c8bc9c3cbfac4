import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { utimesSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, readFile, rm, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, beforeEach, describe, it } from 'node:test'
import { type Log, silentLog } from '../../interface/log.ts'
import { type HashProgress, ModelDigests } from './model-digest.ts'

const { signal } = new AbortController()
const idOf = (bytes: Uint8Array): string =>
  `sha256:${createHash('sha256').update(bytes).digest('hex')}`

describe('ModelDigests', () => {
  let root = ''
  let dataDir = ''
  let path = ''
  let warnings: string[] = []
  const log: Log = { ...silentLog, warn: event => warnings.push(event) }
  const content = Buffer.alloc(3 * 1024 * 1024 + 7, 'model')

  before(async () => {
    root = await mkdtemp(join(tmpdir(), 'model-digest-'))
  })
  after(async () => {
    await rm(root, { recursive: true, force: true })
  })
  beforeEach(async () => {
    dataDir = await mkdtemp(join(root, 'data-'))
    path = join(dataDir, 'a.gguf')
    await writeFile(path, content)
    warnings = []
  })

  /** Hashes again in a fresh process' stead; returns how often a chunk was read. */
  async function digest(): Promise<{ id: string; progress: HashProgress[] }> {
    const progress: HashProgress[] = []
    const digests = new ModelDigests({ log }, { dataDir })
    const onProgress = (step: HashProgress): void => {
      progress.push(step)
    }
    return { id: await digests.modelId(path, { signal, onProgress }), progress }
  }

  it('modelId() reads the file once, across restarts', async () => {
    const first = await digest()
    assert.equal(first.id, idOf(content))
    assert.deepEqual(first.progress.at(-1), {
      hashedBytes: content.byteLength,
      totalBytes: content.byteLength,
    })
    const second = await digest()
    assert.equal(second.id, first.id)
    assert.equal(second.progress.length, 0, 'read nothing')
    assert.deepEqual(await readdir(join(dataDir, 'models')), ['digests.json'], 'no rubbish is left')
  })

  it('modelId() hashes again when size, modification time or inode differ', async () => {
    await digest()
    await utimes(path, 1, 1)
    assert.equal((await digest()).progress.length, 4)

    const other = Buffer.from(content)
    other[5] = 0
    await rm(path)
    await writeFile(`${path}.placeholder`, 'takes the inode that became free')
    await writeFile(path, other)
    await utimes(path, 1, 1)
    assert.equal((await digest()).id, idOf(other), 'same size and time, other inode')
  })

  it('modelId() recomputes when the memory is damaged, says so and repairs it', async () => {
    await mkdir(join(dataDir, 'models'))
    const memory = join(dataDir, 'models', 'digests.json')
    for (const damage of ['{"v":1,"fil', '[]', '{"v":2,"files":{}}', '']) {
      warnings = []
      await writeFile(memory, damage)
      assert.equal((await digest()).id, idOf(content))
      assert.deepEqual([...new Set(warnings)], ['digest memory unreadable'])
      assert.equal((await digest()).progress.length, 0, 'was repaired')
    }
  })

  it('modelId() ignores single entries that are malformed', async () => {
    await digest()
    const memory = join(dataDir, 'models', 'digests.json')
    const text = await readFile(memory, 'utf8')
    await writeFile(memory, text.replace(/"sha256":"[0-9a-f]{4}/, '"sha256":"../.'))
    const again = await digest()
    assert.equal(again.id, idOf(content))
    assert.equal(again.progress.length, 4)
  })

  it('modelId() goes on without remembering when the folder cannot be written', async () => {
    await writeFile(join(dataDir, 'models'), 'a file where the folder should be')
    assert.equal((await digest()).id, idOf(content))
    assert.ok(warnings.includes('digest not remembered'))
  })

  it('modelId() stops when aborted', async () => {
    const controller = new AbortController()
    const digests = new ModelDigests({ log }, { dataDir })
    const run = digests.modelId(path, {
      signal: controller.signal,
      onProgress: () => controller.abort(),
    })
    await assert.rejects(run, { name: 'AbortError' })
    assert.equal(await digests.remembered(path), undefined)
  })

  it('modelId() refuses a file that changes meanwhile', async () => {
    const digests = new ModelDigests({ log }, { dataDir })
    const run = digests.modelId(path, { signal, onProgress: () => utimesSync(path, 5, 5) })
    await assert.rejects(run, { code: 'model_file_invalid', message: /changed while it was read/ })
  })

  it('modelId() names a file that is not there', async () => {
    const digests = new ModelDigests({ log }, { dataDir })
    await assert.rejects(digests.modelId(join(dataDir, 'absent.gguf'), { signal }), {
      code: 'model_file_invalid',
      message: /absent\.gguf does not exist/,
    })
  })

  it('record() and forget() keep several models', async () => {
    const digests = new ModelDigests({ log }, { dataDir })
    const other = join(dataDir, 'b.gguf')
    await writeFile(other, 'b')
    await Promise.all([digests.record(path, '1'.repeat(64)), digests.record(other, '2'.repeat(64))])
    const reopened = new ModelDigests({ log }, { dataDir })
    assert.equal(await reopened.remembered(path), `sha256:${'1'.repeat(64)}`)
    await reopened.forget(path)
    const again = new ModelDigests({ log }, { dataDir })
    assert.equal(await again.remembered(path), undefined)
    assert.equal(await again.remembered(other), `sha256:${'2'.repeat(64)}`)
  })
})
