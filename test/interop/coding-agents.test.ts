import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { describe, it } from 'node:test'
import { post, startNode } from '../integration/test-node.ts'

/** Bodies that real coding agents sent; not part of the repository. */
const folder = new URL('../../../shared/data/agent-bodies/', import.meta.url)
const skip = existsSync(folder) ? false : `no recorded bodies at ${folder.pathname}`

interface Recorded {
  readonly path: string
  readonly body: { readonly model: string; readonly stream: boolean }
}

function recorded(name: string): Recorded {
  const { path, body } = JSON.parse(readFileSync(new URL(`${name}.json`, folder), 'utf8'))
  return { path, body: typeof body === 'string' ? JSON.parse(body) : body }
}

describe('recorded requests of coding agents', { skip }, () => {
  for (const [agent, turn] of [
    ['codex', 0],
    ['qwen', 0],
    ['qwen', 1],
  ] as const) {
    it(`${agent}, turn ${turn}: the second run hits, another user's does not`, async test => {
      const [a, b, c] = ['A', 'B', 'C'].map(run => recorded(`${agent}${run}-${turn}`))
      assert.ok(a && b && c)
      assert.ok(a.body.stream)
      const node = await startNode(test, { fake: { aliases: [a.body.model] } })
      const ask = async ({ path, body }: Recorded) => {
        const reply = await post(`${node.url}${path}`, body)
        const { headers } = reply
        const stream = await reply.text()
        assert.equal(reply.status, 200, stream)
        assert.match(headers.get('content-type') ?? '', /^text\/event-stream/)
        return {
          source: headers.get('x-hyperspace-source'),
          key: headers.get('x-hyperspace-key'),
          stream,
        }
      }
      const first = await ask(a)
      assert.equal(first.source, 'engine')
      const second = await ask(b)
      assert.equal(second.source, 'memory')
      assert.equal(second.key, first.key)
      const other = await ask(c)
      assert.equal(other.source, 'engine')
      assert.notEqual(other.key, first.key)

      const again = await node.restart()
      const fromDisk = await post(`${again.url}${b.path}`, b.body)
      assert.equal(fromDisk.headers.get('x-hyperspace-source'), 'disk')
      assert.equal(await fromDisk.text(), second.stream)
    })
  }
})
