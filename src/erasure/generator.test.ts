import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { hex, vectors } from '../../test/support/erasure-vectors.ts'
import { cauchyMatrix, planRebuild, vandermondeMatrix } from './generator.ts'
import { invert, selectRows } from './matrix.ts'

const shape = fc.record({
  dataShards: fc.integer({ min: 1, max: 32 }),
  parityShards: fc.integer({ min: 0, max: 32 }),
})

describe('generator', () => {
  it('cauchyMatrix() is that of ISA-L', () => {
    for (const vector of vectors.codes) {
      assert.equal(hex(cauchyMatrix(vector).cells), vector.generator)
    }
  })

  for (const generatorOf of [cauchyMatrix, vandermondeMatrix]) {
    it(`${generatorOf.name}() has an inverse for any choice of shards`, () => {
      fc.assert(
        fc.property(shape, fc.gen(), (code, gen) => {
          const generator = generatorOf(code)
          const rows = Array.from({ length: generator.rows }, (_, row) => row)
          const { dataShards } = code
          const chosen = gen(fc.shuffledSubarray, rows, {
            minLength: dataShards,
            maxLength: dataShards,
          })
          invert(selectRows(generator, chosen))
        }),
      )
    })

    it(`${generatorOf.name}() begins with the data itself`, () => {
      const { cells } = generatorOf({ dataShards: 3, parityShards: 2 })
      assert.deepEqual([...cells.subarray(0, 9)], [1, 0, 0, 0, 1, 0, 0, 0, 1])
    })
  }

  it('planRebuild() takes the first that are present, with the factors of ISA-L', () => {
    for (const vector of vectors.codes) {
      const generator = cauchyMatrix(vector)
      const present = Array.from({ length: generator.rows }, (_, index) => index).filter(
        index => !vector.lost.includes(index),
      )
      const { matrix, sources } = planRebuild(generator, present, vector.lost)
      assert.deepEqual(sources, vector.sources)
      assert.equal(hex(matrix.cells), vector.rebuildMatrix)
    }
  })

  it('planRebuild() throws when too few are present or one does not exist', () => {
    const generator = cauchyMatrix({ dataShards: 3, parityShards: 2 })
    assert.throws(() => planRebuild(generator, [0, 4], [1]), /2 of 3 shards are there/)
    for (const strange of [5, -1, Number.NaN, 0.5]) {
      assert.throws(() => planRebuild(generator, [0, 1, 2], [strange]), RangeError)
      assert.throws(() => planRebuild(generator, [0, 1, strange], [2]), RangeError)
    }
    assert.throws(() => planRebuild(generator, [0, 1, 1], [2]), RangeError, 'one counts once')
  })
})
