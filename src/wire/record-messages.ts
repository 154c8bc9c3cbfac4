import { OperationError } from '../errors.ts'
import { type LookupKey, parseLookupKey } from '../key/response-key.ts'
import { recordKeysMax } from '../limits.ts'

/**
 * Asking peers for sealed records (spec/wire.md §5). One request names up to `recordKeysMax`
 * look-up keys; the reply has one answer per key, in their order:
 *
 *     request  32 bytes of look-up key, repeated
 *     answer   u8 0 nothing
 *            | u8 1 ‖ u32-LE length ‖ sealed record
 *            | u8 2 ‖ u32-LE milliseconds: being computed, about so long still
 *            | u8 3 too large for a reply: take it as a stream
 *
 * A key that is not shared is answered exactly as one that is not there.
 *
 * Large records, and answers that are being computed, are taken as streams: their requests are one
 * look-up key. An answer under way goes by its limited key (spec/keys.md §4), so that nobody waits
 * for one that is cut elsewhere.
 */
export type RecordAnswer =
  | { readonly type: 'none' }
  | { readonly type: 'record'; readonly bytes: Uint8Array }
  | { readonly type: 'in-flight'; readonly leftMs: number }
  | { readonly type: 'large' }

const keyBytes = 32

export function encodeKeys(keys: readonly LookupKey[]): Uint8Array {
  return Buffer.concat(keys.map(key => Buffer.from(key, 'hex')))
}

/** @throws peer_message_invalid */
export function decodeKeys(body: Uint8Array): readonly LookupKey[] {
  const count = body.length / keyBytes
  if (!Number.isInteger(count) || count === 0 || count > recordKeysMax) {
    throw invalid('its keys are cut, none or too many')
  }
  return Array.from({ length: count }, (_, index) =>
    keyOf(body.subarray(index * keyBytes, (index + 1) * keyBytes)),
  )
}

export function encodeAnswers(answers: readonly RecordAnswer[]): Uint8Array {
  return Buffer.concat(answers.flatMap(encodeAnswer))
}

/** @throws peer_message_invalid unless there is exactly one answer per key asked */
export function decodeAnswers(body: Uint8Array, count: number): readonly RecordAnswer[] {
  const bytes = Buffer.from(body.buffer, body.byteOffset, body.byteLength)
  const answers: RecordAnswer[] = []
  let offset = 0
  while (answers.length < count) {
    const { answer, end } = decodeAnswer(bytes, offset)
    answers.push(answer)
    offset = end
  }
  if (offset !== bytes.length) throw invalid('bytes are left over')
  return answers
}

/** Exactly one key: the body of a request for a stream. @throws peer_message_invalid */
export function decodeKey(body: Uint8Array): LookupKey {
  const [key, ...others] = decodeKeys(body)
  if (key === undefined || others.length > 0) throw invalid('it asks for more than one key')
  return key
}

function encodeAnswer(answer: RecordAnswer): readonly Uint8Array[] {
  switch (answer.type) {
    case 'none':
      return [Buffer.from([0])]
    case 'record':
      return [withNumber(1, answer.bytes.length), answer.bytes]
    case 'in-flight':
      return [withNumber(2, Math.min(Math.max(0, Math.round(answer.leftMs) || 0), 0xffff_ffff))]
    case 'large':
      return [Buffer.from([3])]
  }
}

function withNumber(type: number, value: number): Buffer {
  const bytes = Buffer.alloc(5)
  bytes.writeUInt8(type, 0)
  bytes.writeUInt32LE(value, 1)
  return bytes
}

function decodeAnswer(bytes: Buffer, offset: number): { answer: RecordAnswer; end: number } {
  const type = bytes[offset]
  if (type === 0) return { answer: { type: 'none' }, end: offset + 1 }
  if (type === 3) return { answer: { type: 'large' }, end: offset + 1 }
  if ((type !== 1 && type !== 2) || bytes.length < offset + 5) throw invalid('an answer is cut')
  const value = bytes.readUInt32LE(offset + 1)
  if (type === 2) return { answer: { type: 'in-flight', leftMs: value }, end: offset + 5 }
  const end = offset + 5 + value
  if (end > bytes.length) throw invalid('a record is cut')
  return { answer: { type: 'record', bytes: bytes.subarray(offset + 5, end) }, end }
}

function keyOf(bytes: Uint8Array): LookupKey {
  const key = parseLookupKey(Buffer.from(bytes).toString('hex'))
  if (key === undefined) throw invalid('a key is cut')
  return key
}

function invalid(why: string): OperationError {
  return new OperationError('peer_message_invalid', `Cannot read the peer's message: ${why}`, {
    origin: 'peer',
  })
}
