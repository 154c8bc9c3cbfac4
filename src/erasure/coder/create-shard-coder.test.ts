import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import fc from 'fast-check'
import { hex } from '../../../test/support/erasure-vectors.ts'
import { seededBytes, seededRandom } from '../../../test/support/seeded-random.ts'
import { codedBytesMax, MiB } from '../../limits.ts'
import { hashShard } from '../leaves.ts'
import { createReedSolomon } from '../reed-solomon.ts'
import { splitObject } from '../shards.ts'
import { createShardCoder } from './create-shard-coder.ts'
import type { CodedObject, ShardCoder } from './shard-coder.ts'

const options = { signal: new AbortController().signal }
const shape = { dataShards: 4, parityShards: 3 }

function shared(bytes: Uint8Array): Uint8Array {
  const copy = new Uint8Array(new SharedArrayBuffer(bytes.length))
  copy.set(bytes)
  return copy
}

function sameHashes(
  actual: readonly Uint8Array[] = [],
  expected: readonly Uint8Array[] | undefined,
): void {
  assert.deepEqual(actual.map(hex), expected?.map(hex))
}

function sameBytes(actual: Uint8Array | undefined, expected: Uint8Array | undefined): void {
  assert.ok(actual && expected, 'both are there')
  assert.equal(Buffer.compare(actual, expected), 0)
}

/** The same through the plain functions. */
function twin(object: Uint8Array): Omit<CodedObject, 'shardBytes' | 'objectBytes'> {
  const data = splitObject(object, shape.dataShards)
  const shards = [...data, ...createReedSolomon(shape).encode(data)]
  const trees = shards.map(hashShard)
  return {
    shards,
    leafHashes: trees.map(({ leafHashes }) => leafHashes),
    roots: trees.map(({ root }) => root),
  }
}

/** Without some shards, as many as may be lost. */
function withGaps(shards: readonly Uint8Array[], seed: number): (Uint8Array | undefined)[] {
  const random = seededRandom(seed)
  const left: (Uint8Array | undefined)[] = [...shards]
  for (let losses = 0; losses < shape.parityShards; losses++) {
    left[Math.floor(random() * shards.length)] = undefined
  }
  return left
}

// In place, large ones by the only thread, by two.
for (const threads of [0, 1, 2]) {
  describe(`a shard coder with ${threads} threads`, () => {
    let coder: ShardCoder
    before(async () => {
      coder = createShardCoder({ threads })
      await coder.start(options)
    })
    after(() => coder.stop())

    for (const bytes of [0, 1, 1_000, 300_001, 2 * MiB + 5]) {
      const object = seededBytes(bytes, bytes)

      it(`encode() makes and hashes all shards of ${bytes} bytes`, async () => {
        const expected = twin(object)
        for (const input of [object, shared(object)]) {
          const coded = await coder.encode(input, shape, options)
          coded.shards.forEach((shard, index) => {
            sameBytes(shard, expected.shards[index])
            assert.ok(shard.buffer instanceof SharedArrayBuffer)
          })
          expected.leafHashes.forEach((hashes, index) => {
            sameHashes(coded.leafHashes[index], hashes)
          })
          sameHashes(coded.roots, expected.roots)
          assert.equal(coded.shardBytes, expected.shards[0]?.length)
          assert.equal(coded.objectBytes, bytes)
        }
      })

      it(`decode() and rebuild() undo any loss of ${bytes} bytes`, async () => {
        const { shards, roots } = twin(object)
        for (let seed = 0; seed < 6; seed++) {
          const left = withGaps(seed % 2 === 0 ? shards : shards.map(shared), seed)
          const decoded = await coder.decode(
            { ...shape, shards: left, objectBytes: bytes },
            options,
          )
          sameBytes(decoded, object)
          assert.ok(decoded.buffer instanceof SharedArrayBuffer)
          const wanted = left.flatMap((shard, index) => (shard ? [] : [index]))
          const rebuilt = await coder.rebuild({ ...shape, shards: left, wanted }, options)
          assert.deepEqual(
            rebuilt.map(({ index }) => index),
            wanted,
          )
          for (const { index, shard, root, leafHashes } of rebuilt) {
            sameBytes(shard, shards[index])
            sameHashes([root], roots.slice(index, index + 1))
            assert.equal(leafHashes.length, Math.ceil(shard.length / 65_536))
          }
        }
      })
    }

    it('decode() joins the data shards when all are there', async () => {
      const object = seededBytes(1, 3 * MiB - 1)
      const { shards } = twin(object)
      const left = shards.map((shard, index) => (index < shape.dataShards ? shard : undefined))
      const coded = { ...shape, shards: left, objectBytes: object.length }
      sameBytes(await coder.decode(coded, options), object)
    })

    it('decode() sees a gap where an array was never written to', async () => {
      const object = seededBytes(4, 500_000)
      const { shards } = twin(object)
      const left: (Uint8Array | undefined)[] = []
      left[6] = shards[6]
      for (const index of [1, 2, 3]) left[index] = shards[index]
      const coded = { ...shape, shards: left, objectBytes: object.length }
      sameBytes(await coder.decode(coded, options), object)
    })

    it('encode() without parity hashes the data', async () => {
      const object = seededBytes(5, 800_000)
      const coded = await coder.encode(object, { dataShards: 3, parityShards: 0 }, options)
      sameHashes(
        coded.roots,
        splitObject(object, 3).map(shard => hashShard(shard).root),
      )
    })

    it('encode() copies a shared object only where it is filled up', async () => {
      const object = shared(seededBytes(2, 3 * MiB + 1))
      const { shards } = await coder.encode(object, shape, options)
      assert.deepEqual(
        shards.slice(0, 4).map(({ buffer }) => buffer === object.buffer),
        [true, true, true, false],
      )
    })

    it('hash() makes the trees of shards', async () => {
      const shards = [seededBytes(1, MiB - 3), seededBytes(2, MiB - 3)]
      const trees = await coder.hash(shards, options)
      trees.forEach((tree, index) => {
        const expected = hashShard(shards[index] ?? new Uint8Array())
        sameHashes([tree.root], [expected.root])
        sameHashes(tree.leafHashes, expected.leafHashes)
      })
      assert.deepEqual(await coder.hash([], options), [])
    })

    it('works on many objects at once', async () => {
      const objects = Array.from({ length: 8 }, (_, index) => seededBytes(index, 700_000 + index))
      const coded = await Promise.all(objects.map(object => coder.encode(object, shape, options)))
      coded.forEach(({ roots }, index) => {
        sameHashes(roots, twin(objects[index] ?? new Uint8Array()).roots)
      })
    })

    it('refuses what does not fit', async () => {
      const shards = twin(seededBytes(1, 1_000)).shards
      const decode = (change: object): Promise<Uint8Array> =>
        coder.decode({ ...shape, shards, objectBytes: 1_000, ...change }, options)
      const few = shards.map((shard, index) => (index < 3 ? shard : undefined))
      await assert.rejects(decode({ shards: few }), /3 of 4 shards/)
      await assert.rejects(decode({ shards: shards.slice(1) }), /7 shards or gaps/)
      await assert.rejects(decode({ shards: shards.with(1, new Uint8Array(1)) }), /one length/)
      await assert.rejects(decode({ objectBytes: 10 ** 9 }), RangeError)
      await assert.rejects(decode({ objectBytes: -1 }), RangeError)
      await assert.rejects(decode({ dataShards: 0 }), RangeError)
      const rebuild = { ...shape, shards, wanted: [7] }
      await assert.rejects(coder.rebuild(rebuild, options), /no shard 7/)
      // Never written to, so that the system makes no room for it.
      const large = new Uint8Array(new SharedArrayBuffer(codedBytesMax))
      await assert.rejects(coder.encode(large, shape, options), /more than/)
      const uneven = [new Uint8Array(1), new Uint8Array(2)]
      await assert.rejects(coder.hash(uneven, options), /one length/)
    })
  })
}

describe('createShardCoder()', () => {
  it('decode() throws nothing but RangeError, whatever a manifest says', async () => {
    const coder = createShardCoder({ threads: 0 })
    await coder.start(options)
    const number = fc.oneof(fc.integer({ min: -2, max: 300 }), fc.double(), fc.integer())
    const bytes = fc.uint8Array({ maxLength: 70 })
    await fc.assert(
      fc.asyncProperty(
        fc.record({ dataShards: number, parityShards: number, objectBytes: number }),
        fc.array(fc.option(bytes, { nil: undefined }), { maxLength: 9 }),
        async (numbers, shards) => {
          try {
            const object = await coder.decode({ ...numbers, shards }, options)
            assert.equal(object.length, numbers.objectBytes)
          } catch (error) {
            assert.ok(error instanceof RangeError, String(error))
          }
        },
      ),
      { numRuns: 300 },
    )
    await coder.stop()
  })

  it('refuses a number of threads that is none', () => {
    for (const threads of [-1, 1.5, Number.NaN]) {
      assert.throws(() => createShardCoder({ threads }), RangeError)
    }
  })
})
