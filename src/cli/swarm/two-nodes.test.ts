import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { startTestUpstream, type TestUpstream } from '../../../test/support/test-upstream.ts'
import { encodeInvite } from '../../key/invite.ts'
import { CapturedTerminal } from '../captured-terminal.ts'
import { runCli } from '../program.ts'

interface Running {
  readonly data: string
  readonly terminal: CapturedTerminal
  readonly ended: Promise<number>
}

interface Ran {
  readonly code: number
  readonly out: string
  readonly err: string
}

const body = { model: 'parrot', messages: [{ role: 'user', content: 'hello' }] }

let upstream: TestUpstream
let a: Running
let b: Running
before(async () => {
  upstream = await startTestUpstream({
    'GET /v1/models': exchange => exchange.json({ data: [{ id: 'parrot', object: 'model' }] }),
    'POST /v1/chat/completions': exchange => {
      const head = { id: 'c', object: 'chat.completion.chunk', created: 1, model: 'parrot' }
      const delta = { role: 'assistant', content: 'Polly wants a cache' }
      exchange.events(
        { ...head, choices: [{ index: 0, delta, finish_reason: null }] },
        { ...head, choices: [{ index: 0, delta: {}, finish_reason: 'stop' }] },
        { ...head, choices: [], usage: { prompt_tokens: 5, completion_tokens: 4 } },
        '[DONE]',
      )
      exchange.response.end()
    },
  })
  ;[a, b] = await Promise.all([up(), up()])
})
after(async () => {
  for (const { terminal } of [a, b]) terminal.raise('SIGTERM')
  await Promise.all([a.ended, b.ended])
  for (const { data } of [a, b]) rmSync(data, { recursive: true })
  await upstream.stop()
})

async function up(): Promise<Running> {
  const data = mkdtempSync(join(tmpdir(), 'hs-two-'))
  const terminal = new CapturedTerminal()
  const local = ['--p2p-host', '127.0.0.1', '--p2p-port', '0', '--network', 'loopback', '--no-mdns']
  const engine = ['--port', '0', '--upstream', `${upstream.url}/v1`]
  const ended = runCli(['up', '--data', data, ...engine, ...local], terminal)
  await Promise.race([terminal.seen(/Ready\n$/), ended])
  assert.match(terminal.out, /Ready\n$/, terminal.err)
  return { data, terminal, ended }
}

async function run({ data }: Running, line: string, input?: string): Promise<Ran> {
  const terminal = new CapturedTerminal(input === undefined ? {} : { input })
  const code = await runCli([...line.split(' '), '--data', data], terminal)
  return { code, out: terminal.out, err: terminal.err }
}

async function ok(node: Running, line: string, input?: string): Promise<string> {
  const { code, out, err } = await run(node, line, input)
  assert.equal(code, 0, `${line}: ${err}`)
  return out
}

async function peerIdOf(node: Running): Promise<string> {
  return (await ok(node, 'id')).trim()
}

/** Asks again until the peers of a node are as many. */
async function waitForPeers(node: Running, count: number): Promise<void> {
  for (;;) {
    const { peers } = JSON.parse(await ok(node, 'peers --json'))
    if (peers.length === count) return
  }
}

describe('two running nodes', { timeout: 60_000 }, () => {
  test('join while they run', async () => {
    assert.match((await run(a, 'peers')).err, /is in no swarm/)
    await ok(a, 'swarm create --name lab')
    assert.match(await ok(a, 'status'), /Swarm +alone in swarm 'lab': no peer is connected yet/)
    assert.match((await run(a, 'peers')).err, /^Alone in swarm 'lab'/)
    const invite = await ok(a, 'swarm invite')
    const joined = await ok(b, 'swarm join -', invite)
    assert.match(joined, new RegExp(`\nConnected with ${await peerIdOf(a)}\n$`))
    await waitForPeers(a, 1)
    const status = await ok(b, 'status')
    assert.match(status, /Swarm +'lab', 1 peer connected\n/)
    assert.match(status, /Peers at +\/ip4\/127\.0\.0\.1\/tcp\/\d+\/p2p\/12D3Koo/)
    assert.match(status, /Sharing +answers and KV state of prompts with the members of swarm 'lab'/)
    const shown = JSON.parse(await ok(b, 'swarm show --json'))
    assert.equal(shown.running.peers.length, 1)
    assert.equal(shown.fingerprint, JSON.parse(await ok(a, 'swarm show --json')).fingerprint)
  })

  test('peers and ping know each other by the end of an id', async () => {
    const other = await peerIdOf(b)
    const table = await ok(a, 'peers')
    assert.match(table, /^PEER +ADDRESS +BY +RTT/)
    assert.match(table, new RegExp(`\n${other.slice(-10)} +/ip4/127.0.0.1/tcp/\\d+ +them `))
    const { sent, roundTripMs } = JSON.parse(await ok(a, `ping ${other.slice(-6)} -c 2 --json`))
    assert.deepEqual([sent, roundTripMs.length], [2, 2])
    assert.match(await ok(a, `ping ${other} --count 1`), /\n1 of 1 answered; least /)
  })

  test('an answer of one is found, served and verified on the other', async () => {
    assert.match((await run(a, 'chat hello')).err, /^from upstream/)
    const explain = 'cache explain - --json'
    const { key, scope } = JSON.parse(await ok(b, explain, JSON.stringify(body)))
    assert.equal(scope, 'swarm')
    while ((await run(b, `find ${key}`)).code !== 0);
    assert.equal(await ok(b, `find ${key}`), `${await peerIdOf(a)}\n`)
    const answered = await run(b, 'chat hello')
    assert.match(answered.err, /^from peer/)
    assert.equal(answered.out, 'Polly wants a cache\n')
    while ((await run(b, `receipt show ${key}`)).code !== 0);
    const verified = await ok(b, `receipt verify ${key}`)
    assert.ok(verified.startsWith(`Peer ${await peerIdOf(a)}\nsays that it got this answer from`))
    const [peer] = JSON.parse(await ok(b, 'peers --json')).peers
    assert.equal(peer.receivedAnswers, 1)
    const counted = await ok(b, 'status')
    assert.match(counted, /Answers +0 from the cache, 1 from peers, 0 computed \(100 % hits\)/)
    assert.match(await ok(b, 'cache stats'), /\n0 hits, 1 from peers, 0 computed, /)
    assert.match(await ok(a, 'status'), /1 answer offered\n/)
    assert.equal((await run(b, `find ${'0'.repeat(64)}`)).code, 1)
  })

  test('doctor finds the swarm and its port', async () => {
    const { findings } = JSON.parse((await run(b, 'doctor --json')).out)
    const found = findings.filter(({ name }: { name: string }) => /Swarm|Peer port/.test(name))
    assert.deepEqual(
      found.map(({ isOk }: { isOk: boolean }) => isOk),
      [true, true],
      JSON.stringify(found),
    )
    assert.match(found[0].detail, /'lab', 1 peer connected/)
  })

  test('a banned peer is gone until the ban is lifted', async () => {
    const other = await peerIdOf(b)
    await ok(a, `peers ban ${other.slice(-10)}`)
    await waitForPeers(a, 0)
    const { banned, addresses } = JSON.parse(await ok(a, 'swarm show --json'))
    assert.deepEqual([banned, addresses], [[other], []])
    await waitForPeers(b, 0)
    await ok(a, `peers unban ${other.slice(-10)}`)
    const [address] = JSON.parse(await ok(a, 'status --json')).swarm.addresses
    assert.equal(await ok(b, `peers add ${address}`), `Connected with ${await peerIdOf(a)}\n`)
    const refused = await run(b, 'peers add /ip4/127.0.0.1/tcp/1')
    assert.equal(refused.code, 4)
    assert.match(refused.err, /not connected/)
  })

  test('an invite of a swarm that was made anew says so', async () => {
    const stale = await ok(a, 'swarm invite')
    await ok(a, 'swarm create --name lab --force')
    // The port is another after the change: any free one was asked for.
    const fresh = JSON.parse(await ok(a, 'status --json')).swarm.addresses[0]
    const { code, out, err } = await run(b, `peers add ${fresh}`)
    assert.deepEqual([code, out], [4, ''])
    assert.match(err, /belongs to another swarm/)
    const joined = await run(b, 'swarm join -', stale)
    assert.equal(joined.code, 0)
    assert.match(joined.err, /No member answers at the addresses of the invite now/)
    await waitForPeers(b, 0)
    const secret = Buffer.alloc(32, 3)
    const other = encodeInvite({ name: 'other', secret, addresses: [fresh] })
    const refused = await run(b, `swarm join ${other} --force`)
    assert.match(refused.err, /are not in this swarm 'other'.*Ask for a new invite/)
  })

  test('leave shares nothing any more', async () => {
    await ok(b, 'swarm leave')
    const { swarm, sharing } = JSON.parse(await ok(b, 'status --json'))
    assert.equal(swarm, null)
    assert.match(sharing, /^nothing/)
  })
})
