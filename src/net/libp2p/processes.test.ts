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

  it('carry bytes, until one was killed in the middle of them', async context => {
    const node = testNetwork()
    await started(context, node)
    const { child, self } = await childNode(context, addressOf(node))
    await peerChanged(node, 'connected', self)
    let bytes = 0
    const reading = (async () => {
      const endless = node.openBytes(self, '/hyperspace/endless/1', new Uint8Array(0), { signal })
      for await (const piece of endless) {
        if (bytes === 0) child.kill('SIGKILL')
        bytes += piece.length
      }
    })()
    await assert.rejects(reading, { code: 'peer_unreachable' })
    assert.ok(bytes > 0)
    assert.equal(node.byteCallCounts.streamed, 0)
    await peerChanged(node, 'disconnected', self)
  })

  it('leave nothing alive after stop(), and end by themselves', async context => {
    const node = testNetwork()
    node.serveBytes('/hyperspace/some/1', async function* (body) {
      yield new Uint8Array(100_000)
      yield body
    })
    await started(context, node)
    const { child, self, nextLine } = await childNode(context, addressOf(node))
    await peerChanged(node, 'connected', self)
    const options = { signal, timeoutMs: 10_000 }
    const body = new Uint8Array(1_000)
    const fetched = await node.request(self, '/hyperspace/fetch/1', body, options)
    assert.equal(String(Buffer.from(fetched)), '101000')
    const endless = node.openBytes(self, '/hyperspace/endless/1', body, options)
    const reader = endless[Symbol.asyncIterator]()
    await reader.next()
    // Both kinds of direct connection are open, one of them in use.
    assert.equal(node.byteCallCounts.streamed, 0)
    const exited = once(child, 'exit')
    child.stdin.write('stop\n')
    assert.deepEqual(JSON.parse(await nextLine()), [])
    assert.deepEqual(await exited, [0, null])
  })
})
