import fc from 'fast-check'
import type { Choice, Completion } from '../interface/generation.ts'
import { modelIdFromDigest } from '../key/model-id.ts'
import { type LookupKey, lookupKey, type ResponseKey } from '../key/response-key.ts'
import { receiptClockSkewMs } from '../limits.ts'
import { Identity } from '../net/identity.ts'
import { VirtualClock } from '../std/clock.ts'
import type { Leaf } from '../wire/leaves.ts'
import { IssuerKeys } from './issuer-keys.ts'
import type { ComputedAnswer, ReceiptExpectation } from './receipt.ts'

export const clock: VirtualClock = new VirtualClock()
export const signer: Identity = Identity.fromSeed(new Uint8Array(32).fill(1))
export const keys: IssuerKeys = new IssuerKeys()
export const testKey: LookupKey = lookupKey('ab'.repeat(32) as ResponseKey)

/** Two choices: text with log-probabilities, and reasoning before a tool call. */
export const completion: Completion = {
  modelId: modelIdFromDigest('cd'.repeat(32)),
  created: 1_700_000_000,
  choices: [
    {
      parts: [{ type: 'text', text: 'Grüße 🙂' }],
      finish: 'stop',
      stopSequence: 'END',
      tokenIds: [17, 4_000_000_000],
      logprobs: [
        { token: 'Gr', bytes: [71, 114], logprob: -0.25, top: [] },
        {
          token: '\ufffd',
          bytes: [0xc3],
          logprob: -1.5,
          top: [{ token: 'x', bytes: [120], logprob: -0.3333 }],
        },
      ],
    },
    {
      parts: [
        { type: 'reasoning', text: 'Hm.' },
        { type: 'tool-call', id: 'call_1', name: 'weather', arguments: '{"city":"Oslo"}' },
      ],
      finish: 'tool_calls',
      tokenIds: [1, 2, 3],
    },
  ],
  usage: { promptTokens: 12, cachedTokens: 8, completionTokens: 5, reasoningTokens: 2 },
}

export const leaves: readonly Leaf[] = [17, 4_000_000_000, 1, 2, 3].map((tokenId, position) => ({
  tokenId,
  logprob: 0 - 256 * position,
  sketch: [
    { tokenId, logprob: 0 - 256 * position },
    { tokenId: 9, logprob: -2_000 },
  ].slice(0, position),
}))

export const answer: ComputedAnswer = {
  lookupKey: testKey,
  completion,
  numericClass: `${completion.modelId} · llama.cpp b1 · cpu`,
  seed: 0xffff_ffff_ffff_fffen,
  leaves,
  expiresAt: clock.now() + 86_400_000,
}

export const expected: ReceiptExpectation = {
  lookupKey: testKey,
  modelId: completion.modelId,
  completion,
  now: clock.now(),
  clockSkewMs: receiptClockSkewMs,
  acceptUpstream: false,
}

/** The same answer from an engine without tokens. */
export const upstreamCompletion: Completion = {
  ...completion,
  choices: completion.choices.map(({ tokenIds: _, ...choice }): Choice => choice),
}

const logprobUnits = fc.nat(0x7fff_ffff).map(units => 0 - units)
const entry = fc.record(
  { tokenId: fc.nat(0xffff_ffff), logprob: fc.oneof(logprobUnits, fc.constantFrom(0, -1_024)) },
  { noNullPrototype: true },
)
export const leafArbitrary: fc.Arbitrary<Leaf> = fc.record(
  {
    tokenId: fc.nat(0xffff_ffff),
    logprob: logprobUnits,
    sketch: fc
      .uniqueArray(entry, { maxLength: 8, selector: ({ tokenId }) => tokenId })
      .map(entries => entries.sort((a, b) => b.logprob - a.logprob || a.tokenId - b.tokenId)),
  },
  { noNullPrototype: true },
)
