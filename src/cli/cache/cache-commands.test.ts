import assert from 'node:assert/strict'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { DataFolder, dataFolderPaths } from '../../data-folder.ts'
import { silentLog } from '../../interface/log.ts'
import { modelIdFromName } from '../../key/model-id.ts'
import { lookupKey, parseResponseKey } from '../../key/response-key.ts'
import { MiB } from '../../limits.ts'
import { systemClock } from '../../std/clock.ts'
import type { JsonObject } from '../../std/json.ts'
import { systemRandom } from '../../std/random.ts'
import { LmdbStore } from '../../store/lmdb-store.ts'
import { encodeResponseRecord } from '../../wire/response-record.ts'
import { sealRecord } from '../../wire/sealed-record.ts'
import { CapturedTerminal } from '../captured-terminal.ts'
import { runCli } from '../program.ts'

const body = {
  model: 'some-upstream-model',
  messages: [{ role: 'user', content: 'What is a KV cache?' }],
  user: 'somebody',
  stream: true,
}

let data: string
before(async () => {
  data = mkdtempSync(join(tmpdir(), 'hs-cache-'))
  new DataFolder(data, systemRandom).secret()
  const explained = await explain(body)
  await store(String(explained['key']), explained['fieldDigests'])
})
after(() => rmSync(data, { recursive: true, force: true }))

async function run(
  args: readonly string[],
  { input, folder = data }: { input?: string; folder?: string } = {},
): Promise<{ code: number; out: string; err: string }> {
  const terminal = new CapturedTerminal(input === undefined ? {} : { input })
  const code = await runCli([...args, '--data', folder], terminal)
  return { code, out: terminal.out, err: terminal.err }
}

async function explain(value: unknown, ...args: readonly string[]): Promise<JsonObject> {
  const input = JSON.stringify(value)
  const { code, out, err } = await run(['cache', 'explain', '-', '--json', ...args], { input })
  assert.equal(code, 0, err)
  return JSON.parse(out)
}

/** Puts a sealed record under a request's key, as a node would. */
async function store(key: string, digests: unknown): Promise<void> {
  const parsed = parseResponseKey(key)
  assert.ok(parsed)
  const disk = new LmdbStore(
    { clock: systemClock, log: silentLog },
    { folder: dataFolderPaths(data).records, bytesMax: 64 * MiB },
  )
  await disk.start({ signal: new AbortController().signal })
  const now = systemClock.now()
  const fieldDigests: { [field: string]: string } = Object(digests)
  const meta = { costSeconds: 1.5, createdAt: now, expiresAt: now + 3_600_000, fieldDigests }
  const record = encodeResponseRecord({
    modelId: modelIdFromName(body.model),
    created: 0,
    costMs: 1_500,
    maxTokens: null,
    usage: [6, 0, 3, 0],
    choices: [{ finish: 'stop', parts: [['text', 'Kept attention state']] }],
  })
  const bytes = sealRecord(parsed, record, systemRandom.bytes(12))
  await disk.put(lookupKey(parsed), { bytes, meta })
  await disk.stop()
}

describe('cache explain', () => {
  test('needs no data folder', async () => {
    const folder = join(data, 'absent')
    const input = JSON.stringify(body)
    const { code, out } = await run(['cache', 'explain', '-'], { input, folder })
    assert.equal(code, 0)
    assert.match(out, /all-zero secret/)
    assert.match(out, /name:some-upstream-model/)
  })

  test('names what has no influence on the key', async () => {
    const { leftOut, isStored } = await explain(body)
    assert.deepEqual(leftOut, ['user', 'stream'])
    assert.equal(isStored, true)
    const { key } = await explain({ ...body, user: 'somebody else', stream: false })
    assert.equal(key, (await explain(body))['key'])
  })

  test('finds the same key through another API', async () => {
    const { stream: _stream, user: _user, ...rest } = body
    const chat = await explain(rest)
    const ollama = await explain({ ...rest, stream: false }, '--endpoint', '/api/chat')
    assert.equal(ollama['key'], chat['key'])
  })

  test('tells in what the nearest stored request differs', async () => {
    const other = { ...body, messages: [{ role: 'user', content: 'What else?' }], seed: 5 }
    const { isStored, nearest } = await explain(other)
    assert.equal(isStored, false)
    assert.ok(Array.isArray(nearest) && nearest.length === 1)
    assert.deepEqual(Object(nearest[0]).differs, ['messages[0]', 'seed'])
  })

  test('says why a stored answer does not serve a smaller limit', async () => {
    const tight = { ...body, max_tokens: 2 }
    const { isStored, missReason } = await explain(tight)
    assert.equal(isStored, false)
    assert.equal(missReason, 'the stored answer has 3 tokens, more than the limit of 2')
    const { out } = await run(['cache', 'explain', '-'], { input: JSON.stringify(tight) })
    assert.match(out, /not for this request: the stored answer has 3 tokens/)
    assert.equal((await explain({ ...body, max_tokens: 3 }))['isStored'], true)
  })

  test('a sample and an API key make another key', async () => {
    const plain = (await explain(body))['key']
    assert.notEqual((await explain(body, '--sample', '1'))['key'], plain)
    assert.notEqual((await explain(body, '--api-key', 'k'))['key'], plain)
  })

  test('refuses a wrong body as the endpoint would', async () => {
    const { code, out, err } = await run(['cache', 'explain', '-'], { input: '{"model": 5}' })
    assert.equal(code, 1)
    assert.equal(out, '')
    assert.match(err, /'model' must be a string/)
  })

  test('refuses an unknown endpoint and a missing file', async () => {
    const unknown = await run(['cache', 'explain', '-', '--endpoint', '/v2'], { input: '{}' })
    assert.equal(unknown.code, 2)
    assert.match(unknown.err, /\/v1\/messages/)
    assert.equal((await run(['cache', 'explain', join(data, 'nothing.json')])).code, 1)
  })
})

describe('cache ls, get, stats', () => {
  test('list the entry and find it by the first digits of its key', async () => {
    const { entries } = JSON.parse((await run(['cache', 'ls', '--json'])).out)
    assert.equal(entries.length, 1)
    const { lookupKey: key } = entries[0]
    const listed = await run(['cache', 'ls'])
    assert.ok(listed.out.includes(key.slice(0, 16)))
    const got = await run(['cache', 'get', key.slice(0, 8)])
    assert.equal(got.code, 0)
    assert.match(got.out, /sealed/)
    const { tiers } = JSON.parse((await run(['cache', 'stats', '--json'])).out)
    assert.equal(tiers[0].records, 1)
  })

  test('tell a wrong key from one that is not there', async () => {
    assert.equal((await run(['cache', 'get', 'no-key'])).code, 2)
    assert.equal((await run(['cache', 'get', 'f'.repeat(64)])).code, 1)
    assert.equal((await run(['cache', 'rm', 'abcdef01'])).code, 1)
  })
})

describe('cache export and import', () => {
  test('bring back what was removed', async () => {
    const file = join(data, 'out.ndjson')
    assert.equal((await run(['cache', 'export', file])).code, 0)
    const piped = await run(['cache', 'export'])
    assert.equal(piped.out, readFileSync(file, 'utf8'))
    const refused = await run(['cache', 'clear'])
    assert.equal(refused.code, 2)
    const blocks = join(data, 'kv', 'ab')
    mkdirSync(blocks, { recursive: true })
    assert.equal((await run(['cache', 'clear', '--yes'])).code, 0)
    assert.equal(existsSync(blocks), false, 'KV state goes too')
    assert.deepEqual(JSON.parse((await run(['cache', 'ls', '--json'])).out).entries, [])
    const imported = await run(['cache', 'import', '-', '--json'], { input: piped.out })
    assert.deepEqual(JSON.parse(imported.out), { read: 1, added: 1 })
    assert.equal((await explain(body))['isStored'], true)
    assert.match((await run(['cache', 'import', file])).out, /Imported 0 answers; 1 /)
  })

  test('refuse a damaged file with exit code 5 and its line', async () => {
    const { out } = await run(['cache', 'export'])
    const [header = '', record = '', end = ''] = out.split('\n')
    const changed = record.replace(/"sha256":"./, '"sha256":"x')
    const cases: readonly (readonly [readonly string[], RegExp])[] = [
      [[header, changed, end], /Line 2 .*digest/],
      [[header, record], /no whole export/],
      [[record, end], /Line 1 .*header/],
      [[header, '{', end], /Line 2 .*not JSON/],
      [[header.replace('"version":1', '"version":2'), record, end], /Line 1 .*version/],
      [[header, record, end, record], /Line 4 .*after the end/],
      [[], /no whole export/],
    ]
    for (const [lines, message] of cases) {
      const { code, err } = await run(['cache', 'import', '-'], { input: lines.join('\n') })
      assert.equal(code, 5, err)
      assert.match(err, message)
    }
  })

  test('refuse answers that this folder could never find', async () => {
    const { out } = await run(['cache', 'export'])
    const folder = mkdtempSync(join(tmpdir(), 'hs-cache-'))
    const refused = await run(['cache', 'import', '-'], { input: out, folder })
    assert.equal(refused.code, 1)
    assert.match(refused.err, /node\.secret/)
    const forced = await run(['cache', 'import', '-', '--force'], { input: out, folder })
    assert.equal(forced.code, 0, forced.err)
    rmSync(folder, { recursive: true })
  })

  test('say what file cannot be read or written', async () => {
    const missing = await run(['cache', 'import', join(data, 'nothing')])
    assert.equal(missing.code, 1)
    assert.match(missing.err, /Cannot read .*ENOENT/)
    writeFileSync(join(data, 'plain'), '')
    const unwritable = await run(['cache', 'export', join(data, 'plain', 'x')])
    assert.equal(unwritable.code, 1)
    assert.match(unwritable.err, /Cannot write .*ENOTDIR/)
  })
})
