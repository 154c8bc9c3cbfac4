import { hash } from 'node:crypto'
import { decode, encode } from 'cborg'
import { shardBytesOf } from '../erasure/shards.ts'
import { OperationError } from '../errors.ts'
import { type ModelId, parseModelId } from '../key/model-id.ts'
import {
  type PeerId,
  peerIdOfPublicKey,
  publicKeyBytes,
  publicKeyOfPeerId,
} from '../key/peer-id.ts'
import { type LookupKey, parseLookupKey } from '../key/response-key.ts'
import { manifestBytesMax, sealedBlockBytesMax, stripeShardsMax } from '../limits.ts'
import { assert } from '../std/assert.ts'
import type { Brand } from '../std/brand.ts'
import { assertItemsWithin } from './cbor-items.ts'

/**
 * What the issuer states of a sealed block and its shards (spec/placement.md §2). It travels with
 * every shard. It shows who coded the block, not that the block is right: a lying one costs a fetch
 * and its issuer's reputation, never a wrong answer.
 */
export interface Manifest {
  /** Of the block. It commits to the scope, the numeric class and all tokens up to its end. */
  readonly lookupKey: LookupKey
  readonly modelId: ModelId
  readonly numericClass: string
  /** Length of the sealed block. */
  readonly objectBytes: number
  /** As many of the shards give the block back; 1: every shard is the block itself. */
  readonly dataShards: number
  /** All of them. */
  readonly shards: number
  /** Merkle roots over the shards' 64 KiB leaves, 32 bytes each, in the order of the shards. */
  readonly roots: Uint8Array
  readonly issuer: PeerId
  /** Milliseconds since 1970. */
  readonly issuedAt: number
  /** Milliseconds since 1970. */
  readonly expiresAt: number
}

export interface SignedManifest {
  readonly manifest: Manifest
  /** The bytes that were signed, without the domain. */
  readonly body: Uint8Array
  readonly signature: Uint8Array
}

/** Names a manifest and so the shards that it speaks of: 64 hex digits. */
export type StripeId = Brand<string, 'StripeId'>

export const rootBytes = 32
const version = 1
const signatureBytes = 64
const idDomain = Buffer.from('hyperspace/stripe/1')
/** The last millisecond that ECMAScript dates can name. */
const instantMax = 8_640_000_000_000_000
/** The map, its eleven keys and values, and the two numbers of the code. */
const itemsMax = 25

/** The part of a manifest that is signed, as deterministic CBOR. @throws RangeError if too large */
export function encodeManifestBody(manifest: Manifest): Uint8Array {
  const body = encode({
    v: version,
    k: Buffer.from(manifest.lookupKey, 'hex'),
    m: manifest.modelId,
    n: manifest.numericClass,
    o: manifest.objectBytes,
    c: [manifest.dataShards, manifest.shards],
    s: shardBytesIn(manifest),
    r: manifest.roots,
    i: publicKeyOfPeerId(manifest.issuer),
    a: manifest.issuedAt,
    e: manifest.expiresAt,
  })
  if (body.length + signatureBytes > manifestBytesMax) {
    throw new RangeError(`A manifest has at most ${manifestBytesMax} bytes`)
  }
  return body
}

export function joinManifest(body: Uint8Array, signature: Uint8Array): Uint8Array {
  assert(signature.length === signatureBytes, 'An Ed25519 signature has 64 bytes')
  return Buffer.concat([body, signature])
}

/** Of the body alone: a second signature of the same statement makes no second stripe. */
export function stripeIdOf(body: Uint8Array): StripeId {
  return hash('sha256', Buffer.concat([idDomain, body])) as StripeId
}

/** What was signed of `body ‖ signature`; nothing is checked. */
export function bodyOf(bytes: Uint8Array): Uint8Array {
  return bytes.subarray(0, -signatureBytes)
}

/** Reads `body ‖ signature`; the signature is not checked. @throws manifest_invalid */
export function decodeManifest(bytes: Uint8Array): SignedManifest {
  if (bytes.length > manifestBytesMax) throw invalid('it is too large')
  if (bytes.length <= signatureBytes) throw invalid('it is too short')
  const body = bodyOf(bytes)
  const manifest = decodeBody(body)
  // One statement, one form: what would be written differently was not written by an issuer.
  if (Buffer.compare(encodeManifestBody(manifest), body) !== 0) throw invalid('it is not canonical')
  return { manifest, body, signature: bytes.subarray(-signatureBytes) }
}

export type ManifestSizes = Pick<Manifest, 'objectBytes' | 'dataShards'>

/** Length of each shard. */
export function shardBytesIn({ objectBytes, dataShards }: ManifestSizes): number {
  return shardBytesOf(objectBytes, dataShards)
}

/** The Merkle root of one shard. */
export function rootOf({ roots }: Manifest, index: number): Uint8Array {
  assert(index >= 0 && (index + 1) * rootBytes <= roots.length, 'The stripe has such a shard')
  return roots.subarray(index * rootBytes, (index + 1) * rootBytes)
}

export function parseStripeId(bytes: Uint8Array): StripeId | undefined {
  return bytes.length === 32 ? (Buffer.from(bytes).toString('hex') as StripeId) : undefined
}

function decodeBody(body: Uint8Array): Manifest {
  let value: unknown
  try {
    assertItemsWithin(body, itemsMax)
    value = decode(body, { strict: true, rejectDuplicateMapKeys: true, allowIndefinite: false })
  } catch (error) {
    throw invalid('it is not strict CBOR', error)
  }
  const map = asMap(value)
  if (map['v'] !== version) throw invalid('its version is unknown')
  const { dataShards, shards } = asCode(map['c'])
  const manifest: Manifest = {
    lookupKey: asLookupKey(map['k']),
    modelId: asModelId(map['m']),
    numericClass: asText(map['n']),
    objectBytes: asNumber(map['o'], 1, sealedBlockBytesMax),
    dataShards,
    shards,
    roots: asBytes(map['r'], shards * rootBytes),
    issuer: peerIdOfPublicKey(asBytes(map['i'], publicKeyBytes)),
    issuedAt: asNumber(map['a'], 0, instantMax),
    expiresAt: asNumber(map['e'], 0, instantMax),
  }
  if (map['s'] !== shardBytesIn(manifest)) throw invalid('its sizes contradict')
  if (manifest.expiresAt < manifest.issuedAt) throw invalid('it expires before it was issued')
  assertCopies(manifest)
  return manifest
}

/** Where one shard is enough all of them are the same. */
function assertCopies(manifest: Manifest): void {
  const { dataShards, shards } = manifest
  if (dataShards > 1) return
  const first = rootOf(manifest, 0)
  for (let index = 1; index < shards; index++) {
    if (Buffer.compare(rootOf(manifest, index), first) !== 0) throw invalid('its copies differ')
  }
}

function asCode(value: unknown): Pick<Manifest, 'dataShards' | 'shards'> {
  if (!Array.isArray(value) || value.length !== 2) throw invalid('its code is not two numbers')
  const [first, second] = value
  const shards = asNumber(second, 1, stripeShardsMax)
  return { dataShards: asNumber(first, 1, shards), shards }
}

function asMap(value: unknown): { readonly [name: string]: unknown } {
  const isMap = typeof value === 'object' && value !== null && !Array.isArray(value)
  if (isMap && !ArrayBuffer.isView(value)) return value as { readonly [name: string]: unknown }
  throw invalid('it is no map')
}

function asLookupKey(value: unknown): LookupKey {
  const key = parseLookupKey(Buffer.from(asBytes(value, 32)).toString('hex'))
  if (key === undefined) throw invalid('its key is none')
  return key
}

function asModelId(value: unknown): ModelId {
  const id = parseModelId(asText(value))
  if (id === undefined) throw invalid('its model id is none')
  return id
}

function asText(value: unknown): string {
  if (typeof value === 'string' && value !== '') return value
  throw invalid('a text is missing')
}

function asBytes(value: unknown, length: number): Uint8Array {
  if (value instanceof Uint8Array && value.length === length) return value
  throw invalid(`a field of ${length} bytes is missing`)
}

function asNumber(value: unknown, least: number, most: number): number {
  const isWhole = typeof value === 'number' && Number.isSafeInteger(value)
  if (isWhole && value >= least && value <= most) return value
  throw invalid('a number is missing or out of bounds')
}

function invalid(why: string, cause?: unknown): OperationError {
  return new OperationError('manifest_invalid', `Cannot read the manifest: ${why}`, {
    origin: 'peer',
    cause,
  })
}
