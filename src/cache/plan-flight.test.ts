import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { canonicalRequest } from '../key/canonical-request.ts'
import type { LookupKey } from '../key/response-key.ts'
import { responseKey } from '../key/response-key.ts'
import { planGeneration } from './plan-flight.ts'
import {
  keepBusy,
  liarOf,
  type Member,
  request,
  swarmTestScope as scope,
  TestMembers,
} from './prefix/test-members.ts'
import { createTestCache, type TestCache, testSecret } from './test-cache.ts'

/** Answers a request on a member, and keeps the answer. */
async function answer({ node }: Member, { cache, metrics }: TestCache, user: string) {
  const { engine, clock } = node
  const [model] = engine.models()
  assert.ok(model !== undefined)
  const served = { engine, model }
  const asked = request(user)
  const canonical = canonicalRequest(asked, { modelId: model.id, developerRole: true, sample: 0 })
  const key = responseKey(scope, canonical)
  const plan = planGeneration(
    { cache, clock, metrics, prefix: node.cache },
    {
      ...{ served, request: asked, scope, key, maxAgeSeconds: undefined, asksPeers: true },
      fill: { canonical, nodeSecret: testSecret },
    },
  )
  const run = async (): Promise<void> => {
    for await (const event of plan.run(new AbortController().signal, () => undefined)) {
      plan.onEvent(event)
    }
    plan.onComplete()
  }
  await clock.settle(run())
  return () => cache.find(key, { maxTokens: asked.maxTokens, maxAgeSeconds: undefined }).outcome
}

describe('planGeneration()', () => {
  it('keeps no answer that rests on what a liar sent, once that is known', async () => {
    const members = new TestMembers()
    await liarOf(members)
    const b = await members.add()
    const parts = createTestCache()
    const told: LookupKey[] = []
    b.node.cache.onWrongAnswers(async answers => {
      told.push(...answers)
      for (const key of answers) await parts.cache.remove(key)
    })
    const idle = keepBusy(b)
    const found = await answer(b, parts, 'two')
    await parts.background.drain()
    assert.equal(found(), 'hit')
    idle()
    await b.node.settled()
    assert.equal(b.node.counted('audit-disagree'), 1)
    assert.equal(told.length, 1)
    assert.equal(found(), 'miss')
    assert.equal((await answer(b, parts, 'two'))(), 'hit', 'computed anew')
  })

  it('keeps no answer whose issuer was found to lie while it was made, or stored', async () => {
    const members = new TestMembers()
    const liar = await liarOf(members)
    for (const isWhileStored of [false, true]) {
      const b = await members.add()
      keepBusy(b)
      const parts = createTestCache()
      let asked = 0
      b.node.cache.refuses = issuer => {
        asked += 1
        return issuer === liar.self && (!isWhileStored || asked > 1)
      }
      const found = await answer(b, parts, 'two')
      await parts.background.drain()
      assert.equal(found(), 'miss')
      assert.equal(parts.store.stats().tiers[0]?.records, 0)
    }
  })

  it('keeps answers that rest on honest members', async () => {
    const [, b] = await new TestMembers().pair()
    const parts = createTestCache()
    const found = await answer(b, parts, 'two')
    await b.node.settled()
    await parts.background.drain()
    assert.equal(b.node.counted('audit-agree'), 1)
    assert.equal(found(), 'hit')
  })
})
