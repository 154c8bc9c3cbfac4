import assert from 'node:assert/strict'
import { networkInterfaces } from 'node:os'
import { describe, it, type TestContext } from 'node:test'
import { FakeEngine } from '../../src/engine/fake/fake-engine.ts'
import { post, startNode, temporaryFolder, testConfig } from './test-node.ts'

const body = { model: 'fake', messages: [{ role: 'user', content: 'hello' }] }

const sourceOf = async (reply: Response): Promise<string | null> => {
  assert.equal(reply.status, 200, await reply.text())
  return reply.headers.get('x-hyperspace-source')
}

async function startWithKeys(test: TestContext, keys: readonly string[]) {
  const engine = new FakeEngine()
  const node = await startNode(test, { engine, flags: { apiKey: keys } })
  const ask = (headers: { readonly [name: string]: string }): Promise<Response> =>
    post(`${node.url}/v1/chat/completions`, body, headers)
  return { node, engine, ask }
}

describe('API keys', () => {
  it('are needed everywhere but for health, and never told', async test => {
    const { node } = await startWithKeys(test, ['alpha-key'])
    const refused: readonly (readonly [string, string])[] = [
      ['POST', '/v1/chat/completions'],
      ['POST', '/v1/completions'],
      ['POST', '/v1/responses'],
      ['POST', '/v1/messages'],
      ['POST', '/v1/messages/count_tokens'],
      ['POST', '/v1/embeddings'],
      ['GET', '/v1/models'],
      ['GET', '/v1/models/fake'],
      ['POST', '/api/chat'],
      ['POST', '/api/generate'],
      ['POST', '/api/show'],
      ['GET', '/api/tags'],
      ['GET', '/api/ps'],
      ['GET', '/metrics'],
      ['GET', '/admin/status'],
      ['DELETE', '/admin/cache/entries'],
    ]
    for (const [method, path] of refused) {
      for (const headers of [{}, { authorization: 'Bearer wrong-key' }, { 'x-api-key': '' }]) {
        const sent = method === 'POST' ? { body: JSON.stringify(body) } : {}
        const reply = await fetch(`${node.url}${path}`, { method, headers, ...sent })
        const text = await reply.text()
        assert.equal(reply.status, 401, `${method} ${path}: ${text}`)
        assert.doesNotMatch(text, /alpha-key|wrong-key/)
      }
    }
    for (const path of ['/health', '/healthz', '/ready', '/readyz', '/version', '/']) {
      assert.equal((await fetch(`${node.url}${path}`)).status, 200, path)
    }
  })

  it('are taken as Bearer or x-api-key, which mean the same tenant', async test => {
    const { ask } = await startWithKeys(test, ['alpha', 'beta'])
    assert.equal(await sourceOf(await ask({ authorization: 'Bearer alpha' })), 'engine')
    assert.equal(await sourceOf(await ask({ authorization: 'bearer  alpha' })), 'memory')
    assert.equal(await sourceOf(await ask({ 'x-api-key': 'alpha' })), 'memory')
  })

  it('have entries of their own: tenants never hit each other’s', async test => {
    const { node, engine, ask } = await startWithKeys(test, ['alpha', 'beta'])
    const keyOf = async (tenant: string): Promise<string | null> => {
      const reply = await ask({ authorization: `Bearer ${tenant}` })
      await reply.text()
      return reply.headers.get('x-hyperspace-key')
    }
    const [alpha, beta] = [await keyOf('alpha'), await keyOf('beta')]
    assert.notEqual(alpha, beta)
    assert.equal(engine.generationCount, 2)
    assert.equal(await keyOf('alpha'), alpha)
    assert.equal(engine.generationCount, 2)

    const again = await node.restart()
    for (const tenant of ['alpha', 'beta']) {
      const headers = { authorization: `Bearer ${tenant}` }
      const reply = await post(`${again.url}/v1/chat/completions`, body, headers)
      assert.equal(await sourceOf(reply), 'disk')
    }
  })

  it('do not open the admin API, and its token opens nothing else', async test => {
    const { node, ask } = await startWithKeys(test, ['alpha'])
    const headers = { authorization: 'Bearer alpha' }
    assert.equal((await fetch(`${node.url}/admin/status`, { headers })).status, 401)
    assert.equal((await ask({ authorization: 'Bearer undefined' })).status, 401)
  })

  it('are needed before the node listens to others', async test => {
    const data = temporaryFolder(test)
    for (const host of ['0.0.0.0', '::', '192.168.1.5', 'example.com', '128.0.0.1']) {
      assert.throws(
        () => testConfig(data, { host }),
        (error: Error) => error.message.includes('--api-key') && error.message.includes(host),
      )
      assert.doesNotThrow(() => testConfig(data, { host, apiKey: ['alpha'] }))
    }
    for (const host of ['127.0.0.1', '127.1.2.3', '::1', 'localhost']) {
      assert.doesNotThrow(() => testConfig(data, { host }))
    }
  })

  it('let others in through an outer address, under any host name', async test => {
    const outer = Object.values(networkInterfaces())
      .flatMap(list => list ?? [])
      .find(({ internal, family }) => !internal && family === 'IPv4')
    if (outer === undefined) return test.skip('this machine has no outer address')
    const flags = { apiKey: ['alpha'], host: '0.0.0.0' }
    const node = await startNode(test, { fake: {}, flags })
    const url = `http://${outer.address}:${new URL(node.url).port}/v1/chat/completions`
    assert.equal((await post(url, body)).status, 401)
    assert.equal((await post(url, body, { 'x-api-key': 'alpha' })).status, 200)
  })
})
