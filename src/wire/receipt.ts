import { decode, encode } from 'cborg'
import { OperationError } from '../errors.ts'
import { type ModelId, parseModelId } from '../key/model-id.ts'
import {
  type PeerId,
  peerIdOfPublicKey,
  publicKeyBytes,
  publicKeyOfPeerId,
} from '../key/peer-id.ts'
import { type LookupKey, parseLookupKey } from '../key/response-key.ts'
import { choicesMax, receiptBytesMax } from '../limits.ts'
import { assert } from '../std/assert.ts'

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
const version = 2
const signatureBytes = 64
/** The last millisecond that ECMAScript dates can name. */
const instantMax = 8_640_000_000_000_000
const seedMax = 0xffff_ffff_ffff_ffffn

/** The part of a receipt that is signed, as deterministic CBOR. @throws RangeError if too large */
export function encodeReceiptBody(receipt: Receipt): Uint8Array {
  const { counts } = receipt
  const body = encode({
    v: version,
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
  if (body.length + signatureBytes > receiptBytesMax) {
    throw new RangeError(`A receipt has at most ${receiptBytesMax} bytes`)
  }
  return body
}

export function joinReceipt(body: Uint8Array, signature: Uint8Array): Uint8Array {
  assert(signature.length === signatureBytes, 'An Ed25519 signature has 64 bytes')
  return Buffer.concat([body, signature])
}

/** Reads `body ‖ signature`; the signature is not checked. @throws receipt_invalid */
export function decodeReceipt(bytes: Uint8Array): SignedReceipt {
  if (bytes.length > receiptBytesMax) throw invalid('it is too large')
  if (bytes.length <= signatureBytes) throw invalid('it is too short')
  const body = bytes.subarray(0, -signatureBytes)
  const receipt = decodeBody(body)
  // One receipt, one form: what would be written differently was not written by an issuer.
  if (Buffer.compare(encodeReceiptBody(receipt), body) !== 0) throw invalid('it is not canonical')
  return { receipt, body, signature: bytes.subarray(-signatureBytes) }
}

function decodeBody(body: Uint8Array): Receipt {
  let value: unknown
  try {
    value = decode(body, { strict: true, rejectDuplicateMapKeys: true, allowIndefinite: false })
  } catch (error) {
    throw invalid('it is not strict CBOR', error)
  }
  const map = asMap(value)
  if (map['v'] !== version) throw invalid('its version is unknown')
  const receipt: Receipt = {
    lookupKey: asLookupKey(map['k']),
    modelId: asModelId(map['m']),
    numericClass: asText(map['n']),
    textDigest: asDigest(map['d']),
    tokenDigest: map['t'] === null ? undefined : asDigest(map['t']),
    root: map['r'] === null ? undefined : asDigest(map['r']),
    counts: asCounts(map['c']),
    unauditedTokens: asCount(map['u']),
    finishes: asFinishes(map['f']),
    seed: map['s'] === null ? undefined : asSeed(map['s']),
    issuer: peerIdOfPublicKey(asBytes(map['i'], publicKeyBytes)),
    issuedAt: asInstant(map['a']),
    expiresAt: asInstant(map['e']),
  }
  assertConsistent(receipt)
  return receipt
}

/** What no honest issuer states. */
function assertConsistent(receipt: Receipt): void {
  const { counts, numericClass, tokenDigest, root } = receipt
  if (receipt.expiresAt < receipt.issuedAt) throw invalid('it expires before it was issued')
  if (counts.reasoningTokens > counts.completionTokens) throw invalid('its counts contradict')
  if (receipt.unauditedTokens > counts.promptTokens) throw invalid('its counts contradict')
  if ((numericClass === upstreamClass) !== (tokenDigest === undefined)) {
    throw invalid('its numeric class does not go with its tokens')
  }
  if (root !== undefined && tokenDigest === undefined) throw invalid('it has leaves without tokens')
}

function asCounts(value: unknown): ReceiptCounts {
  if (!Array.isArray(value) || value.length !== 3) throw invalid('its counts are not three')
  const [promptTokens, completionTokens, reasoningTokens] = value
  return {
    promptTokens: asCount(promptTokens),
    completionTokens: asCount(completionTokens),
    reasoningTokens: asCount(reasoningTokens),
  }
}

function asFinishes(value: unknown): readonly string[] {
  if (!Array.isArray(value) || value.length === 0 || value.length > choicesMax) {
    throw invalid('its choices are too many or none')
  }
  return value.map(asText)
}

function asSeed(value: unknown): bigint {
  const seed = typeof value === 'number' && Number.isSafeInteger(value) ? BigInt(value) : value
  if (typeof seed === 'bigint' && seed >= 0n && seed <= seedMax) return seed
  throw invalid('its seed is no unsigned 64-bit number')
}

function asLookupKey(value: unknown): LookupKey {
  const key = parseLookupKey(asDigest(value))
  if (key === undefined) throw invalid('its key is none')
  return key
}

function asModelId(value: unknown): ModelId {
  const id = parseModelId(asText(value))
  if (id === undefined) throw invalid('its model id is none')
  return id
}

function asMap(value: unknown): { readonly [name: string]: unknown } {
  const isMap = typeof value === 'object' && value !== null && !Array.isArray(value)
  if (isMap && !ArrayBuffer.isView(value)) return value as { readonly [name: string]: unknown }
  throw invalid('it is no map')
}

function asText(value: unknown): string {
  if (typeof value === 'string' && value !== '') return value
  throw invalid('a text is missing')
}

function asDigest(value: unknown): string {
  return Buffer.from(asBytes(value, 32)).toString('hex')
}

function asBytes(value: unknown, length: number): Uint8Array {
  if (value instanceof Uint8Array && value.length === length) return value
  throw invalid(`a field of ${length} bytes is missing`)
}

function asCount(value: unknown): number {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value
  throw invalid('a count is missing')
}

function asInstant(value: unknown): number {
  const instant = asCount(value)
  if (instant > instantMax) throw invalid('a time is none')
  return instant
}

function hexBytes(hex: string): Uint8Array {
  return Buffer.from(hex, 'hex')
}

function invalid(why: string, cause?: unknown): OperationError {
  return new OperationError('receipt_invalid', `Cannot read the receipt: ${why}`, {
    origin: 'peer',
    cause,
  })
}
