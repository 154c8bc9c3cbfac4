import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { decode, encode } from 'cborg'
import fc from 'fast-check'
import type { Choice, Completion } from '../interface/generation.ts'
import { modelIdFromDigest } from '../key/model-id.ts'
import { lookupKey, type ResponseKey } from '../key/response-key.ts'
import { receiptBytesMax, receiptClockSkewMs } from '../limits.ts'
import { Identity } from '../net/identity.ts'
import type { ReceiptFault } from '../wire/receipt.ts'
import { decodeReceipt, encodeReceiptBody, joinReceipt, type Receipt } from '../wire/receipt.ts'
import { issueReceipt, openReceipt, verifyReceipt } from './receipt.ts'
import {
  answer,
  clock,
  completion,
  expected,
  keys,
  signer,
  testKey,
  upstreamCompletion,
} from './test-answer.ts'

const bytes = issueReceipt(answer, signer, clock)
const [text, call] = completion.choices
assert.ok(text !== undefined && call !== undefined)

function faultOf(given: Uint8Array, changes: Partial<typeof expected> = {}): ReceiptFault | 'none' {
  const check = verifyReceipt(given, { ...expected, ...changes }, keys)
  return check.outcome === 'invalid' ? check.reason : 'none'
}

/** A receipt of the test's issuer that says anything. */
function signed(receipt: Receipt): Uint8Array {
  const body = encodeReceiptBody(receipt)
  const message = Buffer.concat([Buffer.from('hyperspace/receipt/2'), body])
  return joinReceipt(body, signer.sign(message))
}

function withChoices(choices: readonly Choice[]): { completion: Completion } {
  return { completion: { ...completion, choices } }
}

describe('receipts', () => {
  it('verifyReceipt() accepts what issueReceipt() made, and says what it checked', () => {
    const check = verifyReceipt(bytes, expected, keys)
    assert.ok(check.outcome === 'valid')
    assert.equal(check.receipt.issuer, signer.peerId)
    assert.equal(check.receipt.seed, answer.seed)
    assert.deepEqual(check.checked, [
      'signature',
      'dates',
      'key',
      'model',
      'counts',
      'finish',
      'text',
      'tokens',
    ])
    assert.ok(bytes.length < 700, `${bytes.length} bytes`)
  })

  it('every bit flipped at every position is caught, and every cut', () => {
    for (let position = 0; position < bytes.length; position++) {
      for (let bit = 1; bit < 256; bit <<= 1) {
        const changed = Uint8Array.from(bytes)
        changed[position] = (changed[position] ?? 0) ^ bit
        assert.notEqual(faultOf(changed), 'none', `byte ${position}, bit ${bit}`)
      }
      assert.notEqual(faultOf(bytes.subarray(0, position)), 'none')
    }
    assert.notEqual(faultOf(Buffer.concat([bytes, new Uint8Array(1)])), 'none')
  })

  it('fuzz: random bytes are malformed and never throw', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 600 }), random => {
        assert.equal(faultOf(random), 'malformed')
      }),
    )
    assert.equal(faultOf(new Uint8Array(receiptBytesMax + 1)), 'malformed')
    assert.equal(faultOf(Buffer.alloc(receiptBytesMax, 0x81)), 'malformed', 'nested lists')
  })

  it('fuzz: CBOR of any kind under a good signature is malformed', () => {
    fc.assert(
      fc.property(fc.jsonValue(), value => {
        const body = encode(value)
        const message = Buffer.concat([Buffer.from('hyperspace/receipt/2'), body])
        assert.equal(faultOf(joinReceipt(body, signer.sign(message))), 'malformed')
      }),
    )
  })

  it('a signature by another key, or of another kind of message, is refused', () => {
    const stranger = Identity.fromSeed(new Uint8Array(32).fill(2))
    const { receipt, body } = decodeReceipt(bytes)
    const message = Buffer.concat([Buffer.from('hyperspace/receipt/2'), body])
    assert.equal(faultOf(joinReceipt(body, stranger.sign(message))), 'signature-wrong')
    assert.equal(faultOf(joinReceipt(body, signer.sign(body))), 'signature-wrong')
    const claimed = encodeReceiptBody({ ...receipt, issuer: stranger.peerId })
    const theirs = Buffer.concat([Buffer.from('hyperspace/receipt/2'), claimed])
    assert.equal(faultOf(joinReceipt(claimed, signer.sign(theirs))), 'signature-wrong')
  })

  it('dates hold with an hour of skew either way', () => {
    const { issuedAt, expiresAt } = decodeReceipt(bytes).receipt
    const skew = receiptClockSkewMs
    assert.equal(faultOf(bytes, { now: issuedAt - skew }), 'none')
    assert.equal(faultOf(bytes, { now: issuedAt - skew - 1 }), 'from-future')
    assert.equal(faultOf(bytes, { now: expiresAt + skew }), 'none')
    assert.equal(faultOf(bytes, { now: expiresAt + skew + 1 }), 'expired')
    assert.equal(faultOf(bytes, { now: expiresAt + 1, clockSkewMs: 0 }), 'expired')
  })

  it('another key or model is refused', () => {
    const otherKey = lookupKey('ef'.repeat(32) as ResponseKey)
    const otherModel = modelIdFromDigest('ef'.repeat(32))
    assert.equal(faultOf(bytes, { lookupKey: otherKey }), 'key-differs')
    assert.equal(faultOf(bytes, { modelId: otherModel }), 'model-differs')
    const relabelled = { ...completion, modelId: otherModel }
    assert.equal(faultOf(bytes, { completion: relabelled }), 'model-differs')
  })

  it('an answer that differs anywhere is refused', () => {
    const usage = { ...completion.usage, promptTokens: 13 }
    assert.equal(faultOf(bytes, { completion: { ...completion, usage } }), 'counts-differ')
    const cases: readonly (readonly [ReceiptFault, readonly Choice[]])[] = [
      ['finish-differs', [{ ...text, finish: 'length' }, call]],
      ['finish-differs', [text]],
      ['finish-differs', [text, call, call]],
      ['text-differs', [{ ...text, parts: [{ type: 'text', text: 'Grüße 🙃' }] }, call]],
      ['text-differs', [{ ...text, parts: [{ type: 'refusal', text: 'Grüße 🙂' }] }, call]],
      ['text-differs', [{ ...text, stopSequence: 'EN' }, call]],
      ['text-differs', [{ ...text, logprobs: [] }, call]],
      ['text-differs', [text, { ...call, parts: call.parts.toReversed() }]],
      [
        'tokens-differ',
        [
          { ...text, tokenIds: [17] },
          { ...call, tokenIds: [5, 1, 2, 3] },
        ],
      ],
      ['tokens-differ', [{ ...text, tokenIds: [17, 1] }, call]],
      ['tokens-differ', upstreamCompletion.choices],
    ]
    for (const [fault, choices] of cases) assert.equal(faultOf(bytes, withChoices(choices)), fault)
  })

  it('a text cannot move between the parts of an answer unseen', () => {
    const texts = fc.array(fc.string({ maxLength: 3 }), { maxLength: 4 })
    fc.assert(
      fc.property(texts, texts, (before, after) => {
        const choiceOf = (parts: readonly string[]): Choice => ({
          ...text,
          parts: parts.map(part => ({ type: 'text', text: part })),
        })
        const given = withChoices([choiceOf(before), call])
        const receipt = issueReceipt({ ...answer, ...given }, signer, clock)
        const isSame = JSON.stringify(before) === JSON.stringify(after)
        const fault = faultOf(receipt, withChoices([choiceOf(after), call]))
        assert.equal(fault, isSame ? 'none' : 'text-differs')
      }),
    )
  })
})

describe('receipts of class upstream', () => {
  it('say so, attest no tokens, and are taken only where accepted', () => {
    const { leaves: _, seed: __, ...rest } = answer
    const given = { ...rest, completion: upstreamCompletion }
    const receipt = issueReceipt(given, signer, clock)
    const accepting = { completion: upstreamCompletion, acceptUpstream: true }
    const check = verifyReceipt(receipt, { ...expected, ...accepting }, keys)
    assert.ok(check.outcome === 'valid')
    assert.equal(check.receipt.numericClass, 'upstream')
    assert.equal(check.receipt.tokenDigest ?? check.receipt.root ?? check.receipt.seed, undefined)
    assert.ok(!check.checked.includes('tokens'))
    assert.equal(faultOf(receipt, { completion: upstreamCompletion }), 'upstream-not-accepted')
    assert.equal(faultOf(receipt, { completion, acceptUpstream: true }), 'tokens-differ')
  })

  it('keep token ids out even where there are some', () => {
    const receipt = issueReceipt({ ...answer, numericClass: 'upstream' }, signer, clock)
    assert.equal(decodeReceipt(receipt).receipt.tokenDigest, undefined)
  })
})

describe('issueReceipt()', () => {
  it('says how much of the prompt rested on unaudited state of a peer: no more than there is', () => {
    const { promptTokens } = completion.usage
    assert.equal(decodeReceipt(bytes).receipt.unauditedTokens, 0)
    const imported = issueReceipt({ ...answer, unauditedTokens: promptTokens }, signer, clock)
    assert.equal(faultOf(imported), 'none')
    assert.equal(decodeReceipt(imported).receipt.unauditedTokens, promptTokens)
    for (const unauditedTokens of [-1, promptTokens + 1]) {
      const given = { ...answer, unauditedTokens }
      assert.throws(() => issueReceipt(given, signer, clock), RangeError)
    }
    const upstream = { ...answer, numericClass: 'upstream', unauditedTokens: 1 }
    const told = decodeReceipt(issueReceipt(upstream, signer, clock)).receipt
    assert.deepEqual([told.tokenDigest, told.unauditedTokens], [undefined, 1])
  })

  it('refuses counts that contradict each other, and a past expiry', () => {
    const leaves = answer.leaves?.slice(1) ?? []
    assert.throws(() => issueReceipt({ ...answer, leaves }, signer, clock), RangeError)
    const [, ...choices] = completion.choices
    const cut = { ...answer, ...withChoices(choices) }
    assert.throws(() => issueReceipt(cut, signer, clock), RangeError)
    const past = { ...answer, expiresAt: clock.now() - 1 }
    assert.throws(() => issueReceipt(past, signer, clock), RangeError)
    const long = { ...answer, numericClass: 'x'.repeat(receiptBytesMax) }
    assert.throws(() => issueReceipt(long, signer, clock), RangeError)
  })
})

describe('openReceipt()', () => {
  it('refuses receipts of version 1, and those that do not tell what they rested on', () => {
    const { body } = decodeReceipt(bytes)
    const fields: Record<string, unknown> = decode(body)
    const resigned = (changes: Record<string, unknown>): Uint8Array => {
      const changed = encode({ ...fields, ...changes })
      const message = Buffer.concat([Buffer.from('hyperspace/receipt/2'), changed])
      return joinReceipt(changed, signer.sign(message))
    }
    assert.equal(openReceipt(resigned({}), expected, keys).outcome, 'valid')
    const { u: _, ...without } = fields
    const old = encode({ ...without, v: 1 })
    const oldMessage = Buffer.concat([Buffer.from('hyperspace/receipt/1'), old])
    const malformed = { outcome: 'invalid', reason: 'malformed' }
    for (const one of [
      joinReceipt(old, signer.sign(oldMessage)),
      resigned({ v: 1 }),
      resigned({ u: null }),
    ]) {
      assert.deepEqual(openReceipt(one, expected, keys), malformed)
    }
  })

  it('refuses what no honest issuer states, though it is signed', () => {
    const { receipt } = decodeReceipt(bytes)
    const counts = { ...receipt.counts, reasoningTokens: 6 }
    const wrong: readonly Receipt[] = [
      { ...receipt, numericClass: 'upstream' },
      { ...receipt, tokenDigest: undefined },
      { ...receipt, expiresAt: receipt.issuedAt - 1 },
      { ...receipt, expiresAt: Number.MAX_SAFE_INTEGER },
      { ...receipt, issuedAt: 1.5 },
      { ...receipt, counts },
      { ...receipt, unauditedTokens: receipt.counts.promptTokens + 1 },
      { ...receipt, unauditedTokens: 1.5 },
      { ...receipt, finishes: [] },
      { ...receipt, finishes: Array.from({ length: 17 }, () => 'stop') },
      { ...receipt, seed: -1n },
      { ...receipt, textDigest: 'ab' },
      { ...receipt, numericClass: '' },
    ]
    for (const one of wrong) {
      assert.deepEqual(openReceipt(signed(one), expected, keys), {
        outcome: 'invalid',
        reason: 'malformed',
      })
    }
    const check = openReceipt(signed(receipt), expected, keys)
    assert.deepEqual(check, { outcome: 'valid', receipt, checked: ['signature', 'dates'] })
    assert.equal(receipt.lookupKey, testKey)
  })
})
