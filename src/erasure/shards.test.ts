import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { seededBytes } from '../../test/support/seeded-random.ts'
import { checkShards, joinShards, shardBytesOf, splitObject } from './shards.ts'

describe('shards', () => {
  it('shardBytesOf() is a multiple of 64 that holds the object, and no larger', () => {
    const bytes = fc.integer({ min: 0, max: 1_000_000 })
    fc.assert(
      fc.property(bytes, fc.integer({ min: 1, max: 255 }), (objectBytes, dataShards) => {
        const shardBytes = shardBytesOf(objectBytes, dataShards)
        assert.equal(shardBytes % 64, 0)
        assert.ok(shardBytes * dataShards >= objectBytes)
        assert.ok(shardBytes === 0 || (shardBytes - 64) * dataShards < objectBytes)
      }),
    )
  })

  it('joinShards() undoes splitObject()', () => {
    const bytes = fc.integer({ min: 0, max: 5_000 })
    fc.assert(
      fc.property(bytes, fc.integer({ min: 1, max: 255 }), (objectBytes, dataShards) => {
        const object = seededBytes(objectBytes, objectBytes)
        const shards = splitObject(object, dataShards)
        assert.equal(shards.length, dataShards)
        assert.deepEqual(joinShards(shards, objectBytes), object)
        const padding = Buffer.concat(shards).subarray(objectBytes)
        assert.ok(padding.every(byte => byte === 0))
      }),
    )
  })

  it('splitObject() copies only what must be filled up, into the same kind of memory', () => {
    const object = new Uint8Array(new SharedArrayBuffer(320))
    const [first, second, third] = splitObject(object, 3)
    assert.equal(first?.buffer, object.buffer)
    assert.equal(second?.buffer, object.buffer)
    assert.notEqual(third?.buffer, object.buffer)
    assert.ok(third?.buffer instanceof SharedArrayBuffer)
    const [ordinary] = splitObject(new Uint8Array(1), 1)
    assert.ok(ordinary?.buffer instanceof ArrayBuffer)
  })

  it('refuses what is no object', () => {
    for (const bytes of [-1, 0.5, Number.NaN, 2 ** 53]) {
      assert.throws(() => shardBytesOf(bytes, 2), RangeError)
    }
    assert.throws(() => splitObject(new Uint8Array(1), 0), RangeError)
    assert.throws(() => joinShards([], 0), RangeError)
    assert.throws(() => joinShards([new Uint8Array(64)], 65), /have 128/)
    assert.throws(() => joinShards([new Uint8Array(64), new Uint8Array(0)], 100), /one length/)
  })

  it('checkShards() tells the length, also when none is there', () => {
    assert.equal(checkShards([undefined], { dataShards: 2, objectBytes: 300 }), 192)
  })
})
