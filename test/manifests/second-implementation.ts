import { createHash } from 'node:crypto'
import { generateKeyPairFromSeed } from '@libp2p/crypto/keys'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'

/**
 * A second implementation of spec/placement.md §2, written from the text and sharing no code with
 * `src/`: the vectors are computed by both. Keys, signatures and peer ids are libp2p's.
 */

export interface SecondManifestCase {
  readonly name: string
  /** Hex, as all bytes here. */
  readonly issuerSeed: string
  readonly lookupKey: string
  readonly modelId: string
  readonly numericClass: string
  readonly objectBytes: number
  readonly dataShards: number
  readonly roots: readonly string[]
  readonly issuedAt: number
  readonly expiresAt: number
}

export interface SecondManifest {
  readonly issuer: string
  readonly shardBytes: number
  readonly stripe: string
  readonly manifest: string
}

export async function secondManifest(given: SecondManifestCase): Promise<SecondManifest> {
  const privateKey = await generateKeyPairFromSeed('Ed25519', hex(given.issuerSeed))
  const shardBytes = 64 * Math.ceil(given.objectBytes / given.dataShards / 64)
  // Keys of one letter, in bytewise order.
  const fields: readonly (readonly [string, Buffer])[] = [
    ['a', whole(given.issuedAt)],
    ['c', join(head(4, 2), whole(given.dataShards), whole(given.roots.length))],
    ['e', whole(given.expiresAt)],
    ['i', bytes(privateKey.publicKey.raw)],
    ['k', bytes(hex(given.lookupKey))],
    ['m', text(given.modelId)],
    ['n', text(given.numericClass)],
    ['o', whole(given.objectBytes)],
    ['r', bytes(hex(given.roots.join('')))],
    ['s', whole(shardBytes)],
    ['v', whole(1)],
  ]
  const map = fields.flatMap(([key, value]) => [text(key), value])
  const body = join(head(5, fields.length), ...map)
  const signature = await privateKey.sign(join(Buffer.from('hyperspace/manifest/1'), body))
  const id = createHash('sha256').update('hyperspace/stripe/1').update(body).digest('hex')
  return {
    issuer: peerIdFromPrivateKey(privateKey).toString(),
    shardBytes,
    stripe: id,
    manifest: join(body, signature).toString('hex'),
  }
}

/** RFC 8949 §4.2.1: shortest heads, definite lengths. */
function head(major: number, value: number): Buffer {
  const sizes = [24, 2 ** 8, 2 ** 16, 2 ** 32, 2 ** 64]
  const size = sizes.findIndex(end => value < end)
  if (size === 0) return Buffer.from([major * 32 + value])
  const first = (major * 32 + 23 + size).toString(16).padStart(2, '0')
  return hex(first + value.toString(16).padStart(2 ** size, '0'))
}

function whole(value: number): Buffer {
  return head(0, value)
}

function bytes(value: Uint8Array): Buffer {
  return join(head(2, value.length), value)
}

function text(value: string): Buffer {
  return join(head(3, Buffer.byteLength(value)), Buffer.from(value))
}

function hex(value: string): Buffer {
  return Buffer.from(value, 'hex')
}

function join(...parts: readonly Uint8Array[]): Buffer {
  return Buffer.concat(parts)
}
