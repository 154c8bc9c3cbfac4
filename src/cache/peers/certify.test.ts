import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { FakeEngine } from '../../engine/fake/fake-engine.ts'
import type { EngineModel, TokenModel } from '../../interface/engine.ts'
import type { Completion } from '../../interface/generation.ts'
import { lookupKey, parseResponseKey } from '../../key/response-key.ts'
import { receiptClockSkewMs } from '../../limits.ts'
import { Identity } from '../../net/identity.ts'
import { VirtualClock } from '../../std/clock.ts'
import { IssuerKeys } from '../../trust/issuer-keys.ts'
import { type ReceiptCheck, verifyReceipt } from '../../trust/receipt.ts'
import { CompletionCollector } from '../collect.ts'
import { question } from '../test-cache.ts'
import { certify } from './certify.ts'
import type { AnswerBasis } from './swarm-flight.ts'

const { signal } = new AbortController()
const clock = new VirtualClock()
const key = parseResponseKey('ab'.repeat(32))
assert.ok(key)
const lookup = lookupKey(key)
const request = question('certify this', { choiceCount: 2 })

async function generated(model: EngineModel): Promise<Completion> {
  const collector = new CompletionCollector()
  for await (const event of model.generate(request, { signal, seed: 1n })) collector.add(event)
  const completion = collector.result(model.id, 1_700_000_000)
  assert.ok(completion)
  return completion
}

function modelOf(changes: Partial<EngineModel> = {}): EngineModel {
  const [model] = new FakeEngine().models()
  assert.ok(model)
  return Object.assign(model, changes)
}

async function certified(
  completion: Completion,
  model: EngineModel,
  { unauditedTokens = 0, partition = '' }: Partial<AnswerBasis> = {},
): Promise<{ readonly check: ReceiptCheck; readonly leafCount: number | undefined }> {
  const expiresAt = clock.now() + 1_000
  const basis = { unauditedTokens, issuers: [], partition, settled: Promise.resolve() }
  const what = { request, completion, model, lookupKey: lookup, expiresAt, seed: 1n, basis }
  const signer = Identity.fromSeed(new Uint8Array(32).fill(1))
  const { receipt, leaves } = await certify(signer, clock, what, { signal })
  const time = { now: clock.now(), clockSkewMs: receiptClockSkewMs }
  const expected = { ...time, lookupKey: lookup, modelId: model.id, completion }
  const check = verifyReceipt(receipt, { ...expected, acceptUpstream: true }, new IssuerKeys())
  return { check, leafCount: leaves?.length }
}

describe('certify()', () => {
  it('signs tokens and leaves where the engine has them, for all choices', async () => {
    const model = modelOf()
    const completion = await generated(model)
    const { check, leafCount } = await certified(completion, model)
    assert.ok(check.outcome === 'valid')
    assert.equal(check.receipt.numericClass, 'fake')
    assert.ok(check.receipt.root)
    assert.equal(leafCount, completion.usage.completionTokens)
  })

  it('says `upstream` where there are no tokens', async () => {
    const model = modelOf({ tokens: undefined })
    const whole = await generated(model)
    const completion = {
      ...whole,
      choices: whole.choices.map(({ tokenIds: _, ...choice }) => choice),
    }
    const { check, leafCount } = await certified(completion, model)
    assert.ok(check.outcome === 'valid')
    assert.deepEqual([check.receipt.numericClass, leafCount], ['upstream', undefined])
  })

  it('signs tokens without leaves where nobody can score them', async () => {
    const model = modelOf({ tokens: undefined })
    const { check, leafCount } = await certified(await generated(model), model)
    assert.ok(check.outcome === 'valid')
    assert.equal(check.receipt.root, undefined)
    assert.deepEqual([check.receipt.numericClass, leafCount], ['fake', undefined])
  })

  it('says how much of the prompt rested on unaudited state of a peer', async () => {
    const model = modelOf()
    const completion = await generated(model)
    for (const unauditedTokens of [0, completion.usage.promptTokens]) {
      const { check } = await certified(completion, model, { unauditedTokens })
      assert.ok(check.outcome === 'valid')
      assert.equal(check.receipt.unauditedTokens, unauditedTokens)
    }
  })

  it('says it of an upstream, too', async () => {
    const model = modelOf({ tokens: undefined })
    const whole = await generated(model)
    const choices = whole.choices.map(({ tokenIds: _, ...choice }) => choice)
    const { promptTokens } = whole.usage
    for (const [given, told] of [
      [1, 1],
      [promptTokens + 1, promptTokens],
    ]) {
      const completion = { ...whole, choices }
      const { check } = await certified(completion, model, { unauditedTokens: given ?? 0 })
      assert.ok(check.outcome === 'valid')
      assert.equal(check.receipt.numericClass, 'upstream')
      assert.equal(check.receipt.unauditedTokens, told)
    }
  })

  it('scores on what is resident of the answer', async () => {
    const model = modelOf()
    const { tokens } = model
    assert.ok(tokens)
    const partitions: unknown[] = []
    const score: TokenModel['score'] = (tokenIds, options) => {
      partitions.push(options.partition)
      return tokens.score(tokenIds, options)
    }
    const watched = modelOf({ tokens: Object.assign(Object.create(tokens), { score }) })
    await certified(await generated(model), watched, { partition: 'mine' })
    assert.deepEqual(partitions, ['mine', 'mine'], 'once for each choice')
  })

  it('signs an answer without a token', async () => {
    const model = modelOf()
    const whole = await generated(model)
    const completion: Completion = {
      ...whole,
      choices: [{ parts: [], finish: 'stop', tokenIds: [] }],
      usage: { ...whole.usage, completionTokens: 0, reasoningTokens: 0 },
    }
    const { check, leafCount } = await certified(completion, model)
    assert.deepEqual([check.outcome, leafCount], ['valid', 0])
  })

  it('refuses to sign half of the tokens: nobody could check that', async () => {
    const model = modelOf()
    const whole = await generated(model)
    const [first, ...others] = whole.choices
    assert.ok(first)
    const { tokenIds: _, ...bare } = first
    const completion = { ...whole, choices: [bare, ...others] }
    await assert.rejects(certified(completion, model), TypeError)
  })
})
