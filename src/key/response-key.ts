import { createHash, createHmac, createSecretKey } from 'node:crypto'
import type { Brand } from '../std/brand.ts'
import type { JsonObject } from '../std/json.ts'
import { type CanonicalRequest, encodeJson } from './canonical-request.ts'
import type { Scope } from './scope.ts'

/**
 * SHA-256 that names an answer: 64 hex digits. Whoever knows it can open the record; it stays on
 * this node.
 */
export type ResponseKey = Brand<string, 'ResponseKey'>
/**
 * SHA-256 over the response key: 64 hex digits. The only form that leaves the node, and the store's
 * key.
 */
export type LookupKey = Brand<string, 'LookupKey'>

const hexForm = /^[0-9a-f]{64}$/

/** SHA-256("hyperspace/response/1" ‖ scope salt ‖ canonical request), spec/keys.md §3. */
export function responseKey(scope: Scope, canonical: CanonicalRequest): ResponseKey {
  const hash = createHash('sha256').update('hyperspace/response/1').update(scope.salt)
  return hash.update(canonical.bytes).digest('hex') as ResponseKey
}

/**
 * The key of an answer that was cut at a limit of `maxTokens` (0: at the end of the context):
 * SHA-256("hyperspace/limited/1" ‖ key ‖ u32-LE limit). Complete answers live under the response
 * key itself and serve every limit that they fit into (docs/decisions/0002).
 */
export function limitedKey(key: ResponseKey, maxTokens: number): ResponseKey {
  const limit = Buffer.alloc(4)
  limit.writeUInt32LE(Math.min(maxTokens, 0xffff_ffff))
  const hash = createHash('sha256').update('hyperspace/limited/1').update(Buffer.from(key, 'hex'))
  return hash.update(limit).digest('hex') as ResponseKey
}

/** SHA-256("hyperspace/lookup/1" ‖ key), spec/keys.md §4. */
export function lookupKey(key: ResponseKey): LookupKey {
  const hash = createHash('sha256').update('hyperspace/lookup/1').update(Buffer.from(key, 'hex'))
  return hash.digest('hex') as LookupKey
}

/**
 * Where the leaves of an answer's receipt are kept, sealed under the answer's response key:
 * SHA-256("hyperspace/leaves/1" ‖ look-up key), spec/receipts.md §5.
 */
export function leavesKey(key: LookupKey): LookupKey {
  const hash = createHash('sha256').update('hyperspace/leaves/1').update(Buffer.from(key, 'hex'))
  return hash.digest('hex') as LookupKey
}

/**
 * The sampler's seed where the client gave none: the first 8 bytes, little-endian, of
 * SHA-256("hyperspace/seed/1" ‖ key). An audit that knows the request can replay the draw.
 */
export function seedOf(key: ResponseKey): bigint {
  const hash = createHash('sha256').update('hyperspace/seed/1').update(Buffer.from(key, 'hex'))
  return hash.digest().readBigUInt64LE(0)
}

export function parseResponseKey(text: string): ResponseKey | undefined {
  return hexForm.test(text) ? (text as ResponseKey) : undefined
}

export function parseLookupKey(text: string): LookupKey | undefined {
  return hexForm.test(text) ? (text as LookupKey) : undefined
}

/** Most fields that are told apart. Longer conversations share one digest for the rest. */
const fieldsMax = 128

/**
 * Digests of a canonical request's fields, messages and tools one by one, as HMAC-SHA-256 under the
 * node's secret cut to 16 hex digits: they name what differs between two requests and reveal no
 * text to whoever lacks the secret.
 */
export function fieldDigests(fields: JsonObject, secret: Uint8Array): { [field: string]: string } {
  const digests: { [field: string]: string } = {}
  // Made once: node:crypto takes five times as long to hash under raw bytes.
  const key = createSecretKey(secret)
  const add = (name: string, value: JsonObject[string]): void => {
    digests[name] = createHmac('sha256', key).update(encodeJson(value)).digest('hex').slice(0, 16)
  }
  for (const [name, value] of Object.entries(fields)) {
    if (!Array.isArray(value)) {
      add(name, value)
      continue
    }
    for (const [index, item] of value.slice(0, fieldsMax).entries()) add(`${name}[${index}]`, item)
    if (value.length > fieldsMax) add(`${name}[${fieldsMax}…]`, value.slice(fieldsMax))
  }
  return digests
}
