import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { describe, it } from 'node:test'
import { issueStripe, StripeReader } from '../../src/cache/blocks/stripe.ts'
import { parseModelId } from '../../src/key/model-id.ts'
import { parseLookupKey } from '../../src/key/response-key.ts'
import { Identity } from '../../src/net/identity.ts'
import { VirtualClock } from '../../src/std/clock.ts'
import { shardBytesIn } from '../../src/wire/manifest.ts'
import {
  type SecondManifest,
  type SecondManifestCase,
  secondManifest,
} from './second-implementation.ts'

const file = new URL('../../spec/vectors/manifest.json', import.meta.url)
const lifeMs = 30 * 86_400_000
const issuedAt = 1_764_000_000_000

type Vector = SecondManifestCase & SecondManifest

function roots(count: number): readonly string[] {
  return Array.from({ length: count }, (_, index) => (index + 16).toString(16).repeat(32))
}

const common = {
  issuerSeed: '01'.repeat(32),
  lookupKey: 'c0'.repeat(32),
  modelId: `sha256:${'ab'.repeat(32)}`,
  numericClass: 'llama.cpp b7000 · CPU · f16',
  issuedAt,
  expiresAt: issuedAt + lifeMs,
}

const cases: readonly SecondManifestCase[] = [
  { ...common, name: 'sole', objectBytes: 1, dataShards: 1, roots: roots(1) },
  {
    ...common,
    name: 'three copies of a small block',
    issuerSeed: '02'.repeat(32),
    objectBytes: 100_000,
    dataShards: 1,
    roots: ['77'.repeat(32), '77'.repeat(32), '77'.repeat(32)],
  },
  { ...common, name: '4 of 8', objectBytes: 3_000_001, dataShards: 4, roots: roots(8) },
  { ...common, name: '8 of 14', objectBytes: 41_943_040, dataShards: 8, roots: roots(14) },
  {
    ...common,
    name: 'the most shards, a name of an upstream',
    modelId: 'name:Qwen3 ü',
    objectBytes: 8_388_608,
    dataShards: 16,
    roots: roots(32),
  },
]

function vectorOf(given: SecondManifestCase): Vector {
  const lookupKey = parseLookupKey(given.lookupKey)
  const modelId = parseModelId(given.modelId)
  assert.ok(lookupKey !== undefined && modelId !== undefined)
  const { numericClass, objectBytes, dataShards } = given
  const { id, bytes, manifest } = issueStripe(
    {
      lookupKey,
      modelId,
      numericClass,
      objectBytes,
      dataShards,
      shards: given.roots.length,
      roots: Buffer.from(given.roots.join(''), 'hex'),
    },
    Identity.fromSeed(Buffer.from(given.issuerSeed, 'hex')),
    new VirtualClock(given.issuedAt),
  )
  assert.equal(manifest.expiresAt, given.expiresAt)
  return {
    ...given,
    issuer: manifest.issuer,
    shardBytes: shardBytesIn(manifest),
    stripe: id,
    manifest: Buffer.from(bytes).toString('hex'),
  }
}

describe('spec/vectors/manifest.json', () => {
  const vectors = cases.map(vectorOf)
  if (process.env['UPDATE'] === '1') {
    writeFileSync(file, `${JSON.stringify({ spec: 'spec/placement.md', vectors }, null, 2)}\n`)
  }
  const stored: { vectors: Vector[] } = JSON.parse(readFileSync(file, 'utf8'))

  it('holds what the code computes (UPDATE=1 rewrites it, to be reviewed as a diff)', () => {
    assert.deepEqual(stored.vectors, vectors)
  })

  for (const vector of stored.vectors) {
    it(`is computed alike by the second implementation: ${vector.name}`, async () => {
      assert.deepEqual({ ...vector, ...(await secondManifest(vector)) }, vector)
    })

    it(`passes the check: ${vector.name}`, () => {
      const reader = new StripeReader(new VirtualClock(vector.issuedAt))
      const stripe = reader.read(Buffer.from(vector.manifest, 'hex'))
      assert.equal(stripe?.id, vector.stripe)
      assert.equal(stripe?.manifest.objectBytes, vector.objectBytes)
    })
  }
})
