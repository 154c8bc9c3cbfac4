import assert from 'node:assert/strict'
import { chmodSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { configPath } from '../config.ts'
import { envNameOf, flagOf, isSettingName, settings } from '../config-table.ts'
import { packageVersion } from '../package-info.ts'
import { CapturedTerminal, type CapturedTerminalOptions } from './captured-terminal.ts'
import { runCli } from './program.ts'

let data: string
before(() => {
  data = mkdtempSync(join(tmpdir(), 'hs-cli-'))
})
after(() => rmSync(data, { recursive: true, force: true }))

async function run(
  line: string,
  options: CapturedTerminalOptions = {},
): Promise<{ code: number; out: string; err: string }> {
  const env = { HYPERSPACE_DATA: data, ...options.env }
  const terminal = new CapturedTerminal({ ...options, env })
  const code = await runCli(line.split(' ').filter(Boolean), terminal)
  return { code, out: terminal.out, err: terminal.err }
}

describe('usage', () => {
  test('without a command it prints its help', async () => {
    const { code, out, err } = await run('')
    assert.equal(code, 0)
    assert.match(out, /Usage: hyperspace/)
    assert.match(out, /Exit codes/)
    assert.equal(err, '')
  })

  for (const [line, hint] of [
    ['statsu', 'status'],
    ['cache lss', 'ls'],
    ['up --prot 5', '--port'],
  ] as const) {
    test(`'${line}' is a usage error that suggests ${hint}`, async () => {
      const { code, out, err } = await run(line)
      assert.equal(code, 2)
      assert.equal(out, '')
      assert.match(err, new RegExp(`Did you mean ${hint}\\?`))
    })
  }

  test('a missing argument, a bad count and an empty --data are usage errors', async () => {
    assert.equal((await run('pull')).code, 2)
    assert.equal((await run('cache ls --limit x')).code, 2)
    assert.equal((await run('version --data=')).code, 2)
    assert.equal((await run('pull no-model')).code, 2)
  })

  test('up offers every setting of the table, with its environment name', async () => {
    const { code, out } = await run('help up')
    assert.equal(code, 0)
    for (const name of Object.keys(settings).filter(isSettingName)) {
      // Of a switch, the one that changes something is offered.
      const isOn = settings[name].default === true
      const flag = isOn ? `--no-${flagOf(name).slice(2)}` : flagOf(name)
      assert.ok(out.includes(`  ${flag}`), flag)
      assert.ok(out.includes(envNameOf(name)), envNameOf(name))
    }
  })

  test('version', async () => {
    assert.equal((await run('--version')).out, `${packageVersion()}\n`)
    const { name, version } = JSON.parse((await run('version --json')).out)
    assert.deepEqual([name, version], ['hyperspace', packageVersion()])
  })
})

describe('without a node', () => {
  for (const line of ['status', 'chat hello', 'stop']) {
    test(`${line} says how to start one`, async () => {
      const { code, out, err } = await run(line)
      assert.equal(code, 3)
      assert.equal(out, '')
      assert.match(err, new RegExp(`No node runs on ${data}\\. Start one with \`hyperspace up\``))
    })
  }

  test('up refuses a wrong configuration with all mistakes and no stack', async () => {
    const { code, err } = await run('up --port 70000 --host 0.0.0.0 --ttl soon')
    assert.equal(code, 2)
    assert.match(
      err,
      /3 settings are wrong\n {2}--port: .*\n {2}--ttl: .*\n {2}--host 0\.0\.0\.0: /,
    )
    assert.doesNotMatch(err, /\n\s+at /)
  })

  test('logs says that there are none', async () => {
    const { code, err } = await run('logs')
    assert.equal(code, 1)
    assert.match(err, /no node has run there/)
  })

  test('env tells where the node will be', async () => {
    const { code, out, err } = await run('env', { env: { HYPERSPACE_API_KEY: "it's" } })
    assert.equal(code, 0)
    assert.match(out, /^export OPENAI_BASE_URL=http:\/\/127\.0\.0\.1:11500\/v1\n/)
    assert.match(out, /export OPENAI_API_KEY='it'\\''s'\n/)
    assert.match(out, /export ANTHROPIC_BASE_URL=http:\/\/127\.0\.0\.1:11500\n/)
    assert.match(err, /No node runs/)
  })
})

describe('config', () => {
  test('set writes what get reads', async () => {
    assert.equal((await run('config set max-disk 5GB')).code, 0)
    assert.equal((await run('config set model a.gguf b,c.gguf')).code, 0)
    assert.equal((await run('config get maxDisk')).out, `${5 * 1024 ** 3}\n`)
    const all = JSON.parse((await run('config get --json')).out)
    assert.deepEqual(all.model, { value: ['a.gguf', 'b,c.gguf'], source: 'file' })
    assert.equal(all.port.source, 'default')
    assert.equal((await run('config unset model')).code, 0)
    assert.equal((await run('config get model')).out, '\n')
  })

  test('path prints the file, readable by its owner only', async () => {
    await run('config set port 0')
    const { out } = await run('config path')
    assert.equal(out, `${configPath(data)}\n`)
    assert.equal(statSync(out.trim()).mode & 0o777, 0o600)
  })

  test('refuses unknown names and wrong values, and keeps the file', async () => {
    await run('config set queue 9')
    const unknown = await run('config set max-dsk 5GB')
    assert.equal(unknown.code, 2)
    assert.match(unknown.err, /Did you mean maxDisk\?/)
    const wrong = await run('config set queue many')
    assert.equal(wrong.code, 2)
    assert.match(wrong.err, /whole number/)
    assert.equal((await run('config get queue')).out, '9\n')
  })

  test('shows no secret', async () => {
    const set = await run('config set api-key hunter2')
    const got = await run('config get apiKey')
    const all = await run('config get')
    assert.doesNotMatch(JSON.stringify([set, got, all]), /hunter2/)
    assert.equal(got.out, '***\n')
    await run('config unset api-key')
  })

  test('warns when a value does not go with the others', async () => {
    const { code, err } = await run('config set host 0.0.0.0')
    assert.equal(code, 0)
    assert.match(err, /needs --api-key/)
    await run('config unset host')
  })

  test('never overwrites a file that it cannot read', async () => {
    const other = mkdtempSync(join(tmpdir(), 'hs-cli-'))
    writeFileSync(configPath(other), '{ "port": 1,')
    const { code, err } = await run(`config set port 2 --data ${other}`)
    assert.equal(code, 2)
    assert.match(err, /not valid JSON/)
    rmSync(other, { recursive: true })
  })
})

test('doctor finds a healthy machine or says what to do', async () => {
  const env = { HYPERSPACE_UPSTREAM: 'http://127.0.0.1:9', HYPERSPACE_PORT: '0' }
  const taken = await run('doctor --json', { env })
  const { ok, findings } = JSON.parse(taken.out)
  assert.equal(taken.code, 1)
  assert.equal(ok, false)
  const broken = findings.filter((finding: { isOk: boolean }) => !finding.isOk)
  assert.deepEqual(
    broken.map((finding: { name: string }) => finding.name),
    ['Upstreams'],
    taken.out,
  )
  assert.ok(broken[0].remedy.length > 0)
})

test('doctor sees a data folder that cannot be written', {
  skip: process.getuid?.() === 0,
}, async () => {
  const closed = mkdtempSync(join(tmpdir(), 'hs-cli-'))
  chmodSync(closed, 0o500)
  const { code, out } = await run(`doctor --data ${closed}`)
  assert.equal(code, 1)
  assert.match(out, /✗ Data folder: .*EACCES[^\n]*\n {2}→ change the owner/)
  rmSync(closed, { recursive: true })
})
