import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { recordOf } from '../../cache/record-of.ts'
import { DataFolder, dataFolderPaths } from '../../data-folder.ts'
import { silentLog } from '../../interface/log.ts'
import { leavesKey, lookupKey, type ResponseKey } from '../../key/response-key.ts'
import { MiB } from '../../limits.ts'
import { systemClock } from '../../std/clock.ts'
import { systemRandom } from '../../std/random.ts'
import { LmdbStore } from '../../store/lmdb-store.ts'
import { issueReceipt } from '../../trust/receipt.ts'
import { completion, leaves, signer } from '../../trust/test-answer.ts'
import { encodeLeaves } from '../../wire/leaves.ts'
import { encodeResponseRecord } from '../../wire/response-record.ts'
import { sealRecord } from '../../wire/sealed-record.ts'
import { CapturedTerminal } from '../captured-terminal.ts'
import { runCli } from '../program.ts'

const key = 'ab'.repeat(32) as ResponseKey
const expiresAt = systemClock.now() + 86_400_000
const numericClass = 'some class'
const answer = { lookupKey: lookupKey(key), completion, numericClass, leaves, expiresAt }
const receipt = issueReceipt(answer, signer, systemClock)
/** An answer of the same request without a receipt, as of the local scope. */
const plainKey = 'cd'.repeat(32) as ResponseKey

let data: string
before(async () => {
  data = mkdtempSync(join(tmpdir(), 'hs-receipt-'))
  new DataFolder(data, systemRandom).secret()
  const disk = new LmdbStore(
    { clock: systemClock, log: silentLog },
    { folder: dataFolderPaths(data).records, bytesMax: 64 * MiB },
  )
  await disk.start({ signal: new AbortController().signal })
  const made = { costMs: 5, maxTokens: undefined }
  const meta = { costSeconds: 1, createdAt: systemClock.now(), expiresAt, fieldDigests: {} }
  const put = (name: ResponseKey, at: ReturnType<typeof lookupKey>, plain: Uint8Array) =>
    disk.put(at, { bytes: sealRecord(name, plain, Buffer.alloc(12, 1)), meta })
  await put(key, lookupKey(key), encodeResponseRecord(recordOf(completion, { ...made, receipt })))
  await put(key, leavesKey(lookupKey(key)), encodeLeaves(leaves))
  await put(plainKey, lookupKey(plainKey), encodeResponseRecord(recordOf(completion, made)))
  await disk.stop()
})
after(() => rmSync(data, { recursive: true, force: true }))

async function run(
  args: readonly string[],
  input?: string,
): Promise<{ code: number; out: string; err: string }> {
  const terminal = new CapturedTerminal(input === undefined ? {} : { input })
  const code = await runCli(['receipt', ...args, '--data', data], terminal)
  return { code, out: terminal.out, err: terminal.err }
}

function file(name: string, content: string | Uint8Array): string {
  const path = join(data, name)
  writeFileSync(path, content)
  return path
}

describe('receipt of a stored answer', () => {
  test('is verified against the answer and the leaves', async () => {
    const { code, out } = await run(['verify', key])
    assert.equal(code, 0)
    assert.match(out, new RegExp(`^Peer ${signer.peerId}\nsays that it computed this answer\n`))
    assert.match(out, /\+ the tokens of the answer are those that were signed\n {2}\+ the leaves/)
    assert.match(out, /Not checked:\n {2}- whether the model really gives this answer/)
    assert.match(out, /\nValid: all that could be checked here is right\.\n$/)
  })

  test('as JSON, which can be verified in turn', async () => {
    const { out } = await run(['show', key, '--json'])
    const { outcome, checked, statement } = JSON.parse(out)
    assert.equal(outcome, 'valid')
    assert.ok(checked.includes('leaves'))
    assert.equal(statement.issuer, signer.peerId)
    const again = await run(['verify', '-', '--json'], out)
    assert.deepEqual(JSON.parse(again.out).checked, ['signature', 'dates'])
  })

  test('there is none of a private answer, and a look-up key does not open one', async () => {
    const plain = await run(['verify', plainKey])
    assert.equal(plain.code, 1)
    assert.match(plain.err, /has no receipt/)
    const sealed = await run(['show', lookupKey(key)])
    assert.equal(sealed.code, 1)
    assert.match(sealed.err, /only its response key opens it/)
    assert.equal((await run(['show', 'f'.repeat(64)])).code, 1)
  })
})

describe('receipt in a file', () => {
  const text = Buffer.from(receipt).toString('base64url')
  for (const [form, content] of [
    ['raw', receipt],
    ['base64url', `${text}\n`],
  ] as const) {
    test(`${form}: form, signature and dates only`, async () => {
      const { code, out } = await run(['verify', file('receipt', content)])
      assert.equal(code, 0)
      assert.match(out, /- whether it is of the answer to this request/)
      assert.match(out, /Without the answer only form, signature and dates can be checked/)
    })
  }

  test('one changed byte anywhere: exit code 5, and a reason', async () => {
    for (let position = 0; position < receipt.length; position += 7) {
      const changed = Buffer.from(receipt)
      changed.writeUInt8((changed[position] ?? 0) ^ 1, position)
      const { code, out, err } = await run(['verify', file('changed', changed)])
      assert.deepEqual([code, out], [5, ''], `byte ${position}`)
      assert.match(err, /^hyperspace: (?:This receipt is not valid: The sig|Cannot read the rec)/)
    }
  })

  test('show describes a wrong one all the same', async () => {
    const changed = Buffer.from(receipt)
    changed.writeUInt8((changed.at(-1) ?? 0) ^ 1, changed.length - 1)
    const path = file('changed', changed)
    const { code, out, err } = await run(['show', path])
    assert.equal(code, 0)
    assert.match(out, /Nothing of it was checked/)
    assert.match(err, /NOT VALID: The signature/)
    const json = await run(['verify', path, '--json'])
    assert.equal(json.code, 5)
    assert.equal(JSON.parse(json.out).reason, 'signature-wrong')
  })

  test('an expired one says so', async () => {
    const past = { now: () => 1_000, monotonicMs: () => 0, after: () => () => undefined }
    const old = issueReceipt({ ...answer, expiresAt: 2_000 }, signer, past)
    const { code, err } = await run(['verify', file('old', old)])
    assert.equal(code, 5)
    assert.match(err, /It has expired/)
  })

  test('anything else is no receipt', async () => {
    for (const content of ['', 'hello', '{"a":1}', '{\n"a":\n1}', 'x'.repeat(100_000)]) {
      const { code, err } = await run(['verify', file('other', content)])
      assert.ok(code === 5 || code === 2, content.slice(0, 10))
      assert.doesNotMatch(err, /defect/)
    }
    assert.equal((await run(['verify', join(data, 'nothing')])).code, 1)
  })
})

describe('receipt in an export', () => {
  test('is verified with the response key', async () => {
    const terminal = new CapturedTerminal()
    assert.equal(await runCli(['cache', 'export', '--data', data], terminal), 0)
    const verify = ['verify', '-', '--key']
    const { code, out } = await run([...verify, key], terminal.out)
    assert.equal(code, 0)
    assert.match(out, /\+ the leaves/)
    assert.equal((await run(['verify', '-'], terminal.out)).code, 2)
    assert.equal((await run([...verify, 'x'], terminal.out)).code, 2)
    assert.equal((await run([...verify, 'f'.repeat(64)], terminal.out)).code, 1)
    const changed = terminal.out.replace(/"bytesBase64":"AQ../g, '"bytesBase64":"AQxx')
    const refused = await run([...verify, key], changed)
    assert.equal(refused.code, 5)
    assert.match(refused.err, /Line \d of the export is wrong: its digest/)
  })
})
