import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, test } from 'node:test'
import { decodeInvite, encodeInvite } from '../../key/invite.ts'
import { systemClock } from '../../std/clock.ts'
import { readSwarmState } from '../../swarm-state.ts'
import { CapturedTerminal } from '../captured-terminal.ts'
import { runCli } from '../program.ts'

let data: string
beforeEach(() => {
  data = mkdtempSync(join(tmpdir(), 'hs-swarm-'))
})
afterEach(() => rmSync(data, { recursive: true, force: true }))

async function run(
  args: readonly string[],
  { input, folder = data }: { input?: string; folder?: string } = {},
): Promise<{ code: number; out: string; err: string }> {
  const terminal = new CapturedTerminal(input === undefined ? {} : { input })
  const code = await runCli([...args, '--data', folder], terminal)
  return { code, out: terminal.out, err: terminal.err }
}

const address = '/ip4/192.0.2.7/tcp/11501'

function inviteLine(fields: Partial<Parameters<typeof encodeInvite>[0]> = {}): string {
  const secret = Buffer.alloc(32, 9)
  return encodeInvite({ name: 'lab', secret, addresses: [address], ...fields })
}

describe('swarm create', () => {
  test('makes a folder with a secret that only its owner reads, and never prints it', async () => {
    const folder = join(data, 'new')
    const { code, out } = await run(['swarm', 'create', '--name', 'lab'], { folder })
    assert.equal(code, 0)
    assert.match(out, /^Created swarm 'lab' \(fingerprint (?:[0-9a-f]{4}-){3}[0-9a-f]{4}\)\n$/)
    const state = readSwarmState(folder)
    assert.equal(state?.secret.length, 32)
    assert.equal(statSync(join(folder, 'swarm.json')).mode & 0o777, 0o600)
    const shown = await run(['swarm', 'show', '--json'], { folder })
    const texts = ['hex', 'base64', 'base64url'] as const
    for (const form of texts) {
      const secret = Buffer.from(state?.secret ?? []).toString(form)
      assert.ok(!`${out}${shown.out}${shown.err}`.includes(secret))
    }
  })

  test('names the swarm by itself, and does not leave another one silently', async () => {
    const first = JSON.parse((await run(['swarm', 'create', '--json'])).out)
    assert.equal(first.name, `swarm-${first.fingerprint.slice(0, 4)}`)
    const refused = await run(['swarm', 'create'])
    assert.equal(refused.code, 2)
    assert.match(refused.err, /is in swarm 'swarm-/)
    const second = JSON.parse((await run(['swarm', 'create', '--json', '--force'])).out)
    assert.notEqual(second.fingerprint, first.fingerprint)
    assert.equal((await run(['swarm', 'create', '--force', '--name', 'a/b'])).code, 2)
  })
})

describe('swarm invite and join', () => {
  test('the line alone is on stdout, and joins through a pipe', async () => {
    await run(['swarm', 'create', '--name', 'lab'])
    const { code, out, err } = await run(['swarm', 'invite'])
    assert.equal(code, 0)
    assert.match(out, /^hyperspace-swarm-1\.\S+\n$/)
    assert.match(err, /within 7 d.*\n.*no address/)
    const folder = join(data, 'other')
    const joined = await run(['swarm', 'join', '-', '--json'], { input: out, folder })
    const { fingerprint } = JSON.parse((await run(['swarm', 'show', '--json'])).out)
    assert.deepEqual(JSON.parse(joined.out), {
      name: 'lab',
      fingerprint,
      isRunning: false,
      peer: null,
    })
  })

  test('passes on the addresses that the folder knows', async () => {
    await run(['swarm', 'join', inviteLine()])
    assert.equal((await run(['peers', 'add', `${address}/x`])).code, 0)
    const { out } = await run(['swarm', 'invite', '--expires', '12h'])
    const invite = decodeInvite(out, systemClock.now())
    assert.deepEqual(invite.addresses, [address, `${address}/x`])
    assert.ok((invite.expiresAt ?? 0) <= systemClock.now() + 43_200_000)
    const forever = await run(['swarm', 'invite', '--expires', 'never'])
    assert.equal(decodeInvite(forever.out, Number.MAX_SAFE_INTEGER).expiresAt, undefined)
    assert.equal((await run(['swarm', 'invite', '--expires', 'soon'])).code, 2)
  })

  for (const [what, line, message] of [
    ['an expired line', inviteLine({ expiresAt: 1_000 }), /expired at 1970-01-01.*Ask for a new/],
    ['a cut line', inviteLine().slice(0, -4), /damaged: copy the whole line/],
    ['another text', 'hello', /it is no invite/],
  ] as const) {
    test(`join refuses ${what} and says why`, async () => {
      const { code, out, err } = await run(['swarm', 'join', line])
      assert.deepEqual([code, out], [1, ''])
      assert.match(err, message)
      assert.ok(!existsSync(join(data, 'swarm.json')))
    })
  }

  test('leaving another swarm needs --force; joining the same again adds addresses', async () => {
    await run(['swarm', 'join', inviteLine()])
    const other = inviteLine({ name: 'other', secret: Buffer.alloc(32, 1) })
    const refused = await run(['swarm', 'join', other])
    assert.equal(refused.code, 2)
    assert.match(refused.err, /in swarm 'lab'. To leave it for 'other', say --force/)
    const peer = '12D3KooWJWoaqZhDaoEFshF7Rh1bpY9ohihFhzcW6d69Lr2NASuq'
    assert.equal((await run(['peers', 'ban', peer])).code, 0)
    await run(['swarm', 'join', inviteLine({ addresses: ['/ip4/192.0.2.8/tcp/1'] })])
    const state = readSwarmState(data)
    assert.deepEqual(state?.addresses, ['/ip4/192.0.2.8/tcp/1', address])
    assert.deepEqual(state?.banned, [peer])
    assert.equal((await run(['swarm', 'join', other, '--force'])).code, 0)
    assert.equal(readSwarmState(data)?.name, 'other')
  })
})

describe('swarm leave', () => {
  test('forgets the swarm; a second time there is none', async () => {
    await run(['swarm', 'join', inviteLine()])
    assert.equal((await run(['swarm', 'leave'])).code, 0)
    for (const line of [
      'swarm leave',
      'swarm show',
      'swarm invite',
      'peers add /ip4/1.1.1.1/tcp/1',
    ]) {
      const { code, err } = await run(line.split(' '))
      assert.equal(code, 1)
      assert.match(err, /is in no swarm: join one with `hyperspace swarm join INVITE`/)
    }
  })

  test('is the way out of a damaged file', async () => {
    writeFileSync(join(data, 'swarm.json'), '{')
    const shown = await run(['swarm', 'show'])
    assert.equal(shown.code, 1)
    assert.match(shown.err, /hyperspace swarm leave/)
    assert.equal((await run(['swarm', 'leave'])).code, 0)
    assert.ok(!existsSync(join(data, 'swarm.json')))
  })
})

describe('id', () => {
  test('makes the key once', async () => {
    const { code, out } = await run(['id'])
    assert.equal(code, 0)
    assert.match(out, /^12D3Koo\w{45}\n$/)
    const key = readFileSync(join(data, 'node.key'), 'utf8')
    const { peerId, publicKey } = JSON.parse((await run(['id', '--json'])).out)
    assert.equal(`${peerId}\n`, out)
    assert.match(publicKey, /^[0-9a-f]{64}$/)
    assert.equal(readFileSync(join(data, 'node.key'), 'utf8'), key)
  })
})

describe('peers', () => {
  test('a wrong address or peer is a usage error', async () => {
    await run(['swarm', 'create'])
    for (const line of ['peers add 192.0.2.7:11501', 'peers add /ip4/1.1.1.1/tcp/1/p2p/x']) {
      const { code, err } = await run(line.split(' '))
      assert.equal(code, 2)
      assert.match(err, /One looks like \/ip4/)
    }
    assert.equal((await run(['peers', 'ban', 'x'])).code, 2)
    assert.equal((await run(['peers', 'ban', 'abcdefgh'])).code, 1)
  })

  test('unban takes the end of a banned id', async () => {
    await run(['swarm', 'create'])
    const peer = '12D3KooWJWoaqZhDaoEFshF7Rh1bpY9ohihFhzcW6d69Lr2NASuq'
    await run(['peers', 'ban', peer])
    await run(['peers', 'ban', peer])
    assert.deepEqual(readSwarmState(data)?.banned, [peer])
    assert.equal((await run(['peers', 'unban', peer.slice(-10)])).code, 0)
    assert.deepEqual(readSwarmState(data)?.banned, [])
  })

  test('without a node it says how to start one', async () => {
    await run(['swarm', 'create'])
    for (const line of ['peers', 'peers --json', `find ${'a'.repeat(64)}`, 'ping abcdefgh']) {
      const { code, out, err } = await run(line.split(' '))
      assert.deepEqual([code, out], [3, ''])
      assert.match(err, /Start one with `hyperspace up`/)
    }
    assert.equal((await run(['find', 'abc'])).code, 2)
  })
})
