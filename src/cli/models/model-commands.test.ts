import assert from 'node:assert/strict'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { bundledModelPath } from '../../engine/models/model-folder.ts'
import { CapturedTerminal } from '../captured-terminal.ts'
import { runCli } from '../program.ts'

let data: string
let server: Server
let url: string
before(async () => {
  data = mkdtempSync(join(tmpdir(), 'hs-models-'))
  const model = readFileSync(bundledModelPath)
  server = createServer((message, reply) => {
    if (message.url === '/small.gguf') reply.end(model)
    else reply.writeHead(404).end()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port }: AddressInfo = Object(server.address())
  url = `http://127.0.0.1:${port}`
})
after(async () => {
  server.closeAllConnections()
  server.close()
  await once(server, 'close')
  rmSync(data, { recursive: true })
})

async function run(
  ...args: readonly string[]
): Promise<{ code: number; out: string; err: string }> {
  const terminal = new CapturedTerminal()
  const code = await runCli([...args, '--data', data], terminal)
  return { code, out: terminal.out, err: terminal.err }
}

test('pull, ls, show and rm: the life of a model', async () => {
  const pulled = await run('pull', `${url}/small.gguf`)
  assert.equal(pulled.code, 0, pulled.err)
  assert.match(pulled.out, /^Pulled small \(2\.1 MB\), sha256:[0-9a-f]{64}\n$/)
  assert.match(pulled.err, /Downloading\nVerifying\nServe it with: hyperspace up --model small\n$/)
  assert.match((await run('models', 'pull', `${url}/small.gguf`)).out, /^Already here: small/)

  const { models } = JSON.parse((await run('models', 'ls', '--json')).out)
  const small = models.find((model: { name: string }) => model.name === 'small')
  assert.deepEqual([small.origin, small.isServed], ['folder', false])

  const { id, header } = JSON.parse((await run('models', 'show', 'small', '--json')).out)
  assert.match(id, /^sha256:/)
  assert.equal(header.architecture, 'llama')

  const asked = await run('models', 'rm', 'small')
  assert.equal(asked.code, 2)
  assert.match(asked.err, /--yes/)
  assert.ok(existsSync(small.path))
  assert.equal((await run('models', 'rm', 'small', '--yes')).code, 0)
  assert.ok(!existsSync(small.path))
})

test('pull of what is not there is a network failure', async () => {
  const { code, out, err } = await run('pull', `${url}/missing.gguf`)
  assert.equal(code, 4)
  assert.equal(out, '')
  assert.match(err, /missing\.gguf does not exist/)
})

test('the bundled model stays, and an unknown one is named with those there are', async () => {
  const bundled = await run('models', 'rm', 'tiny-chat', '--yes')
  assert.equal(bundled.code, 1)
  assert.match(bundled.err, /comes with the package/)
  const unknown = await run('models', 'show', 'elephant')
  assert.equal(unknown.code, 1)
  assert.match(unknown.err, /Available: hyperspace-tiny-chat/)
})
