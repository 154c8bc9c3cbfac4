import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Choice, Completion } from '../../../interface/generation.ts'
import {
  limitedKey,
  lookupKey,
  parseResponseKey,
  type ResponseKey,
} from '../../../key/response-key.ts'
import { answerBytesMax, receiptClockSkewMs } from '../../../limits.ts'
import { Identity } from '../../../net/identity.ts'
import { VirtualClock } from '../../../std/clock.ts'
import { type ComputedAnswer, issueReceipt } from '../../../trust/receipt.ts'
import {
  answer,
  clock,
  completion,
  keys,
  signer,
  upstreamCompletion,
} from '../../../trust/test-answer.ts'
import { upstreamClass } from '../../../wire/receipt.ts'
import { encodeResponseRecord } from '../../../wire/response-record.ts'
import { sealRecord } from '../../../wire/sealed-record.ts'
import { recordOf } from '../../record-of.ts'
import { checkRecord, keysOf, type RecordCheck, type Wanted } from './check-record.ts'

const dayMs = 86_400_000
const nonce = new Uint8Array(12).fill(3)
const key = keyOf('ab')
const wanted: Wanted = {
  key,
  modelId: completion.modelId,
  maxTokens: undefined,
  maxAgeMs: 30 * dayMs,
}

function keyOf(byte: string): ResponseKey {
  const parsed = parseResponseKey(byte.repeat(32))
  assert.ok(parsed)
  return parsed
}

interface Made {
  readonly completion?: Completion
  readonly receipt?: Uint8Array | null
  readonly maxTokens?: number
  readonly under?: ResponseKey
  readonly costMs?: number
}

function receiptFor(changes: Partial<ComputedAnswer> = {}, by = signer, at = clock): Uint8Array {
  return issueReceipt({ ...answer, ...changes }, by, at)
}

function sealed(made: Made = {}): Uint8Array {
  const { receipt = receiptFor(), maxTokens, costMs = 1_500 } = made
  const kept = { costMs, maxTokens, ...(receipt === null ? {} : { receipt }) }
  const record = encodeResponseRecord(recordOf(made.completion ?? completion, kept))
  return sealRecord(made.under ?? key, record, nonce)
}

function check(
  bytes: Uint8Array,
  more: Partial<Wanted> & { readonly now?: number; readonly acceptUpstream?: boolean } = {},
): RecordCheck {
  const { now = clock.now(), acceptUpstream = false, ...rest } = more
  const asked = { ...wanted, ...rest }
  return checkRecord(bytes, { wanted: asked, keys: keysOf(asked), now, acceptUpstream }, keys)
}

function cut(choice: Choice): Choice {
  return { ...choice, finish: 'length' }
}

describe('checkRecord()', () => {
  it('takes a right record, and says what it weighs once opened', () => {
    const checked = check(sealed())
    assert.ok(checked.outcome === 'good')
    assert.deepEqual(checked.record.completion, completion)
    assert.equal(checked.record.costSeconds, 1.5)
    assert.equal(checked.record.receipt.issuer, signer.peerId)
    const long: Completion = { ...completion, created: completion.created - 1 }
    const text = 'a'.repeat(4_000_000)
    const first = long.choices[0]
    assert.ok(first)
    const choices = [
      { ...first, parts: [{ type: 'text' as const, text }] },
      ...long.choices.slice(1),
    ]
    const big = { ...long, choices }
    const bytes = sealed({ completion: big, receipt: receiptFor({ completion: big }) })
    const inflated = check(bytes)
    assert.ok(bytes.length < 10_000 && inflated.outcome === 'good')
    assert.ok(inflated.record.plainBytes > 4_000_000)
  })

  it('refuses a record with any one byte changed, cut or longer', () => {
    const good = sealed()
    for (let position = 0; position < good.length; position++) {
      const bytes = Uint8Array.from(good)
      bytes[position] = (bytes[position] ?? 0) ^ 0x20
      assert.equal(check(bytes).outcome, 'bad', `byte ${position}`)
      assert.equal(check(good.subarray(0, position)).outcome, 'bad', `cut at ${position}`)
    }
    assert.equal(check(Buffer.concat([good, Uint8Array.of(0)])).outcome, 'bad')
  })

  it('refuses a record of another key, whoever sealed it', () => {
    const other = keyOf('cd')
    assert.equal(check(sealed({ under: other })).result, 'unreadable')
    // Whoever knows both requests can seal one answer under the other's key, but not sign it.
    const foreign = receiptFor({ lookupKey: lookupKey(other) })
    const checked = check(sealed({ receipt: foreign }))
    assert.deepEqual(checked, { outcome: 'bad', event: 'bad-receipt', result: 'key-differs' })
  })

  it('refuses receipts that are missing, foreign, torn or of another answer', () => {
    assert.equal(check(sealed({ receipt: null })).result, 'no-receipt')
    assert.equal(check(sealed({ receipt: new Uint8Array(200) })).result, 'malformed')
    const receipt = receiptFor()
    const bySomebodyElse = Uint8Array.from(receipt)
    const other = Identity.fromSeed(new Uint8Array(32).fill(2))
    bySomebodyElse.set(other.sign(receipt.subarray(0, -64)), receipt.length - 64)
    assert.equal(check(sealed({ receipt: bySomebodyElse })).result, 'signature-wrong')
    for (let position = 0; position < receipt.length; position++) {
      const changed = Uint8Array.from(receipt)
      changed[position] = (changed[position] ?? 0) ^ 1
      assert.equal(check(sealed({ receipt: changed })).outcome, 'bad', `byte ${position}`)
    }
    const texts: Completion = {
      ...completion,
      choices: completion.choices.map(choice => ({ ...choice, parts: [] })),
    }
    assert.equal(check(sealed({ completion: texts })).result, 'text-differs')
    const shuffled: Completion = {
      ...completion,
      choices: completion.choices.map((choice, index) =>
        index === 0 ? { ...choice, tokenIds: [4_000_000_000, 17] } : choice,
      ),
    }
    assert.equal(check(sealed({ completion: shuffled })).result, 'tokens-differ')
    const richer = { ...completion, usage: { ...completion.usage, promptTokens: 13 } }
    assert.equal(check(sealed({ completion: richer })).result, 'counts-differ')
  })

  it('does not use what is out of date, and blames nobody: clocks differ', () => {
    const now = clock.now()
    const hour = receiptClockSkewMs
    const issuedAt = (ms: number): Uint8Array =>
      sealed({
        receipt: receiptFor({ expiresAt: now + ms + dayMs }, signer, new VirtualClock(now + ms)),
      })
    assert.equal(check(issuedAt(hour)).outcome, 'good', 'ahead by an hour')
    assert.equal(check(issuedAt(-hour)).outcome, 'good', 'behind by an hour')
    assert.deepEqual(check(issuedAt(dayMs)), { outcome: 'unfit', result: 'from-future' })
    const expired = receiptFor({ expiresAt: now + 1_000 })
    assert.equal(check(sealed({ receipt: expired }), { now: now + 1_000 + hour }).outcome, 'good')
    const late = check(sealed({ receipt: expired }), { now: now + 1_001 + hour })
    assert.deepEqual(late, { outcome: 'unfit', result: 'expired' })
  })

  it('does not use an answer that is older than the asker or the node takes', () => {
    const later = { now: clock.now() + 60_001 }
    assert.equal(check(sealed(), { ...later, maxAgeMs: 60_000 }).outcome, 'unfit')
    assert.equal(check(sealed(), { ...later, maxAgeMs: 60_001 }).outcome, 'good')
  })

  it('takes answers of upstreams only where it is told to', () => {
    const receipt = receiptFor({ completion: upstreamCompletion, numericClass: upstreamClass })
    const bytes = sealed({ completion: upstreamCompletion, receipt })
    assert.equal(check(bytes, { acceptUpstream: true }).outcome, 'good')
    assert.deepEqual(check(bytes), { outcome: 'unfit', result: 'upstream-not-accepted' })
  })

  it('refuses a cut answer under the complete key and the other way round', () => {
    const short = { ...completion, choices: completion.choices.map(cut) }
    const limit = limitedKey(key, 5)
    const of = (under: ResponseKey, what: Completion, maxTokens: number): Uint8Array => {
      const receipt = receiptFor({ completion: what, lookupKey: lookupKey(under) })
      return sealed({ under, completion: what, maxTokens, receipt })
    }
    const asked = { maxTokens: 5 }
    assert.equal(check(of(limit, short, 5), asked).outcome, 'good')
    assert.equal(check(of(limit, short, 6), asked).result, 'unreadable', 'said to be cut elsewhere')
    assert.equal(check(of(key, short, 5), asked).result, 'unreadable')
    assert.equal(check(of(limit, completion, 5), asked).result, 'unreadable')
    assert.equal(check(of(key, completion, 5), { maxTokens: 4 }).outcome, 'unfit', 'too long')
  })

  it('refuses what no honest node seals: filtered answers, dates to come, lists without end', () => {
    const filtered: Completion = {
      ...completion,
      choices: completion.choices.map(choice => ({ ...choice, finish: 'content_filter' })),
    }
    const receipt = receiptFor({ completion: filtered })
    assert.equal(check(sealed({ completion: filtered, receipt })).outcome, 'unfit')
    const tomorrow = { ...completion, created: completion.created + 86_400 }
    assert.equal(check(sealed({ completion: tomorrow })).result, 'unreadable')
    const bomb = sealRecord(key, new Uint8Array(answerBytesMax + 1), nonce)
    assert.ok(bomb.length < 4_096)
    assert.equal(check(bomb).result, 'unreadable')
    const nested = sealRecord(key, new Uint8Array(1_000_000).fill(0x81), nonce)
    assert.equal(check(nested).result, 'unreadable')
  })
})
