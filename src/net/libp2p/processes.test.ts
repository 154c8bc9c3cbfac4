import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { describe, it, type TestContext } from 'node:test'
import { fileURLToPath } from 'node:url'
import { parsePeerId } from '../../key/peer-id.ts'
import { addressOf, peerChanged, started, testNetwork } from './test-nodes.ts'

const protocol = '/hyperspace/test/1'
const { signal } = new AbortController()

async function childNode(context: TestContext, ...peers: readonly string[]) {
  const script = fileURLToPath(new URL('test-peer-child.ts', import.meta.url))
  const child = spawn(process.execPath, [script, ...peers], { stdio: ['pipe', 'pipe', 'inherit'] })
  context.after(() => child.kill('SIGKILL'))
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const nextLine = async (): Promise<string> => String((await lines.next()).value)
  const address = await nextLine()
  const self = parsePeerId(address.split('/').at(-1) ?? '')
  assert.ok(self, `the child has an address: ${address}`)
  return { child, address, self, nextLine }
}

describe('two processes', () => {
  it('talk, and one notices at once that the other was killed', async context => {
    const node = testNetwork()
    await started(context, node)
    const { child, self } = await childNode(context, addressOf(node))
    await peerChanged(node, 'connected', self)
    const body = Buffer.from('over the process border')
    const reply = await node.request(self, protocol, body, { signal, timeoutMs: 10_000 })
    assert.deepEqual(Buffer.from(reply), body)
    const never = node.request(self, '/hyperspace/never/1', body, { signal, timeoutMs: 3_600_000 })
    const failed = assert.rejects(never, { code: 'peer_unreachable' })
    child.kill('SIGKILL')
    await failed
    await peerChanged(node, 'disconnected', self)
  })

  it('leave nothing alive after stop(), and end by themselves', async context => {
    const node = testNetwork()
    await started(context, node)
    const { child, self, nextLine } = await childNode(context, addressOf(node))
    await peerChanged(node, 'connected', self)
    const exited = once(child, 'exit')
    child.stdin.write('stop\n')
    assert.deepEqual(JSON.parse(await nextLine()), [])
    assert.deepEqual(await exited, [0, null])
  })
})
