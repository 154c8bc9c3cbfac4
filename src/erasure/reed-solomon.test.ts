import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { describe, it } from 'node:test'
import { ReedSolomonErasure } from '@digitaldefiance/reed-solomon-erasure.wasm'
import fc from 'fast-check'
import { fromHex, hex, vectors } from '../../test/support/erasure-vectors.ts'
import { seededBytes, seededRandom } from '../../test/support/seeded-random.ts'
import type { CodeShape } from './code-shape.ts'
import { cauchyMatrix, vandermondeMatrix } from './generator.ts'
import { createKernel } from './kernel/create-kernel.ts'
import { createReedSolomon, type ReedSolomonOptions } from './reed-solomon.ts'

const kernel = createKernel()
const none = Uint8Array.of(1, 2, 3)

function codeOf(options: ReedSolomonOptions): ReturnType<typeof createReedSolomon> {
  return createReedSolomon({ kernel, ...options })
}

function shapeOf({ dataShards, parityShards }: CodeShape): CodeShape {
  return { dataShards, parityShards }
}

function randomData(count: number, bytes: number, seed: number): Uint8Array[] {
  return Array.from({ length: count }, (_, index) => seededBytes(seed + index, bytes))
}

/** Up to `parityShards` of all shards, data and parity alike. */
function lossesOf({ dataShards, parityShards }: CodeShape, seed: number): number[] {
  const random = seededRandom(seed)
  const all = Array.from({ length: dataShards + parityShards }, (_, index) => index)
  const shuffled = all
    .map(index => ({ index, at: random() }))
    .sort((a, b) => a.at - b.at)
    .map(({ index }) => index)
  return shuffled.slice(0, Math.ceil(random() * parityShards))
}

const anyCode = fc.record({
  dataShards: fc.integer({ min: 1, max: 32 }),
  parityShards: fc.integer({ min: 1, max: 32 }),
  bytes: fc.oneof(fc.integer({ min: 0, max: 200 }), fc.integer({ min: 16_000, max: 40_000 })),
  seed: fc.nat(),
})

describe('createReedSolomon()', () => {
  it('encode() makes the parity of ISA-L', () => {
    for (const vector of vectors.codes) {
      const parity = codeOf(shapeOf(vector)).encode(vector.data.map(fromHex))
      assert.deepEqual(parity.map(hex), vector.parity)
    }
  })

  it('reconstruct() makes the shards that the vectors lost', () => {
    for (const vector of vectors.codes) {
      const all = [...vector.data, ...vector.parity]
      const shards = all.map((shard, index) =>
        vector.lost.includes(index) ? undefined : fromHex(shard),
      )
      const rebuilt = codeOf(shapeOf(vector)).reconstruct(shards, vector.lost)
      assert.deepEqual(
        rebuilt.map(hex),
        vector.lost.map(index => all[index]),
      )
    }
  })

  it('encode() makes the parity of reed-solomon-erasure, given its matrix', () => {
    // Its own loaders need `__dirname`, which modules do not have.
    const binary = import.meta.resolve('@digitaldefiance/reed-solomon-erasure.wasm/wasm')
    const oracle = ReedSolomonErasure.fromBytes(readFileSync(new URL(binary)))
    const shape = fc.record({
      dataShards: fc.integer({ min: 1, max: 32 }),
      parityShards: fc.integer({ min: 1, max: 32 }),
      bytes: fc.integer({ min: 1, max: 500 }),
      seed: fc.nat(),
    })
    fc.assert(
      fc.property(shape, ({ dataShards, parityShards, bytes, seed }) => {
        const data = randomData(dataShards, bytes, seed)
        const expected = new Uint8Array((dataShards + parityShards) * bytes)
        data.forEach((shard, index) => {
          expected.set(shard, index * bytes)
        })
        const result = oracle.encode(expected, dataShards, parityShards)
        assert.equal(result, ReedSolomonErasure.RESULT_OK)
        const generator = vandermondeMatrix({ dataShards, parityShards })
        const parity = codeOf({ dataShards, parityShards, generator }).encode(data)
        assert.deepEqual(Buffer.concat([...data, ...parity]), Buffer.from(expected))
      }),
      { numRuns: 60 },
    )
  })

  it('reconstruct() makes any lost shards, data and parity', () => {
    fc.assert(
      fc.property(anyCode, ({ bytes, seed, ...shape }) => {
        const code = codeOf(shape)
        const data = randomData(shape.dataShards, bytes, seed)
        const all = [...data, ...code.encode(data)]
        const lost = lossesOf(shape, seed)
        const left = all.map((shard, index) => (lost.includes(index) ? undefined : shard))
        const rebuilt = code.reconstruct(left, lost)
        lost.forEach((index, at) => {
          assert.equal(Buffer.compare(rebuilt[at] ?? none, all[index] ?? none), 0)
        })
      }),
      { numRuns: 60 },
    )
  })

  it('update() makes the parity that encode() makes of the changed data', () => {
    fc.assert(
      fc.property(anyCode, ({ bytes, seed, ...shape }) => {
        const code = codeOf(shape)
        const data = randomData(shape.dataShards, bytes, seed)
        const parity = code.encode(data)
        const index = seed % shape.dataShards
        const after = seededBytes(seed + 1_000, bytes)
        code.update({ index, before: data[index] ?? after, after }, parity)
        const changed = data.with(index, after)
        code.encode(changed).forEach((expected, row) => {
          assert.equal(Buffer.compare(parity[row] ?? after, expected), 0)
        })
      }),
      { numRuns: 40 },
    )
  })

  it('has the largest codes that there are', () => {
    for (const parityShards of [1, 127, 254]) {
      const shape = { dataShards: 255 - parityShards, parityShards }
      const code = codeOf(shape)
      const data = randomData(shape.dataShards, 33, parityShards)
      const all = [...data, ...code.encode(data)]
      const lost = Array.from({ length: parityShards }, (_, index) => index)
      const rebuilt = code.reconstruct(
        all.map((shard, index) => (index < parityShards ? undefined : shard)),
        lost,
      )
      assert.deepEqual(rebuilt, all.slice(0, parityShards))
    }
  })

  it('has codes without parity', () => {
    const code = codeOf({ dataShards: 2, parityShards: 0 })
    assert.deepEqual(code.encode(randomData(2, 5, 1)), [])
  })

  it('writes to the arrays that it is given', () => {
    const code = codeOf({ dataShards: 2, parityShards: 1 })
    const data = randomData(2, 100, 1)
    const parity = [new Uint8Array(new SharedArrayBuffer(100))]
    assert.equal(code.encode(data, parity), parity)
    const rebuilt = [new Uint8Array(100)]
    code.reconstruct([undefined, data[1], parity[0]], [0], rebuilt)
    assert.deepEqual(rebuilt[0], data[0])
  })

  it('encode() takes any kernel', () => {
    const data = randomData(3, 77, 1)
    const shape = { dataShards: 3, parityShards: 3 }
    const scalar = createReedSolomon({ ...shape, kernel: createKernel('scalar') })
    assert.deepEqual(scalar.encode(data), createReedSolomon(shape).encode(data))
  })

  it('refuses shards that do not fit', () => {
    const code = codeOf({ dataShards: 2, parityShards: 2 })
    const [a, b, c] = randomData(3, 10, 1)
    if (!a || !b || !c) throw new Error('There are three')
    const short = a.subarray(1)
    assert.throws(() => code.encode([a]), /must be 2 shards/)
    assert.throws(() => code.encode([a, b, c]), /must be 2 shards/)
    assert.throws(() => code.encode([a, short]), /one length/)
    assert.throws(() => code.encode([a, b], [c]), /must be 2 shards/)
    assert.throws(() => code.encode([a, b], [c, short]), /one length/)
    assert.throws(() => code.reconstruct([a, undefined, undefined, undefined], [1]), /1 of 2/)
    assert.throws(() => code.reconstruct([a, b, undefined, undefined], [4]), /no shard 4/)
    assert.throws(() => code.update({ index: 2, before: a, after: b }, [a, b]), /no data shard 2/)
    assert.throws(() => code.update({ index: 0, before: a, after: short }, [b, c]), /one length/)
  })

  it('refuses shapes that no code has', () => {
    const shapes = [
      [0, 1],
      [1, -1],
      [128, 128],
      [1.5, 1],
      [Number.NaN, 1],
      [1, Number.POSITIVE_INFINITY],
    ]
    for (const [dataShards = 0, parityShards = 0] of shapes) {
      assert.throws(() => createReedSolomon({ dataShards, parityShards }), RangeError)
    }
    const generator = cauchyMatrix({ dataShards: 3, parityShards: 1 })
    assert.throws(() => codeOf({ dataShards: 2, parityShards: 2, generator }), /generator/)
  })
})
