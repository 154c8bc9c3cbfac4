import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { packageVersion } from '../package-info.ts'

const main = fileURLToPath(new URL('main.ts', import.meta.url))
const bin = fileURLToPath(new URL('../../bin/hyperspace', import.meta.url))
const built = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url))
const isBuilt = existsSync(built)

interface Ended {
  readonly code: number | null
  readonly out: string
  readonly err: string
}

async function end(child: ReturnType<typeof spawn>): Promise<Ended> {
  assert.ok(child.stdout && child.stderr)
  const [out, err, [code]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, 'exit'),
  ])
  return { code, out, err }
}

test('the process exits with the code of the command and without a stack', async () => {
  const data = mkdtempSync(join(tmpdir(), 'hs-main-'))
  const { code, out, err } = await end(spawn(process.execPath, [main, 'status', '--data', data]))
  assert.deepEqual([code, out], [3, ''])
  assert.equal(err, `hyperspace: No node runs on ${data}. Start one with \`hyperspace up\`\n`)
  rmSync(data, { recursive: true })
})

test('a reader that has seen enough is no error', async () => {
  const child = spawn(process.execPath, [main, 'help', 'up'])
  child.stdout.destroy()
  const [[code], err] = await Promise.all([once(child, 'exit'), text(child.stderr)])
  assert.deepEqual([code, err], [0, ''])
})

test('bin/hyperspace starts the build', { skip: !isBuilt && 'not built' }, async () => {
  const { code, out } = await end(spawn(bin, ['--version']))
  assert.deepEqual([code, out], [0, `${packageVersion()}\n`])
})

test('bin/hyperspace passes SIGTERM on and drains', { skip: !isBuilt && 'not built' }, async () => {
  const data = mkdtempSync(join(tmpdir(), 'hs-main-'))
  // An upstream nobody listens at: no model is loaded, which this test does not need.
  const args = ['up', '--data', data, '--port', '0', '--upstream', 'http://127.0.0.1:9', '--json']
  const child = spawn(bin, args)
  const ended = end(child)
  await Promise.race([once(child.stdout, 'data'), ended])
  child.kill('SIGTERM')
  const { code, out } = await ended
  const events = out
    .trim()
    .split('\n')
    .map(line => JSON.parse(line).event)
  assert.deepEqual([code, events], [0, ['started', 'stopping', 'stopped']])
  rmSync(data, { recursive: true })
})
