import type { Completion } from '../../../interface/generation.ts'
import type { RecordCheckResult } from '../../../interface/metrics.ts'
import type { ModelId } from '../../../key/model-id.ts'
import { limitedKey, lookupKey, type ResponseKey } from '../../../key/response-key.ts'
import { receiptClockSkewMs } from '../../../limits.ts'
import type { IssuerKeys } from '../../../trust/issuer-keys.ts'
import { verifyReceipt } from '../../../trust/receipt.ts'
import type { Receipt, ReceiptFault } from '../../../wire/receipt.ts'
import { decodeResponseRecord, type ResponseRecord } from '../../../wire/response-record.ts'
import { openRecord } from '../../../wire/sealed-record.ts'
import { completionOf } from '../../record-of.ts'
import { whyUnfit } from '../../response-cache.ts'

/** What this node looks for on peers. */
export interface Wanted {
  readonly key: ResponseKey
  readonly modelId: ModelId
  /** The asker's token limit. */
  readonly maxTokens: number | undefined
  /** What its own context holds, where that is what would cut an answer. */
  readonly contextTokens?: number | undefined
  /** Oldest acceptable answer, from its issue. */
  readonly maxAgeMs: number
}

/** A record from a peer that passed every check that needs no model. */
export interface CheckedRecord {
  /** The response key or limited key that opens it. */
  readonly key: ResponseKey
  readonly sealed: Uint8Array
  readonly completion: Completion
  readonly maxTokens: number | undefined
  readonly costSeconds: number
  readonly receiptBytes: Uint8Array
  readonly receipt: Receipt
  /** What it takes once opened: a sealed record may be a thousandth of it. */
  readonly plainBytes: number
}

export interface RecordExpectation {
  readonly wanted: Wanted
  /** Keys that it may be sealed under: of those of `wanted`, the ones that were asked for. */
  readonly keys: readonly ResponseKey[]
  /** Milliseconds since 1970. */
  readonly now: number
  /** Whether an upstream's answers are taken on the issuer's word. */
  readonly acceptUpstream: boolean
}

export type RecordCheck =
  | { readonly outcome: 'good'; readonly result: 'valid'; readonly record: CheckedRecord }
  /** A right record that does not serve this asker, and nobody's fault. */
  | { readonly outcome: 'unfit'; readonly result: RecordCheckResult }
  | {
      readonly outcome: 'bad'
      readonly event: 'bad-record' | 'bad-receipt'
      readonly result: RecordCheckResult
    }

/** A complete answer, and one that was cut at the asker's own limit (docs/decisions/0002). */
export function keysOf({ key, maxTokens }: Wanted): readonly ResponseKey[] {
  return [key, limitedKey(key, maxTokens ?? 0)]
}

/** Opens and checks what a peer sent: microseconds, no model. Never throws for its content. */
export function checkRecord(
  sealed: Uint8Array,
  expected: RecordExpectation,
  issuerKeys: IssuerKeys,
): RecordCheck {
  const opened = openUnder(expected.keys, sealed)
  if (opened === undefined) return { outcome: 'bad', event: 'bad-record', result: 'unreadable' }
  const { key, plainBytes, record, completion } = opened
  const { wanted, now, acceptUpstream } = expected
  const { receipt: receiptBytes } = record
  if (receiptBytes === undefined) return badReceipt('no-receipt')
  const check = verifyReceipt(
    receiptBytes,
    {
      lookupKey: lookupKey(key),
      modelId: wanted.modelId,
      completion,
      now,
      clockSkewMs: receiptClockSkewMs,
      acceptUpstream,
    },
    issuerKeys,
  )
  if (check.outcome === 'invalid') return invalidReceipt(check.reason)
  const { receipt } = check
  const maxTokens = record.maxTokens ?? undefined
  const answer = { completion, maxTokens }
  if (!isOfItsKey(answer, { wanted, key, receipt })) {
    return { outcome: 'bad', event: 'bad-record', result: 'unreadable' }
  }
  if (!isFit(answer, expected, receipt)) return { outcome: 'unfit', result: 'unfit' }
  const costSeconds = record.costMs / 1_000
  const checked = { key, sealed, completion, maxTokens, costSeconds, receiptBytes, receipt }
  return { outcome: 'good', result: 'valid', record: { ...checked, plainBytes } }
}

interface Opened {
  readonly key: ResponseKey
  readonly plainBytes: number
  readonly record: ResponseRecord
  readonly completion: Completion
}

function openUnder(keys: readonly ResponseKey[], sealed: Uint8Array): Opened | undefined {
  for (const key of keys) {
    try {
      const plain = openRecord(key, sealed)
      const record = decodeResponseRecord(plain)
      return { key, plainBytes: plain.length, record, completion: completionOf(record) }
    } catch {
      // Whatever a peer made unreadable is so; the caller blames it.
    }
  }
  return undefined
}

type Answer = Pick<CheckedRecord, 'completion' | 'maxTokens'>

/** What the receipt does not cover: no honest issuer seals it under another key or a later time. */
function isOfItsKey(
  { completion, maxTokens }: Answer,
  of: { readonly wanted: Wanted; readonly key: ResponseKey; readonly receipt: Receipt },
): boolean {
  const { wanted, key, receipt } = of
  const isCut = completion.choices.some(choice => choice.finish === 'length')
  const isLimited = key !== wanted.key
  if (isCut !== isLimited || (isCut && maxTokens !== wanted.maxTokens)) return false
  return completion.created * 1_000 <= receipt.issuedAt + receiptClockSkewMs
}

function isFit(answer: Answer, { wanted, now }: RecordExpectation, { issuedAt }: Receipt): boolean {
  if (answer.completion.choices.some(choice => choice.finish === 'content_filter')) return false
  if (now - issuedAt > wanted.maxAgeMs) return false
  return whyUnfit(answer, wanted) === undefined
}

/** What is out of date or not accepted here is no lie: it is not used, and nobody is blamed. */
function invalidReceipt(reason: ReceiptFault): RecordCheck {
  const isBlameless = ['expired', 'from-future', 'upstream-not-accepted'].includes(reason)
  return isBlameless ? { outcome: 'unfit', result: reason } : badReceipt(reason)
}

function badReceipt(result: RecordCheckResult): RecordCheck {
  return { outcome: 'bad', event: 'bad-receipt', result }
}
