import type { ModelId } from '../key/model-id.ts'
import { type PeerId, publicKeyOfPeerId } from '../key/peer-id.ts'
import type { LookupKey } from '../key/response-key.ts'
import { choicesMax, receiptBytesMax } from '../limits.ts'
import { type Fields, instantMax, SignedForm } from './signed-form.ts'

/**
 * What the issuer states of one answer (spec/receipts.md §2). It shows who said it, not that it is
 * true.
 */
export interface Receipt {
  readonly lookupKey: LookupKey
  readonly modelId: ModelId
  /** `upstream` where the engine told no tokens: then there is nothing an audit could recompute. */
  readonly numericClass: string
  /** SHA-256 of the choices' parts, ends and log-probabilities: 64 hex digits. */
  readonly textDigest: string
  /** SHA-256 of the choices' token ids: 64 hex digits. */
  readonly tokenDigest: string | undefined
  /** Merkle root over the leaves, one per token: 64 hex digits. */
  readonly root: string | undefined
  readonly counts: ReceiptCounts
  /**
   * Of the prompt tokens, those whose KV state came from a peer and was not audited before it was
   * used: the issuer did not compute them and cannot vouch for them.
   */
  readonly unauditedTokens: number
  /** Finish reasons by choice. */
  readonly finishes: readonly string[]
  /** Of the sampler, unsigned 64 bit. */
  readonly seed: bigint | undefined
  readonly issuer: PeerId
  /** Milliseconds since 1970. */
  readonly issuedAt: number
  /** Milliseconds since 1970. */
  readonly expiresAt: number
}

export interface ReceiptCounts {
  readonly promptTokens: number
  /** Of all choices together. */
  readonly completionTokens: number
  readonly reasoningTokens: number
}

/** What can be wrong with a receipt, by itself or beside the answer in hand. */
export type ReceiptFault =
  | 'malformed'
  | 'signature-wrong'
  | 'expired'
  | 'from-future'
  | 'key-differs'
  | 'model-differs'
  | 'counts-differ'
  | 'finish-differs'
  | 'text-differs'
  | 'tokens-differ'
  | 'upstream-not-accepted'

export interface SignedReceipt {
  readonly receipt: Receipt
  /** The bytes that were signed, without the domain. */
  readonly body: Uint8Array
  readonly signature: Uint8Array
}

/** The class of answers that nobody can recompute token by token. */
export const upstreamClass = 'upstream'
const form = new SignedForm({
  name: 'receipt',
  code: 'receipt_invalid',
  version: 2,
  bytesMax: receiptBytesMax,
})
const seedMax = 0xffff_ffff_ffff_ffffn

/** The part of a receipt that is signed, as deterministic CBOR. @throws RangeError if too large */
export function encodeReceiptBody(receipt: Receipt): Uint8Array {
  const { counts } = receipt
  return form.encodeBody({
    k: hexBytes(receipt.lookupKey),
    m: receipt.modelId,
    n: receipt.numericClass,
    d: hexBytes(receipt.textDigest),
    t: receipt.tokenDigest === undefined ? null : hexBytes(receipt.tokenDigest),
    r: receipt.root === undefined ? null : hexBytes(receipt.root),
    c: [counts.promptTokens, counts.completionTokens, counts.reasoningTokens],
    u: receipt.unauditedTokens,
    f: receipt.finishes,
    s: receipt.seed ?? null,
    i: publicKeyOfPeerId(receipt.issuer),
    a: receipt.issuedAt,
    e: receipt.expiresAt,
  })
}

export function joinReceipt(body: Uint8Array, signature: Uint8Array): Uint8Array {
  return form.join(body, signature)
}

/** Reads `body ‖ signature`; the signature is not checked. @throws receipt_invalid */
export function decodeReceipt(bytes: Uint8Array): SignedReceipt {
  const { value, ...signed } = form.decode(bytes, receiptOf, encodeReceiptBody)
  return { receipt: value, ...signed }
}

function receiptOf(map: Fields): Receipt {
  const receipt: Receipt = {
    lookupKey: form.asLookupKey(map['k']),
    modelId: form.asModelId(map['m']),
    numericClass: form.asText(map['n']),
    textDigest: form.asDigest(map['d']),
    tokenDigest: map['t'] === null ? undefined : form.asDigest(map['t']),
    root: map['r'] === null ? undefined : form.asDigest(map['r']),
    counts: asCounts(map['c']),
    unauditedTokens: asCount(map['u']),
    finishes: asFinishes(map['f']),
    seed: map['s'] === null ? undefined : asSeed(map['s']),
    issuer: form.asIssuer(map['i']),
    issuedAt: asInstant(map['a']),
    expiresAt: asInstant(map['e']),
  }
  assertConsistent(receipt)
  return receipt
}

/** What no honest issuer states. */
function assertConsistent(receipt: Receipt): void {
  const { counts, numericClass, tokenDigest, root } = receipt
  if (receipt.expiresAt < receipt.issuedAt) throw form.invalid('it expires before it was issued')
  if (counts.reasoningTokens > counts.completionTokens) throw form.invalid('its counts contradict')
  if (receipt.unauditedTokens > counts.promptTokens) throw form.invalid('its counts contradict')
  if ((numericClass === upstreamClass) !== (tokenDigest === undefined)) {
    throw form.invalid('its numeric class does not go with its tokens')
  }
  if (root !== undefined && tokenDigest === undefined)
    throw form.invalid('it has leaves without tokens')
}

function asCounts(value: unknown): ReceiptCounts {
  if (!Array.isArray(value) || value.length !== 3) throw form.invalid('its counts are not three')
  const [promptTokens, completionTokens, reasoningTokens] = value
  return {
    promptTokens: asCount(promptTokens),
    completionTokens: asCount(completionTokens),
    reasoningTokens: asCount(reasoningTokens),
  }
}

function asFinishes(value: unknown): readonly string[] {
  if (!Array.isArray(value) || value.length === 0 || value.length > choicesMax) {
    throw form.invalid('its choices are too many or none')
  }
  return value.map(each => form.asText(each))
}

function asSeed(value: unknown): bigint {
  const seed = typeof value === 'number' && Number.isSafeInteger(value) ? BigInt(value) : value
  if (typeof seed === 'bigint' && seed >= 0n && seed <= seedMax) return seed
  throw form.invalid('its seed is no unsigned 64-bit number')
}

function asCount(value: unknown): number {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value
  throw form.invalid('a count is missing')
}

function asInstant(value: unknown): number {
  const instant = asCount(value)
  if (instant > instantMax) throw form.invalid('a time is none')
  return instant
}

function hexBytes(hex: string): Uint8Array {
  return Buffer.from(hex, 'hex')
}
