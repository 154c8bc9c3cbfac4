import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, afterEach, before, beforeEach, describe, test } from 'node:test'
import { findRunningNode } from '../../data-folder.ts'
import { packageVersion } from '../../package-info.ts'
import { CapturedTerminal, type CapturedTerminalOptions } from '../captured-terminal.ts'
import { runCli } from '../program.ts'

/** An upstream whose answers wait until the test lets them go. */
class HeldUpstream {
  readonly #server: Server
  readonly #held: ServerResponse[] = []
  #onHeld: () => void = () => undefined
  isHolding = false
  url = ''

  constructor() {
    this.#server = createServer((message, reply) => {
      message.resume()
      if (message.method === 'GET') {
        reply.setHeader('content-type', 'application/json')
        reply.end(JSON.stringify({ object: 'list', data: [{ id: 'parrot', object: 'model' }] }))
        return
      }
      this.#held.push(reply)
      this.#onHeld()
      if (!this.isHolding) this.release()
    })
  }

  async listen(): Promise<void> {
    this.#server.listen(0, '127.0.0.1')
    await once(this.#server, 'listening')
    const { port }: AddressInfo = Object(this.#server.address())
    this.url = `http://127.0.0.1:${port}/v1`
  }

  /** Resolves when the next question has arrived. */
  asked(): Promise<void> {
    return new Promise(resolve => {
      this.#onHeld = resolve
    })
  }

  release(): void {
    for (const reply of this.#held.splice(0)) {
      reply.setHeader('content-type', 'text/event-stream')
      const head = { id: 'c', object: 'chat.completion.chunk', created: 1, model: 'parrot' }
      const send = (fields: object): void =>
        void reply.write(`data: ${JSON.stringify({ ...head, ...fields })}\n\n`)
      const delta = { role: 'assistant', content: 'Polly wants a cache' }
      send({ choices: [{ index: 0, delta, finish_reason: null }] })
      send({ choices: [{ index: 0, delta: {}, finish_reason: 'stop' }] })
      send({ choices: [], usage: { prompt_tokens: 5, completion_tokens: 4, total_tokens: 9 } })
      reply.end('data: [DONE]\n\n')
    }
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections()
    this.#server.close()
    await once(this.#server, 'close')
  }
}

const upstream = new HeldUpstream()
before(() => upstream.listen())
after(() => upstream.close())

let data: string
let node: CapturedTerminal
let ended: Promise<number>
async function startNode(): Promise<void> {
  node = new CapturedTerminal()
  ended = runCli(['up', '--data', data, '--port', '0', '--upstream', upstream.url], node)
  await Promise.race([node.seen(/Ready\n$/), ended])
}

beforeEach(async () => {
  upstream.isHolding = false
  data = mkdtempSync(join(tmpdir(), 'hs-up-'))
  await startNode()
})
afterEach(async () => {
  node.raise('SIGTERM')
  await ended
  rmSync(data, { recursive: true, force: true })
})

async function run(
  args: readonly string[],
  options: CapturedTerminalOptions = {},
): Promise<{ code: number; out: string; err: string }> {
  const terminal = new CapturedTerminal(options)
  const code = await runCli([...args, '--data', data], terminal)
  return { code, out: terminal.out, err: terminal.err }
}

describe('up', () => {
  test('prints what a person needs, and `Ready` last', () => {
    const url = findRunningNode(data)?.url ?? 'no node'
    const lines = node.out.split('\n')
    assert.equal(lines[0], `Hyperspace ${packageVersion()}`)
    assert.equal(lines.at(-2), 'Ready')
    assert.ok(node.out.includes(`Data folder    ${data}\n`))
    assert.ok(node.out.includes(`OpenAI API     ${url}/v1\n`))
    assert.ok(node.out.includes(`Anthropic API  ${url}\n`))
    assert.match(node.out, /Sharing {8}nothing/)
    assert.match(node.out, /Model {10}parrot/)
    assert.match(node.out, /\ncurl http\S+\/v1\/chat\/completions .*What is a KV cache\?.*'\n/)
    assert.equal(node.err, '')
  })

  test('lets running requests finish at the first signal', async () => {
    upstream.isHolding = true
    const asked = upstream.asked()
    const answer = run(['chat', 'hello'])
    await asked
    node.raise('SIGTERM')
    assert.match(node.err, /Stopping: finishing 1 running request \(again to stop at once\)/)
    upstream.release()
    assert.equal((await answer).out, 'Polly wants a cache\n')
    assert.equal(await ended, 0)
    assert.equal(findRunningNode(data), undefined)
  })

  test('cuts them at the second', async () => {
    upstream.isHolding = true
    const asked = upstream.asked()
    const answer = run(['chat', 'hello'])
    await asked
    node.raise('SIGINT')
    node.raise('SIGINT')
    assert.equal(await ended, 0)
    const { code, err } = await answer
    assert.notEqual(code, 0)
    assert.doesNotMatch(err, /\n\s+at /)
  })

  test('refuses a folder that another node holds', async () => {
    const { code, out, err } = await run(['up', '--port', '0', '--no-discover'])
    assert.equal(code, 1)
    assert.equal(out, '')
    assert.match(err, new RegExp(`pid ${process.pid}\\) runs on ${data}`))
    assert.doesNotMatch(err, /\n\s+at /)
  })
})

describe('with a running node', () => {
  test('chat answers, and the second time from memory', async () => {
    const first = await run(['chat', 'hello', '--model', 'parrot'])
    assert.deepEqual([first.code, first.out], [0, 'Polly wants a cache\n'])
    assert.match(first.err, /^from upstream · /)
    const second = await run(['chat', '--json'], { input: 'hello' })
    const { text, source, savedTokens } = JSON.parse(second.out)
    assert.deepEqual([text, source, savedTokens], ['Polly wants a cache', 'memory', 9])
    const anew = await run(['chat', 'hello', '--no-cache'])
    assert.match(anew.err, /^from upstream · /)
    const other = await run(['chat', 'hello', '--sample', '1'])
    assert.match(other.err, /^from upstream · /)
  })

  test('chat says what the node says', async () => {
    const { code, err } = await run(['chat', 'hello', '--model', 'elephant'])
    assert.equal(code, 1)
    assert.match(err, /No model 'elephant' here\. Available: parrot/)
  })

  test('a conversation keeps its turns, stops at Ctrl-C and leaves at the second', async () => {
    const person = new CapturedTerminal({ isInteractive: true })
    const left = runCli(['chat', '--data', data], person)
    await person.seen(/parrot\. Ctrl-C/)
    person.typed.write('hello\r')
    await person.seen(/Polly wants a cache\n/)
    await person.seen(/from upstream/)
    upstream.isHolding = true
    const asked = upstream.asked()
    person.typed.write('again\r')
    await asked
    person.typed.write('\u0003')
    await person.seen(/stopped\n/)
    person.typed.write('\u0003')
    await person.seen(/Ctrl-C again to leave/)
    person.typed.write('\u0003')
    assert.equal(await left, 0, person.err)
  })

  test('status, models and cache tell of it', async () => {
    await run(['chat', 'hello'])
    await run(['chat', 'hello'])
    const status = JSON.parse((await run(['status', '--json'])).out)
    assert.deepEqual([status.state, status.cache.hits, status.cache.misses], ['started', 1, 1])
    assert.equal(status.requestsRunning, 0)
    assert.match((await run(['status'])).out, /1 from the cache, 1 computed \(50 % hits\)/)
    assert.match((await run(['models', 'ls'])).out, /parrot .*served/)
    const { entries } = JSON.parse((await run(['cache', 'ls', '--json'])).out)
    assert.equal(entries.length, 1)
    assert.match((await run(['cache', 'stats'])).out, /1 hit, 1 computed/)
    assert.equal((await run(['cache', 'rm', entries[0].lookupKey])).code, 0)
    assert.deepEqual(JSON.parse((await run(['cache', 'ls', '--json'])).out).entries, [])
  })

  test('what was exported from the folder can be imported into the node', async () => {
    await run(['chat', 'hello'])
    assert.equal((await run(['stop'])).code, 0)
    assert.equal(await ended, 0)
    const exported = await run(['cache', 'export'])
    assert.equal((await run(['cache', 'clear', '-y'])).code, 0)
    await startNode()
    const imported = await run(['cache', 'import', '-'], { input: exported.out })
    assert.equal(imported.out, 'Imported 1 answer\n')
    assert.match((await run(['chat', 'hello'])).err, /^from (memory|disk) · /)
    assert.equal((await run(['cache', 'clear', '-y'])).code, 0)
    assert.match((await run(['chat', 'hello'])).err, /^from upstream · /)
  })

  test('cache get opens an answer with its response key', async () => {
    await run(['chat', 'hello'])
    const body = { model: 'parrot', messages: [{ role: 'user', content: 'hello' }] }
    const explain = ['cache', 'explain', '-', '--json']
    const { key } = JSON.parse((await run(explain, { input: JSON.stringify(body) })).out)
    assert.match((await run(['cache', 'get', key])).out, /\nPolly wants a cache\n$/)
  })

  test('env points at it, and stop ends it', async () => {
    const url = findRunningNode(data)?.url
    assert.match((await run(['env'])).out, new RegExp(`^export OPENAI_BASE_URL=${url}/v1\n`))
    const stopped = await run(['stop'])
    assert.equal(stopped.code, 0)
    assert.equal(await ended, 0)
    assert.equal((await run(['status'])).code, 3)
  })
})
