import { hash } from 'node:crypto'
import { shardBytesOf } from '../erasure/shards.ts'
import type { ModelId } from '../key/model-id.ts'
import { type PeerId, publicKeyOfPeerId } from '../key/peer-id.ts'
import type { LookupKey } from '../key/response-key.ts'
import { manifestBytesMax, sealedBlockBytesMax, stripeShardsMax } from '../limits.ts'
import { assert } from '../std/assert.ts'
import type { Brand } from '../std/brand.ts'
import { type Fields, instantMax, SignedForm } from './signed-form.ts'

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
const idDomain = Buffer.from('hyperspace/stripe/1')
const form = new SignedForm({
  name: 'manifest',
  code: 'manifest_invalid',
  version: 1,
  bytesMax: manifestBytesMax,
  // The map, its eleven keys and values, and the two numbers of the code.
  itemsMax: 25,
})

/** The part of a manifest that is signed, as deterministic CBOR. @throws RangeError if too large */
export function encodeManifestBody(manifest: Manifest): Uint8Array {
  return form.encodeBody({
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
}

export function joinManifest(body: Uint8Array, signature: Uint8Array): Uint8Array {
  return form.join(body, signature)
}

/** Of the body alone: a second signature of the same statement makes no second stripe. */
export function stripeIdOf(body: Uint8Array): StripeId {
  return hash('sha256', Buffer.concat([idDomain, body])) as StripeId
}

/** What was signed of `body ‖ signature`; nothing is checked. */
export function bodyOf(bytes: Uint8Array): Uint8Array {
  return form.bodyOf(bytes)
}

/** Reads `body ‖ signature`; the signature is not checked. @throws manifest_invalid */
export function decodeManifest(bytes: Uint8Array): SignedManifest {
  const { value, ...signed } = form.decode(bytes, manifestOf, encodeManifestBody)
  return { manifest: value, ...signed }
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

function manifestOf(map: Fields): Manifest {
  const { dataShards, shards } = asCode(map['c'])
  const manifest: Manifest = {
    lookupKey: form.asLookupKey(map['k']),
    modelId: form.asModelId(map['m']),
    numericClass: form.asText(map['n']),
    objectBytes: asNumber(map['o'], 1, sealedBlockBytesMax),
    dataShards,
    shards,
    roots: form.asBytes(map['r'], shards * rootBytes),
    issuer: form.asIssuer(map['i']),
    issuedAt: asNumber(map['a'], 0, instantMax),
    expiresAt: asNumber(map['e'], 0, instantMax),
  }
  if (map['s'] !== shardBytesIn(manifest)) throw form.invalid('its sizes contradict')
  if (manifest.expiresAt < manifest.issuedAt) throw form.invalid('it expires before it was issued')
  assertCopies(manifest)
  return manifest
}

/** Where one shard is enough all of them are the same. */
function assertCopies(manifest: Manifest): void {
  const { dataShards, shards } = manifest
  if (dataShards > 1) return
  const first = rootOf(manifest, 0)
  for (let index = 1; index < shards; index++) {
    if (Buffer.compare(rootOf(manifest, index), first) !== 0)
      throw form.invalid('its copies differ')
  }
}

function asCode(value: unknown): Pick<Manifest, 'dataShards' | 'shards'> {
  if (!Array.isArray(value) || value.length !== 2) throw form.invalid('its code is not two numbers')
  const [first, second] = value
  const shards = asNumber(second, 1, stripeShardsMax)
  return { dataShards: asNumber(first, 1, shards), shards }
}

function asNumber(value: unknown, least: number, most: number): number {
  const isWhole = typeof value === 'number' && Number.isSafeInteger(value)
  if (isWhole && value >= least && value <= most) return value
  throw form.invalid('a number is missing or out of bounds')
}
