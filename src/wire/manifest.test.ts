import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { decode, encode } from 'cborg'
import fc from 'fast-check'
import { OperationError } from '../errors.ts'
import { modelIdFromDigest } from '../key/model-id.ts'
import { peerIdOfPublicKey } from '../key/peer-id.ts'
import { parseLookupKey } from '../key/response-key.ts'
import { manifestBytesMax, sealedBlockBytesMax } from '../limits.ts'
import {
  decodeManifest,
  encodeManifestBody,
  joinManifest,
  type Manifest,
  rootOf,
  shardBytesIn,
  stripeIdOf,
} from './manifest.ts'

const lookupKey = parseLookupKey('ab'.repeat(32)) ?? assert.fail()

function manifestOf(changes: Partial<Manifest> = {}): Manifest {
  return {
    lookupKey,
    modelId: modelIdFromDigest('cd'.repeat(32)),
    numericClass: 'a class',
    objectBytes: 1_000_000,
    dataShards: 4,
    shards: 8,
    roots: Uint8Array.from({ length: 8 * 32 }, (_, index) => index),
    issuer: peerIdOfPublicKey(new Uint8Array(32).fill(5)),
    issuedAt: 1_700_000_000_000,
    expiresAt: 1_700_000_001_000,
    ...changes,
  }
}

const signature = new Uint8Array(64).fill(9)

function bytesOf(manifest: Manifest): Uint8Array {
  return joinManifest(encodeManifestBody(manifest), signature)
}

/** The fields as they are on the wire, changed. */
function altered(change: (fields: { [name: string]: unknown }) => void): Uint8Array {
  const fields: { [name: string]: unknown } = decode(encodeManifestBody(manifestOf()))
  change(fields)
  return joinManifest(encode(fields), signature)
}

describe('manifest', () => {
  it('decodeManifest() gives what encodeManifestBody() was given', () => {
    const manifest = manifestOf()
    const decoded = decodeManifest(bytesOf(manifest))
    assert.deepEqual(
      { ...decoded.manifest, roots: [...decoded.manifest.roots] },
      {
        ...manifest,
        roots: [...manifest.roots],
      },
    )
    assert.deepEqual([...decoded.signature], [...signature])
    assert.equal(shardBytesIn(manifest), 250_048)
    assert.deepEqual([...rootOf(manifest, 7)], [...manifest.roots.subarray(224)])
  })

  it('stripeIdOf() names the statement, not the signature', () => {
    const body = encodeManifestBody(manifestOf())
    const other = joinManifest(body, new Uint8Array(64))
    assert.equal(stripeIdOf(decodeManifest(other).body), stripeIdOf(body))
    assert.notEqual(stripeIdOf(encodeManifestBody(manifestOf({ issuedAt: 5 }))), stripeIdOf(body))
  })

  it('decodeManifest() refuses what contradicts itself or is out of bounds', () => {
    const lies: readonly ((fields: { [name: string]: unknown }) => void)[] = [
      fields => Object.assign(fields, { v: 2 }),
      fields => Object.assign(fields, { s: 250_112 }),
      fields => Object.assign(fields, { o: 0, s: 0 }),
      fields => Object.assign(fields, { o: sealedBlockBytesMax + 1 }),
      fields => Object.assign(fields, { o: 2 ** 53 - 1 }),
      fields => Object.assign(fields, { c: [0, 8] }),
      fields => Object.assign(fields, { c: [9, 8] }),
      fields => Object.assign(fields, { c: [4, 33], r: new Uint8Array(33 * 32) }),
      fields => Object.assign(fields, { c: [4, 7] }),
      fields => Object.assign(fields, { c: [4] }),
      fields => Object.assign(fields, { c: [4, 8, 1] }),
      fields => Object.assign(fields, { c: 4 }),
      // Copies have one root.
      fields => Object.assign(fields, { c: [1, 8], s: 1_000_000 }),
      fields => Object.assign(fields, { r: new Uint8Array(8 * 32 - 1) }),
      fields => Object.assign(fields, { k: new Uint8Array(31) }),
      fields => Object.assign(fields, { m: 'no id' }),
      fields => Object.assign(fields, { n: '' }),
      fields => Object.assign(fields, { i: new Uint8Array(33) }),
      fields => Object.assign(fields, { e: 1_699_999_999_999 }),
      fields => Object.assign(fields, { a: -1 }),
      fields => Object.assign(fields, { a: 1.5 }),
      fields => Object.assign(fields, { e: 2 ** 53 - 1 }),
      fields => Object.assign(fields, { x: 1 }),
      fields => {
        delete fields['r']
      },
    ]
    assert.equal(decodeManifest(altered(() => undefined)).manifest.shards, 8)
    for (const [index, lie] of lies.entries()) {
      const isRefused = { code: 'manifest_invalid' }
      assert.throws(() => decodeManifest(altered(lie)), isRefused, `lie ${index}`)
    }
  })

  it('decodeManifest() refuses another form of the same content', () => {
    const body = Buffer.from(encodeManifestBody(manifestOf()))
    const at = body.indexOf(Buffer.from('6176', 'hex'))
    const longer = Buffer.concat([
      body.subarray(0, at + 2),
      Buffer.from([0x18, 0x01]),
      body.subarray(at + 3),
    ])
    assert.equal(body[at + 2], 1)
    const bytes = joinManifest(longer, signature)
    assert.throws(() => decodeManifest(bytes), { code: 'manifest_invalid' })
    const trailing = joinManifest(Buffer.concat([body, Buffer.from([0])]), signature)
    assert.throws(() => decodeManifest(trailing), { code: 'manifest_invalid' })
    assert.throws(() => decodeManifest(new Uint8Array(manifestBytesMax + 1)), {
      code: 'manifest_invalid',
    })
  })

  it('decodeManifest() refuses numbers in a short form that would not fit in the right one', () => {
    const issuedAt = 2 ** 40
    const fields = { ...decode(encodeManifestBody(manifestOf({ issuedAt }))), n: 'x'.repeat(1_000) }
    const spareBytes = manifestBytesMax - joinManifest(encode(fields), signature).length
    const body = Buffer.from(encode({ ...fields, n: 'x'.repeat(1_000 + spareBytes + 4) }))
    // As a number of nine bytes, and as a float of five.
    const [long, short] = ['1b0000010000000000', 'fa53800000'].map(hex => Buffer.from(hex, 'hex'))
    assert.ok(long !== undefined && short !== undefined)
    const at = body.indexOf(long)
    const shorter = Buffer.concat([body.subarray(0, at), short, body.subarray(at + long.length)])
    const bytes = joinManifest(shorter, signature)
    assert.equal(bytes.length, manifestBytesMax)
    assert.throws(() => decodeManifest(bytes), { code: 'manifest_invalid' })
  })

  it('encodeManifestBody() refuses what would not fit', () => {
    const numericClass = 'x'.repeat(manifestBytesMax)
    assert.throws(() => encodeManifestBody(manifestOf({ numericClass })), RangeError)
  })

  it('decodeManifest() throws manifest_invalid and nothing else, whatever comes', () => {
    const valid = bytesOf(manifestOf())
    const change = fc.record({ at: fc.nat(), byte: fc.nat(255), cut: fc.nat(80), more: fc.nat(8) })
    const changed = change.map(({ at, byte, cut, more }) => {
      const bytes = Buffer.concat([valid.subarray(0, valid.length - cut), Buffer.alloc(more)])
      bytes[at % bytes.length] = byte
      return bytes
    })
    const any = fc.oneof(changed, fc.uint8Array({ maxLength: manifestBytesMax + 10 }))
    fc.assert(
      fc.property(any, bytes => {
        try {
          const { manifest } = decodeManifest(bytes)
          assert.ok(manifest.objectBytes <= sealedBlockBytesMax && manifest.shards <= 32)
        } catch (error) {
          assert.ok(error instanceof OperationError && error.code === 'manifest_invalid')
        }
      }),
      { numRuns: 2_000 },
    )
  })
})
