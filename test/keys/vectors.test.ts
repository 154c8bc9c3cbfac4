import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { describe, it } from 'node:test'
import { canonicalRequest } from '../../src/key/canonical-request.ts'
import { modelIdFromDigest } from '../../src/key/model-id.ts'
import { limitedKey, lookupKey, responseKey, seedOf } from '../../src/key/response-key.ts'
import { localScope } from '../../src/key/scope.ts'
import { completionFormats } from '../../src/server/endpoints.ts'
import type { JsonObject } from '../../src/std/json.ts'
import { secondKeys, secondLocalSalt } from './second-implementation.ts'
import { type VectorCase, vectorCases } from './vector-cases.ts'

const file = new URL('../../spec/vectors/keys.json', import.meta.url)
const nodeSecret = Uint8Array.from({ length: 32 }, (_, index) => index)
const modelId = modelIdFromDigest('ab'.repeat(32))

interface Vector extends VectorCase {
  readonly canonical: string
  readonly responseKey: string
  readonly lookupKey: string
  /** For a limit of 16 tokens. */
  readonly limitedKey: string
  /** Decimal, unsigned 64 bit. */
  readonly seed: string
}

function vectorOf(given: VectorCase): Vector {
  const scope = localScope(nodeSecret, given.apiKey === '' ? undefined : given.apiKey)
  const canonical = canonicalRequest(requestOf(given), {
    modelId,
    developerRole: false,
    sample: given.sample,
  })
  const key = responseKey(scope, canonical)
  return {
    ...given,
    canonical: new TextDecoder().decode(canonical.bytes),
    responseKey: key,
    lookupKey: lookupKey(key),
    limitedKey: limitedKey(key, 16),
    seed: seedOf(key).toString(),
  }
}

function requestOf({ path, body }: VectorCase): ReturnType<typeof parse> {
  return parse(path, body)
}

function parse(path: string, body: JsonObject) {
  const format = completionFormats.get(path)
  assert.ok(format !== undefined, path)
  return format.parse(body).request
}

describe('spec/vectors/keys.json', () => {
  const vectors = vectorCases.map(vectorOf)
  if (process.env['UPDATE'] === '1') {
    const head = {
      spec: 'spec/keys.md',
      nodeSecret: Buffer.from(nodeSecret).toString('hex'),
      modelId,
      limit: 16,
    }
    writeFileSync(file, `${JSON.stringify({ ...head, vectors }, null, 2)}\n`)
  }
  const stored: { vectors: Vector[] } = JSON.parse(readFileSync(file, 'utf8'))

  it('holds what the code computes (UPDATE=1 rewrites it, to be reviewed as a diff)', () => {
    assert.deepEqual(stored.vectors, vectors)
  })

  for (const vector of vectors) {
    it(`is computed alike by the second implementation: ${vector.name}`, () => {
      const neutral = JSON.parse(JSON.stringify(requestOf(vector)))
      const salt = secondLocalSalt(nodeSecret, vector.apiKey)
      const { canonical, responseKey: key, lookupKey: lookup, limitedKey: limited, seed } = vector
      assert.deepEqual(secondKeys(neutral, salt, modelId, vector.sample), {
        canonical,
        responseKey: key,
        lookupKey: lookup,
        limitedKey: limited,
        seed,
      })
    })
  }

  it('gives the same question one key through every API', () => {
    const same = vectors.filter(({ name }) => name.startsWith('the same question'))
    assert.equal(same.length, 4)
    assert.equal(new Set(same.map(vector => vector.responseKey)).size, 1)
  })

  it('gives different requests different keys', () => {
    const others = vectors.filter(({ name }) => !name.startsWith('the same question'))
    assert.equal(new Set(others.map(vector => vector.responseKey)).size, others.length)
  })
})
