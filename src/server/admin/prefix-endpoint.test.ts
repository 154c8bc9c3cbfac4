import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { ModelTable } from '../../cache/model-table.ts'
import type { PrefixAsk } from '../../cache/prefix/ask-prefix.ts'
import type { PrefixExplanation } from '../../cache/prefix/prefix-cache.ts'
import { FakeEngine } from '../../engine/fake/fake-engine.ts'
import { OperationError } from '../../errors.ts'
import { localScope, swarmScope } from '../../key/scope.ts'
import type { JsonObject } from '../../std/json.ts'
import type { PlainReply } from '../endpoint.ts'
import { Router } from '../router.ts'
import { addPrefixEndpoint } from './prefix-endpoint.ts'

const nodeSecret = new Uint8Array(32).fill(1)
const swarm = swarmScope(new Uint8Array(32).fill(2))
const local = localScope(nodeSecret, undefined)
const models = new ModelTable([new FakeEngine()])
const told: PrefixExplanation = { isOn: false, reason: 'of a test' }
const chat = { model: 'fake', messages: [{ role: 'user', content: 'Hi' }] }
const question = { endpoint: '/v1/chat/completions', body: chat }

class AskedPrefix {
  readonly asked: PrefixAsk[] = []

  async explain(ask: PrefixAsk): Promise<PrefixExplanation> {
    this.asked.push(ask)
    return told
  }
}

async function post(prefix: AskedPrefix | undefined, json: JsonObject): Promise<PlainReply> {
  const router = new Router()
  addPrefixEndpoint(router, { models, prefix, nodeSecret, swarmScope: () => swarm })
  const { endpoint } = router.find('POST', '/admin/cache/prefix')
  assert.ok(endpoint.kind === 'plain' && endpoint.access === 'admin')
  return await endpoint.handle({
    rest: '',
    query: new URLSearchParams(),
    headers: {},
    scope: local,
    signal: new AbortController().signal,
    json: async () => json,
    bytes: async () => new Uint8Array(),
  })
}

describe('POST /admin/cache/prefix', () => {
  it('asks for the prompt of the body, in the scope that it would be asked in', async () => {
    const prefix = new AskedPrefix()
    for (const scope of [{}, { scope: 'local' }, { scope: 'local', apiKey: 'k' }]) {
      assert.deepEqual((await post(prefix, { ...question, ...scope })).body, told)
    }
    const salts = [swarm, local, localScope(nodeSecret, 'k')].map(({ salt }) => salt)
    assert.deepEqual(
      prefix.asked.map(({ scope }) => scope.salt),
      salts,
    )
    const [first] = prefix.asked
    assert.equal(first?.served.model.name, 'fake')
    assert.equal(first.request.messages.length, 1)
  })

  it('says that a node without a prefix cache keeps nothing', async () => {
    const { body } = await post(undefined, question)
    assert.deepEqual(body, { isOn: false, reason: 'this node keeps no KV state' })
  })

  it('refuses what the endpoint would refuse', async () => {
    const wrong: readonly (readonly [JsonObject, string])[] = [
      [{ ...question, endpoint: '/v1/embeddings' }, 'request_invalid'],
      [{ ...question, body: 'Hi' }, 'request_invalid'],
      [{ ...question, body: { ...chat, messages: [] } }, 'request_invalid'],
      [{ ...question, body: { ...chat, model: 'none' } }, 'model_not_found'],
    ]
    for (const [json, code] of wrong) {
      await assert.rejects(
        post(new AskedPrefix(), json),
        error => error instanceof OperationError && error.code === code,
      )
    }
  })
})
