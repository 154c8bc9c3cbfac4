import { decode, encode } from 'cborg'
import { OperationError } from '../errors.ts'
import type { ModelId } from '../key/model-id.ts'
import { answerBytesMax, choicesMax, receiptBytesMax, recordItemsMax } from '../limits.ts'
import { assertItemsWithin } from './cbor-items.ts'
import { packTokenIds, unpackTokenIds } from './token-ids.ts'

/**
 * What a sealed record holds, as deterministic CBOR (RFC 8949 §4.2). The codec checks shape and
 * sizes: a record may come from a file that somebody changed or, later, from a peer. Names are
 * short because they are stored a million times.
 *
 *     { v: 1, m: model id, c: created (s), t: cost (ms), l: limit or null,
 *       u: [prompt, cached, completion, reasoning], r?: signed receipt,
 *       a: [ { f: finish, s?: stop sequence,
 *              p: [[kind, text] | ["tool-call", id, name, arguments]],
 *              g?: log-probabilities, k?: token ids, u32-LE each } ] }
 */
export interface ResponseRecord {
  readonly modelId: ModelId
  readonly created: number
  readonly costMs: number
  /** The token limit it was generated under; null: none. */
  readonly maxTokens: number | null
  readonly usage: readonly [number, number, number, number]
  readonly choices: readonly RecordChoice[]
  /** As it was signed (spec/receipts.md): opaque here, checked in `trust/`. */
  readonly receipt?: Uint8Array
}

export interface RecordChoice {
  readonly finish: string
  readonly stopSequence?: string
  readonly parts: readonly (readonly string[])[]
  readonly logprobs?: readonly RecordLogprob[]
  readonly tokenIds?: readonly number[]
}

/** [token, bytes, logprob, [[token, bytes, logprob] …]] */
export type RecordLogprob = readonly [string, Uint8Array, number, readonly RecordTop[]]
export type RecordTop = readonly [string, Uint8Array, number]

export function encodeResponseRecord(record: ResponseRecord): Uint8Array {
  return encode({
    v: 1,
    m: record.modelId,
    c: record.created,
    t: record.costMs,
    l: record.maxTokens,
    u: record.usage,
    ...(record.receipt === undefined ? {} : { r: record.receipt }),
    a: record.choices.map(choice => ({
      f: choice.finish,
      p: choice.parts,
      ...(choice.stopSequence === undefined ? {} : { s: choice.stopSequence }),
      ...(choice.logprobs === undefined ? {} : { g: choice.logprobs }),
      ...(choice.tokenIds === undefined ? {} : { k: packTokenIds(choice.tokenIds) }),
    })),
  })
}

/** @throws record_invalid for everything that `encodeResponseRecord` does not write */
export function decodeResponseRecord(bytes: Uint8Array): ResponseRecord {
  if (bytes.length > answerBytesMax) throw invalid('it is too large')
  assertItemsWithin(bytes, recordItemsMax)
  let value: unknown
  try {
    value = decode(bytes, { strict: true, rejectDuplicateMapKeys: true, allowIndefinite: false })
  } catch (error) {
    throw invalid('it is not strict CBOR', error)
  }
  const map = asMap(value)
  if (map['v'] !== 1) throw invalid('its version is unknown')
  const modelId = asString(map['m'])
  const choices = asArray(map['a'])
  if (choices.length === 0 || choices.length > choicesMax)
    throw invalid('its choices are too many or none')
  return {
    modelId: modelId as ModelId,
    created: asCount(map['c']),
    costMs: asCount(map['t']),
    maxTokens: map['l'] === null ? null : asCount(map['l']),
    usage: asUsage(map['u']),
    choices: choices.map(decodeChoice),
    ...(map['r'] === undefined ? {} : { receipt: asReceipt(map['r']) }),
  }
}

function decodeChoice(value: unknown): RecordChoice {
  const map = asMap(value)
  const parts = asArray(map['p']).map(part => asArray(part).map(asString))
  return {
    finish: asString(map['f']),
    parts,
    ...(map['s'] === undefined ? {} : { stopSequence: asString(map['s']) }),
    ...(map['g'] === undefined ? {} : { logprobs: asArray(map['g']).map(decodeLogprob) }),
    ...(map['k'] === undefined ? {} : { tokenIds: asTokenIds(map['k']) }),
  }
}

function decodeLogprob(value: unknown): RecordLogprob {
  const [token, bytes, logprob, top, ...rest] = asArray(value)
  if (rest.length > 0) throw invalid('a log-probability has too many fields')
  return [asString(token), asBytes(bytes), asNumber(logprob), asArray(top).map(decodeTop)]
}

function decodeTop(value: unknown): RecordTop {
  const [token, bytes, logprob, ...rest] = asArray(value)
  if (rest.length > 0) throw invalid('a log-probability has too many fields')
  return [asString(token), asBytes(bytes), asNumber(logprob)]
}

function asUsage(value: unknown): ResponseRecord['usage'] {
  const [prompt, cached, completion, reasoning, ...rest] = asArray(value)
  if (rest.length > 0) throw invalid('its usage has too many fields')
  return [asCount(prompt), asCount(cached), asCount(completion), asCount(reasoning)]
}

function asReceipt(value: unknown): Uint8Array {
  const bytes = asBytes(value)
  if (bytes.length > receiptBytesMax) throw invalid('its receipt is too large')
  return bytes
}

function asTokenIds(value: unknown): readonly number[] {
  const tokenIds = unpackTokenIds(asBytes(value))
  if (tokenIds === undefined) throw invalid('a list of token ids is cut')
  return tokenIds
}

function asMap(value: unknown): { readonly [name: string]: unknown } {
  if (
    typeof value === 'object' &&
    value !== null &&
    !Array.isArray(value) &&
    !ArrayBuffer.isView(value)
  ) {
    return value as { readonly [name: string]: unknown }
  }
  throw invalid('a map is missing')
}

function asArray(value: unknown): readonly unknown[] {
  if (Array.isArray(value)) return value
  throw invalid('a list is missing')
}

function asString(value: unknown): string {
  if (typeof value === 'string') return value
  throw invalid('a text is missing')
}

function asBytes(value: unknown): Uint8Array {
  if (value instanceof Uint8Array) return value
  throw invalid('bytes are missing')
}

function asNumber(value: unknown): number {
  if (typeof value === 'number' && Number.isFinite(value)) return value
  throw invalid('a number is missing')
}

function asCount(value: unknown): number {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value
  throw invalid('a count is missing')
}

function invalid(why: string, cause?: unknown): OperationError {
  return new OperationError('record_invalid', `Cannot read the record: ${why}`, {
    origin: 'store',
    cause,
  })
}
