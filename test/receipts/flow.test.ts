import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { CompletionCollector } from '../../src/cache/collect.ts'
import { completionOf, recordOf } from '../../src/cache/record-of.ts'
import { FakeEngine } from '../../src/engine/fake/fake-engine.ts'
import type { TokenModel } from '../../src/interface/engine.ts'
import type { Completion } from '../../src/interface/generation.ts'
import { type CompletionRequest, emptyRequest } from '../../src/key/completion-request.ts'
import { lookupKey, type ResponseKey } from '../../src/key/response-key.ts'
import { receiptClockSkewMs } from '../../src/limits.ts'
import { Identity } from '../../src/net/identity.ts'
import { VirtualClock } from '../../src/std/clock.ts'
import { IssuerKeys } from '../../src/trust/issuer-keys.ts'
import { leavesOf, verifyLeaves } from '../../src/trust/leaves.ts'
import { issueReceipt, type ReceiptCheck, verifyReceipt } from '../../src/trust/receipt.ts'
import { encodeLeaves, type Leaf } from '../../src/wire/leaves.ts'
import { decodeResponseRecord, encodeResponseRecord } from '../../src/wire/response-record.ts'
import { openRecord, sealRecord } from '../../src/wire/sealed-record.ts'

const clock = new VirtualClock()
const identity = Identity.fromSeed(new Uint8Array(32).fill(3))
const keys = new IssuerKeys()
const key = '12'.repeat(32) as ResponseKey
const { signal } = new AbortController()
const request: CompletionRequest = {
  ...emptyRequest,
  kind: 'chat',
  model: 'fake',
  messages: [{ role: 'user', content: [{ type: 'text', text: 'Tell me of caches.' }] }],
  choiceCount: 2,
  maxTokens: 12,
  topLogprobs: 1,
  unknown: { api: 'openai', fields: {} },
}

/** What node A does: compute, score, sign, seal. */
async function compute(): Promise<{ sealed: Uint8Array; leaves: readonly Leaf[] }> {
  const engine = new FakeEngine({ modelName: 'fake' })
  const [model] = engine.models()
  assert.ok(model?.tokens !== undefined)
  const collector = new CompletionCollector()
  for await (const event of model.generate(request, { seed: 9n, signal })) collector.add(event)
  const completion = collector.result(model.id, 1_700_000_000)
  assert.ok(completion !== undefined)
  const leaves = await score(model.tokens, completion)
  const receipt = issueReceipt(
    {
      lookupKey: lookupKey(key),
      completion,
      numericClass: model.numericClass,
      seed: 9n,
      leaves,
      expiresAt: clock.now() + 1_000,
    },
    identity,
    clock,
  )
  const record = recordOf(completion, { costMs: 5, maxTokens: 12, receipt })
  return { sealed: sealRecord(key, encodeResponseRecord(record), new Uint8Array(12)), leaves }
}

async function score(tokens: TokenModel, completion: Completion): Promise<readonly Leaf[]> {
  const { tokenIds: prompt } = await tokens.prompt(request, { signal })
  const scores = []
  for (const { tokenIds } of completion.choices) {
    const all = [...prompt, ...(tokenIds ?? [])]
    scores.push(...(await tokens.score(all, { from: prompt.length, topLogprobs: 8, signal })))
  }
  const leaves = leavesOf(scores)
  assert.ok(leaves !== undefined)
  return leaves
}

/** What node B does with an opened record. */
function check(plain: Uint8Array): {
  readonly completion: Completion
  readonly check: ReceiptCheck
} {
  const record = decodeResponseRecord(plain)
  const completion = completionOf(record)
  const expected = {
    lookupKey: lookupKey(key),
    modelId: new FakeEngine({ modelName: 'fake' }).models()[0]?.id ?? record.modelId,
    completion,
    now: clock.now(),
    clockSkewMs: receiptClockSkewMs,
    acceptUpstream: false,
  }
  return { completion, check: verifyReceipt(record.receipt ?? new Uint8Array(), expected, keys) }
}

/** Everything that a receipt attests of an answer. */
function attested({ modelId, choices, usage }: Completion): unknown {
  const round = (logprob: number): number => Math.floor(logprob * 1_024 + 0.5)
  const { cachedTokens: _, ...counts } = usage
  const rounded = choices.map(choice => ({
    ...choice,
    logprobs: choice.logprobs?.map(entry => ({
      ...entry,
      logprob: round(entry.logprob),
      top: entry.top.map(other => ({ ...other, logprob: round(other.logprob) })),
    })),
  }))
  return { modelId, counts, choices: rounded }
}

describe('an answer with its receipt', async () => {
  const { sealed, leaves } = await compute()
  const plain = openRecord(key, sealed)
  const honest = check(plain)

  it('passes the check on another node, leaves included', () => {
    const { check: result, completion } = honest
    assert.ok(result.outcome === 'valid')
    assert.equal(result.receipt.issuer, identity.peerId)
    assert.ok(leaves.length > 0)
    assert.equal(verifyLeaves(encodeLeaves(leaves), result.receipt, completion).outcome, 'valid')
  })

  it('is refused, or is the same answer, with any byte changed by who knows the key', () => {
    for (let position = 0; position < plain.length; position++) {
      for (const bit of [1, 0x20, 0x80]) {
        const changed = Uint8Array.from(plain)
        changed[position] = (changed[position] ?? 0) ^ bit
        const result = tried(() => check(changed))
        if (result?.check.outcome !== 'valid') continue
        assert.deepEqual(attested(result.completion), attested(honest.completion), `${position}`)
      }
    }
  })
})

function tried<Value>(work: () => Value): Value | undefined {
  try {
    return work()
  } catch (error) {
    const isOurs = error instanceof Error && Reflect.get(error, 'code') === 'record_invalid'
    if (!isOurs) throw error
    return undefined
  }
}
