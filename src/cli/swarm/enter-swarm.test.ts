import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import {
  modelList,
  startTestUpstream,
  type TestUpstream,
} from '../../../test/support/test-upstream.ts'
import { encodeInvite } from '../../key/invite.ts'
import { readSwarmState, writeSwarmState } from '../../swarm-state.ts'
import { CapturedTerminal } from '../captured-terminal.ts'
import { runCli } from '../program.ts'

const invite = encodeInvite({ name: 'lab', secret: Buffer.alloc(32, 9), addresses: [] })

describe('a running node that cannot join', { timeout: 60_000 }, () => {
  const data = mkdtempSync(join(tmpdir(), 'hs-enter-'))
  let upstream: TestUpstream
  let taken: Server
  let port: number
  before(async () => {
    upstream = await startTestUpstream({ 'GET /v1/models': modelList('parrot') })
    ;({ server: taken, port } = await listen(0))
  })
  after(async () => {
    rmSync(data, { recursive: true, force: true })
    await Promise.all([upstream.stop(), close(taken)])
  })

  test('leaves the folder as it was, and says so', async () => {
    const terminal = new CapturedTerminal()
    const local = ['--p2p-host', '127.0.0.1', '--network', 'loopback', '--no-mdns']
    const ports = ['--port', '0', '--p2p-port', String(port)]
    const flags = ['--data', data, '--upstream', `${upstream.url}/v1`, ...ports, ...local]
    const ended = runCli(['up', ...flags], terminal)
    await Promise.race([terminal.seen(/Ready\n$/), ended])
    try {
      for (const line of [['join', invite], ['create']]) {
        const { code, err } = await run('swarm', ...line)
        assert.equal(code, 2)
        assert.match(err, /Not joined: \S+ is in no swarm as before\n/)
        assert.ok(!existsSync(join(data, 'swarm.json')))
      }
      // As after a join that was interrupted: the folder is in a swarm, the node not yet.
      const secret = Buffer.alloc(32, 7)
      writeSwarmState(data, { name: 'old', secret, addresses: [], banned: [] })
      const forced = await run('swarm', 'join', invite, '--force')
      assert.match(forced.err, /Not joined: \S+ is in swarm 'old' as before from its next start on/)
      assert.equal(readSwarmState(data)?.name, 'old')

      await close(taken)
      assert.equal((await run('swarm', 'join', invite, '--force')).code, 0)
      const status = JSON.parse((await run('status', '--json')).out)
      assert.equal(status.swarm.name, 'lab')
    } finally {
      terminal.raise('SIGTERM')
      await ended
    }
  })

  async function run(
    ...args: readonly string[]
  ): Promise<{ code: number; out: string; err: string }> {
    const terminal = new CapturedTerminal()
    const code = await runCli([...args, '--data', data], terminal)
    return { code, out: terminal.out, err: terminal.err }
  }
})

async function listen(port: number): Promise<{ readonly server: Server; readonly port: number }> {
  const server = createServer()
  await new Promise<void>(resolve => server.listen(port, '127.0.0.1', resolve))
  const address = server.address()
  assert.ok(typeof address === 'object' && address !== null)
  return { server, port: address.port }
}

async function close(server: Server): Promise<void> {
  if (!server.listening) return
  await new Promise(resolve => server.close(resolve))
}
