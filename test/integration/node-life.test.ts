import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdirSync, readdirSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { FakeEngine } from '../../src/engine/fake/fake-engine.ts'
import { createNode, type HyperspaceNode } from '../../src/node.ts'
import { temporaryFolder, testConfig } from './test-node.ts'

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port }: { port: number } = Object(server.address())
  server.close()
  await once(server, 'close')
  return port
}

function nodeOn(data: string, port: number): HyperspaceNode {
  const engines = { engines: [new FakeEngine()], upstreams: [] }
  return createNode(testConfig(data, { port: String(port) }), { engines })
}

const lockFiles = (data: string): readonly string[] =>
  readdirSync(data).filter(name => name === 'node.lock' || name === 'node.json')

describe('a node', () => {
  it('that cannot tell its commands where it is does not start, and leaves nothing', async test => {
    const data = temporaryFolder(test)
    const port = await freePort()
    const inTheWay = join(data, 'node.json.new')
    mkdirSync(inTheWay)
    const start = nodeOn(data, port).start({ signal: test.signal })
    await assert.rejects(start, { code: 'data_folder_unusable' })
    assert.deepEqual(lockFiles(data), [])
    await assert.rejects(fetch(`http://127.0.0.1:${port}/health`), 'it listens no more')

    rmSync(inTheWay, { recursive: true })
    const again = nodeOn(data, port)
    await again.start({ signal: test.signal })
    assert.equal((await fetch(`http://127.0.0.1:${port}/health`)).status, 200)
    await again.stop()
  })

  it('that is told to stop while it starts does so once it stands', async test => {
    const data = temporaryFolder(test)
    const port = await freePort()
    const node = nodeOn(data, port)
    const starting = node.start({ signal: test.signal })
    await node.stop()
    await starting
    await node.closed
    assert.deepEqual(lockFiles(data), [])
    await assert.rejects(fetch(`http://127.0.0.1:${port}/health`), 'it listens no more')
  })

  it('that was told to stop before it started can be stopped after', async test => {
    const data = temporaryFolder(test)
    const node = nodeOn(data, await freePort())
    await node.stop()
    await node.start({ signal: test.signal })
    await node.stop()
    assert.deepEqual(lockFiles(data), [])
  })
})
