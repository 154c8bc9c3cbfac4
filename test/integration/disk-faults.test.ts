import assert from 'node:assert/strict'
import {
  closeSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { FakeEngine } from '../../src/engine/fake/fake-engine.ts'
import { createNode } from '../../src/node.ts'
import { VirtualClock } from '../../src/std/clock.ts'
import { bulkAnswer, bulkQuestion, startBulkUpstream } from '../support/bulk-upstream.ts'
import { mountTmpfs } from '../support/mount.ts'
import { until } from '../support/until.ts'
import {
  post,
  startNode,
  type TestNode,
  type TestNodeOptions,
  temporaryFolder,
  testConfig,
} from './test-node.ts'

/** So many fill a small disk soon. */
const answerBytes = 65_536

/** Asks, checks the answer, and tells where it came from. */
async function sourceOf({ url }: TestNode, question: string): Promise<string | null> {
  const reply = await post(`${url}/v1/chat/completions`, bulkQuestion(question))
  const body = await reply.text()
  assert.equal(reply.status, 200, body)
  assert.equal(JSON.parse(body).choices[0].message.content, bulkAnswer(question, answerBytes))
  return reply.headers.get('x-hyperspace-source')
}

async function startBulk(test: TestContext, options: TestNodeOptions = {}): Promise<TestNode> {
  const upstream = await startBulkUpstream(test, { answerBytes })
  return await startNode(test, { flags: { upstream: [upstream.url] }, ...options })
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

async function failureToStart(data: string): Promise<Error> {
  const engines = { engines: [new FakeEngine()], upstreams: [] }
  const node = createNode(testConfig(data), { engines })
  try {
    await node.start({ signal: new AbortController().signal })
  } catch (error) {
    assert.ok(error instanceof Error)
    return error
  }
  await node.stop()
  return assert.fail('it started')
}

const logOf = ({ data }: TestNode): string => readFileSync(join(data, 'logs', 'node.log'), 'utf8')

describe('a data folder that cannot be written', () => {
  it('read-only at the start: one clear error', async test => {
    const mount = mountTmpfs(test, 'size=16m')
    if (mount === undefined) return
    const data = join(mount.folder, 'data')
    const before = await startBulk(test, { data })
    await before.stop()
    mount.remount('ro')
    for (const folder of [data, join(mount.folder, 'other')]) {
      const error = await failureToStart(folder)
      assert.ok(error.message.includes(folder), error.message)
      assert.match(error.message, /read-only/)
      assert.match(error.message, /--data DIR/)
      assert.ok(!error.message.includes('\n'))
    }
    mount.remount('rw')
    const again = await startBulk(test, { data })
    assert.equal(await sourceOf(again, 'x'), 'upstream')
  })

  it('full at the start: one clear error, and nothing left that stops the next start', async test => {
    const mount = mountTmpfs(test, 'size=16m')
    if (mount === undefined) return
    const free = fill(mount.folder)
    const data = join(mount.folder, 'data')
    const error = await failureToStart(data)
    assert.ok(error.message.includes(data), error.message)
    assert.match(error.message, /no space left|is full/i)
    assert.match(error.message, /--data DIR/)
    free()
    const node = await startBulk(test, { data })
    assert.equal(await sourceOf(node, 'x'), 'upstream')
  })

  it('in place of which there is a file: one clear error', async test => {
    const data = join(temporaryFolder(test), 'data')
    writeFileSync(data, 'something else')
    const error = await failureToStart(data)
    assert.ok(error.message.includes(data), error.message)
    assert.equal(readFileSync(data, 'utf8'), 'something else')
  })

  it('full while running: answers go on, the node says why they are not stored, and resumes', async test => {
    const mount = mountTmpfs(test, 'size=32m')
    if (mount === undefined) return
    const clock = new VirtualClock()
    const data = join(mount.folder, 'data')
    const node = await startBulk(test, { data, clock })
    assert.equal(await sourceOf(node, 'before'), 'upstream')
    await until(() => node.node.status().cache.tiers[1]?.records === 1, test.signal)
    const notices = (): readonly string[] => node.node.status().notices
    assert.deepEqual(notices(), [])

    const free = fill(mount.folder)
    // Space within the store's file can still be used for a while.
    let asked = 0
    while (notices().length === 0) {
      asked += 1
      assert.ok(asked < 1_000, 'the disk is full, but the store goes on')
      assert.equal(await sourceOf(node, `question ${asked}`), 'upstream')
    }
    assert.match(notices().join(), /^Answers are not stored: the disk of .* is full$/)
    assert.equal((await fetch(`${node.url}/ready`)).status, 200)
    assert.equal(await sourceOf(node, 'while it is full'), 'upstream')
    assert.equal(await sourceOf(node, 'while it is full'), 'memory')
    assert.equal(await sourceOf(node, 'before'), 'memory')

    free()
    clock.advance(60_000)
    await until(() => notices().length === 0, test.signal)
    assert.equal(await sourceOf(node, 'after'), 'upstream')
    const again = await node.restart()
    assert.equal(await sourceOf(again, 'after'), 'disk')
    assert.equal(await sourceOf(again, 'before'), 'disk')
    assert.equal(await sourceOf(again, 'while it is full'), 'upstream')
    assert.match(logOf(again), /"msg":"store read-only"/)
    assert.match(logOf(again), /"msg":"store writable again"/)
    assert.doesNotMatch(logOf(again), /question|while it is full/)
  })

  it('full when it stops: it stops', async test => {
    const mount = mountTmpfs(test, 'size=32m')
    if (mount === undefined) return
    const data = join(mount.folder, 'data')
    const node = await startBulk(test, { data })
    await sourceOf(node, 'before')
    const free = fill(mount.folder)
    await sourceOf(node, 'unstored')
    await node.stop()
    assert.deepEqual(
      readdirSync(data).filter(name => /lock|node\.json/.test(name)),
      [],
    )
    free()
    const again = await startBulk(test, { data })
    assert.equal(await sourceOf(again, 'before'), 'disk')
  })
})

describe('a damaged store', () => {
  const damages: { readonly [what: string]: (file: string) => void } = {
    'is overwritten with garbage': file => {
      const bytes = Buffer.from(
        Array.from({ length: statSync(file).size }, (_, i) => (i * 7) % 251),
      )
      writeFileSync(file, bytes)
    },
    'has lost all but its head': file => truncateSync(file, 12_288),
    'is another kind of file': file => writeFileSync(file, 'This is not a database.\n'),
  }
  for (const [what, damage] of Object.entries(damages)) {
    it(`${what}: it is moved aside, the log says so, and the node starts`, async test => {
      const node = await startWithAnswers(test)
      await node.stop()
      const records = join(node.data, 'records')
      const before = readdirSync(records)
      damage(join(records, 'data.mdb'))
      const again = await startBulk(test, { data: node.data })
      const aside = readdirSync(node.data).filter(name => name.startsWith('records.corrupt-'))
      assert.equal(aside.length, 1)
      assert.deepEqual(readdirSync(join(node.data, aside[0] ?? '')), before)
      assert.match(logOf(again), /"level":"warn".*"msg":"store moved aside"/)
      assert.ok(logOf(again).includes(aside[0] ?? '?'))
      assert.equal(await sourceOf(again, 'question 0'), 'upstream')
      const third = await again.restart()
      assert.equal(await sourceOf(third, 'question 0'), 'disk')
    })
  }

  it('of which one record is damaged: that one is a miss, and is made anew', async test => {
    const node = await startWithAnswers(test)
    await node.stop()
    const file = join(node.data, 'records', 'data.mdb')
    const bytes = readFileSync(file)
    // Records of 64 KB lie in pages of their own: 16 bytes in the middle of one of them.
    const at = Math.floor(bytes.length / 2)
    bytes.fill(0xa5, at, at + 16)
    writeFileSync(file, bytes)
    const again = await startBulk(test, { data: node.data })
    const sources: (string | null)[] = []
    for (let index = 0; index < 4; index++) {
      sources.push(await sourceOf(again, `question ${index}`))
    }
    assert.ok(sources.filter(source => source !== 'disk').length <= 1, String(sources))
  })
})

async function startWithAnswers(test: TestContext): Promise<TestNode> {
  const node = await startBulk(test)
  for (let index = 0; index < 4; index++) await sourceOf(node, `question ${index}`)
  return node
}
