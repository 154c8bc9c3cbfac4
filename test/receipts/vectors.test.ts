import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { describe, it } from 'node:test'
import { completionOf } from '../../src/cache/record-of.ts'
import type { Completion } from '../../src/interface/generation.ts'
import { parseModelId } from '../../src/key/model-id.ts'
import { leavesKey, parseLookupKey } from '../../src/key/response-key.ts'
import { Identity } from '../../src/net/identity.ts'
import { VirtualClock } from '../../src/std/clock.ts'
import { IssuerKeys } from '../../src/trust/issuer-keys.ts'
import { leavesOf, verifyLeaves } from '../../src/trust/leaves.ts'
import { issueReceipt, verifyReceipt } from '../../src/trust/receipt.ts'
import { encodeLeaves } from '../../src/wire/leaves.ts'
import { decodeReceipt } from '../../src/wire/receipt.ts'
import { type SecondReceipt, secondReceipt } from './second-implementation.ts'
import { type VectorCase, vectorCases } from './vector-cases.ts'

const file = new URL('../../spec/vectors/receipts.json', import.meta.url)
const keys = new IssuerKeys()

type Vector = VectorCase & SecondReceipt

function vectorOf(given: VectorCase): Vector {
  const identity = Identity.fromSeed(Buffer.from(given.issuerSeed, 'hex'))
  const lookupKey = parseLookupKey(given.lookupKey)
  const completion = completionFrom(given)
  const tokens = given.leaves?.map(({ sketch, ...leaf }) => ({ ...leaf, top: sketch }))
  const leaves = tokens === undefined ? undefined : leavesOf(tokens)
  assert.ok(lookupKey !== undefined)
  const bytes = issueReceipt(
    {
      lookupKey,
      completion,
      numericClass: given.numericClass,
      ...(given.seed === null ? {} : { seed: BigInt(given.seed) }),
      ...(leaves === undefined ? {} : { leaves }),
      unauditedTokens: given.unauditedTokens,
      expiresAt: given.expiresAt,
    },
    identity,
    new VirtualClock(given.issuedAt),
  )
  const { receipt } = decodeReceipt(bytes)
  return {
    ...given,
    issuer: receipt.issuer,
    textDigest: receipt.textDigest,
    tokenDigest: receipt.tokenDigest ?? null,
    leavesBytes: leaves === undefined ? null : hex(encodeLeaves(leaves)),
    root: receipt.root ?? null,
    leavesKey: leavesKey(lookupKey),
    receipt: hex(bytes),
  }
}

function completionFrom(given: VectorCase): Completion {
  const modelId = parseModelId(given.modelId)
  const [promptTokens = 0, completionTokens = 0, reasoningTokens = 0] = given.counts
  assert.ok(modelId !== undefined)
  return completionOf({
    modelId,
    created: 0,
    costMs: 0,
    maxTokens: null,
    usage: [promptTokens, 0, completionTokens, reasoningTokens],
    choices: given.choices.map(({ finish, stopSequence, parts, tokenIds, logprobs }) => ({
      finish,
      parts,
      ...(stopSequence === null ? {} : { stopSequence }),
      ...(tokenIds === null ? {} : { tokenIds }),
      ...(logprobs === null
        ? {}
        : {
            logprobs: logprobs.map(
              ({ token, bytes, logprob, top }) =>
                [
                  token,
                  Buffer.from(bytes, 'hex'),
                  logprob,
                  top.map(
                    other => [other.token, Buffer.from(other.bytes, 'hex'), other.logprob] as const,
                  ),
                ] as const,
            ),
          }),
    })),
  })
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex')
}

describe('spec/vectors/receipts.json', () => {
  const vectors = vectorCases.map(vectorOf)
  if (process.env['UPDATE'] === '1') {
    writeFileSync(file, `${JSON.stringify({ spec: 'spec/receipts.md', vectors }, null, 2)}\n`)
  }
  const stored: { vectors: Vector[] } = JSON.parse(readFileSync(file, 'utf8'))

  it('holds what the code computes (UPDATE=1 rewrites it, to be reviewed as a diff)', () => {
    assert.deepEqual(stored.vectors, vectors)
  })

  for (const vector of stored.vectors) {
    it(`is computed alike by the second implementation: ${vector.name}`, async () => {
      const second = await secondReceipt(vector)
      assert.deepEqual({ ...vector, ...second }, vector)
    })

    it(`passes the check: ${vector.name}`, () => {
      const lookupKey = parseLookupKey(vector.lookupKey)
      const completion = completionFrom(vector)
      assert.ok(lookupKey !== undefined)
      const check = verifyReceipt(
        Buffer.from(vector.receipt, 'hex'),
        {
          lookupKey,
          modelId: completion.modelId,
          completion,
          now: vector.issuedAt,
          clockSkewMs: 0,
          acceptUpstream: true,
        },
        keys,
      )
      assert.ok(check.outcome === 'valid')
      if (vector.leavesBytes === null) return
      const leaves = Buffer.from(vector.leavesBytes, 'hex')
      assert.equal(verifyLeaves(leaves, check.receipt, completion).outcome, 'valid')
    })
  }
})
