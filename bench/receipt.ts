import { createPrivateKey, createPublicKey, randomBytes, sign, verify } from 'node:crypto'
import type { Completion } from '../src/interface/generation.ts'
import { modelIdFromDigest } from '../src/key/model-id.ts'
import { type LookupKey, parseLookupKey } from '../src/key/response-key.ts'
import { receiptClockSkewMs } from '../src/limits.ts'
import { Identity } from '../src/net/identity.ts'
import { VirtualClock } from '../src/std/clock.ts'
import { IssuerKeys } from '../src/trust/issuer-keys.ts'
import { verifyLeaves } from '../src/trust/leaves.ts'
import {
  type ComputedAnswer,
  issueReceipt,
  openReceipt,
  verifyReceipt,
} from '../src/trust/receipt.ts'
import { encodeLeaves, type Leaf } from '../src/wire/leaves.ts'
import { decodeReceipt } from '../src/wire/receipt.ts'
import type { BenchResult, BenchRow } from './bench-result.ts'
import { median } from './support/statistics.ts'

const rounds = 7
/** Long enough that a turn of the scheduler does not decide a round. */
const msPerRound = 150
const tokenCount = 512

interface Subject {
  readonly label: string
  readonly work: () => void
  /** The label of the subject it is told as a ratio to. */
  readonly of?: string
}

/** Signs and checks receipts of a 2 KB answer of 512 tokens, beside bare node:crypto. */
export async function run(): Promise<BenchResult> {
  const subjects = subjectsOf()
  const speeds = new Map(subjects.map(subject => [subject.label, [] as number[]] as const))
  // A B C A B C …: what else the machine does hits all alike. The first round warms up.
  for (let round = 0; round <= rounds; round++) {
    for (const { label, work } of subjects) {
      const speed = perSecond(work)
      if (round > 0) speeds.get(label)?.push(speed)
    }
  }
  const speedOf = (label: string): number => median(speeds.get(label) ?? [])
  const rows = subjects.map(
    ({ label, of }): BenchRow => ({
      label,
      value: speedOf(label),
      unit: '/s',
      ...(of === undefined ? {} : { ratio: speedOf(label) / speedOf(of), of }),
    }),
  )
  return { name: 'receipt', rows }
}

function perSecond(work: () => void): number {
  const startMs = performance.now()
  let count = 0
  let tookMs = 0
  while (tookMs < msPerRound) {
    work()
    count += 1
    tookMs = performance.now() - startMs
  }
  return (count * 1_000) / tookMs
}

function subjectsOf(): readonly Subject[] {
  const identity = Identity.fromSeed(randomBytes(32))
  const clock = new VirtualClock()
  const keys = new IssuerKeys()
  const answer = answerOf(clock.now() + 1_000)
  const { completion, lookupKey, leaves } = answer
  const withLeaves = { ...answer, leaves }
  const { leaves: _, ...plain } = answer
  const bytes = issueReceipt(withLeaves, identity, clock)
  const encoded = encodeLeaves(leaves)
  const { receipt, body } = decodeReceipt(bytes)
  const expected = {
    lookupKey,
    completion,
    modelId: completion.modelId,
    now: clock.now(),
    clockSkewMs: receiptClockSkewMs,
    acceptUpstream: false,
  }
  const privateKey = createPrivateKey(identity.exportPem())
  const publicKey = createPublicKey(privateKey)
  const signature = sign(null, body, privateKey)
  const bareSign = 'node:crypto sign'
  const bareVerify = 'node:crypto verify'
  const must = (isRight: boolean): void => {
    if (!isRight) throw new Error('A good receipt was refused')
  }
  return [
    { label: bareSign, work: () => sign(null, body, privateKey) },
    { label: bareVerify, work: () => must(verify(null, body, publicKey, signature)) },
    { label: 'issue', work: () => issueReceipt(plain, identity, clock), of: bareSign },
    {
      label: `issue with ${tokenCount} leaves`,
      work: () => issueReceipt(withLeaves, identity, clock),
      of: bareSign,
    },
    {
      label: 'check form, signature, dates',
      work: () => must(openReceipt(bytes, expected, keys).outcome === 'valid'),
      of: bareVerify,
    },
    {
      label: 'check against the answer',
      work: () => must(verifyReceipt(bytes, expected, keys).outcome === 'valid'),
      of: bareVerify,
    },
    {
      label: `check ${tokenCount} leaves`,
      work: () => must(verifyLeaves(encoded, receipt, completion).outcome === 'valid'),
      of: bareVerify,
    },
  ]
}

function answerOf(expiresAt: number): ComputedAnswer & { readonly leaves: readonly Leaf[] } {
  const tokenIds = Array.from({ length: tokenCount }, (_, index) => (index * 7_919) % 150_000)
  const modelId = modelIdFromDigest('ab'.repeat(32))
  const completion: Completion = {
    modelId,
    created: 0,
    choices: [{ parts: [{ type: 'text', text: 'four'.repeat(512) }], finish: 'stop', tokenIds }],
    usage: { promptTokens: 512, cachedTokens: 0, completionTokens: 512, reasoningTokens: 0 },
  }
  const leaves = tokenIds.map((tokenId): Leaf => {
    const sketch = Array.from({ length: 8 }, (_, rank) => ({
      tokenId: tokenId + rank,
      logprob: 0 - rank * 1_000,
    }))
    return { tokenId, logprob: 0, sketch }
  })
  const numericClass = `${modelId} · llama.cpp b1 · cpu x64 · flash attention on · kv f16`
  return { lookupKey: lookupKeyOf(), completion, numericClass, seed: 1n, leaves, expiresAt }
}

function lookupKeyOf(): LookupKey {
  const key = parseLookupKey('cd'.repeat(32))
  if (key === undefined) throw new TypeError('64 hex digits are a key')
  return key
}
