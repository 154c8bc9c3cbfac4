import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { createMatrix, invert, type Matrix, multiplyMatrices, selectRows } from './matrix.ts'

const square = fc
  .integer({ min: 1, max: 12 })
  .chain(size =>
    fc
      .uint8Array({ minLength: size * size, maxLength: size * size })
      .map((cells): Matrix => ({ rows: size, columns: size, cells })),
  )

function identity(size: number): Matrix {
  return createMatrix(size, size, (row, column) => (row === column ? 1 : 0))
}

describe('matrix', () => {
  it('invert() gives what multiplies to the identity from both sides', () => {
    let inverted = 0
    fc.assert(
      fc.property(square, matrix => {
        let inverse: Matrix
        try {
          inverse = invert(matrix)
        } catch (error) {
          // Few random matrices have none.
          assert.ok(error instanceof RangeError)
          return
        }
        inverted += 1
        assert.deepEqual(multiplyMatrices(matrix, inverse), identity(matrix.rows))
        assert.deepEqual(multiplyMatrices(inverse, matrix), identity(matrix.rows))
      }),
    )
    assert.ok(inverted > 50, `${inverted} had an inverse`)
  })

  it('invert() throws when a row is the sum of others', () => {
    fc.assert(
      fc.property(square, matrix => {
        const { rows: size, cells } = matrix
        const sum = createMatrix(1, size, (_, column) => {
          let total = 0
          for (let row = 1; row < size; row++) total ^= cells[row * size + column] ?? 0
          return total
        })
        const singular = createMatrix(size, size, (row, column) =>
          row === 0 ? (sum.cells[column] ?? 0) : (cells[row * size + column] ?? 0),
        )
        assert.throws(() => invert(singular), RangeError)
      }),
    )
  })

  it('invert() leaves its argument as it is', () => {
    const matrix = createMatrix(2, 2, (row, column) => 1 + 2 * row + column)
    invert(matrix)
    assert.deepEqual([...matrix.cells], [1, 2, 3, 4])
  })

  it('invert() refuses a matrix that is not square', () => {
    assert.throws(() => invert(createMatrix(2, 3, () => 1)), RangeError)
  })

  it('selectRows() takes rows in the order given', () => {
    const matrix = createMatrix(3, 2, (row, column) => 10 * row + column)
    assert.deepEqual([...selectRows(matrix, [2, 0]).cells], [20, 21, 0, 1])
  })
})
