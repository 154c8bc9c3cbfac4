import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { hex, objectOf, vectors } from '../../test/support/erasure-vectors.ts'
import { hashLeaf, merkleRoot } from '../std/merkle.ts'
import { hashShard, leafBytes, leafCountOf } from './leaves.ts'
import { createReedSolomon } from './reed-solomon.ts'
import { shardBytesOf, splitObject } from './shards.ts'

describe('leaves', () => {
  it('hashShard() of coded objects is that of the vectors', () => {
    for (const vector of vectors.objects) {
      const data = splitObject(objectOf(vector), vector.dataShards)
      const shards = [...data, ...createReedSolomon(vector).encode(data)]
      const trees = shards.map(hashShard)
      assert.equal(shardBytesOf(vector.objectBytes, vector.dataShards), vector.shardBytes)
      assert.equal(leafCountOf(vector.shardBytes), vector.leafCount)
      assert.deepEqual(
        trees.map(({ root }) => hex(root)),
        vector.roots,
      )
      assert.deepEqual(
        trees.flatMap(({ leafHashes }) => leafHashes.slice(0, 1)).map(hex),
        vector.firstLeafHashes,
      )
    }
  })

  it('hashShard() hashes every leaf, in shared memory too', () => {
    const shard = new Uint8Array(new SharedArrayBuffer(2 * leafBytes + 5))
    shard.fill(1, leafBytes)
    const expected = [0, 1, 2].map(leaf =>
      hashLeaf(shard.slice(leaf * leafBytes, (leaf + 1) * leafBytes)),
    )
    assert.deepEqual(hashShard(shard), { leafHashes: expected, root: merkleRoot(expected) })
  })
})
