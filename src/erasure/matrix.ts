import { inverse, multiply } from './gf256.ts'

/** A matrix over GF(2⁸), row after row. */
export interface Matrix {
  readonly rows: number
  readonly columns: number
  readonly cells: Uint8Array
}

export function cell(matrix: Matrix, row: number, column: number): number {
  return matrix.cells[row * matrix.columns + column] ?? 0
}

export function createMatrix(
  rows: number,
  columns: number,
  cellAt: (row: number, column: number) => number,
): Matrix {
  const cells = new Uint8Array(rows * columns)
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      cells[row * columns + column] = cellAt(row, column)
    }
  }
  return { rows, columns, cells }
}

export function selectRows(matrix: Matrix, rows: readonly number[]): Matrix {
  return createMatrix(rows.length, matrix.columns, (row, column) =>
    cell(matrix, rows[row] ?? 0, column),
  )
}

export function multiplyMatrices(left: Matrix, right: Matrix): Matrix {
  return createMatrix(left.rows, right.columns, (row, column) => {
    let sum = 0
    for (let index = 0; index < left.columns; index++) {
      sum ^= multiply(cell(left, row, index), cell(right, index, column))
    }
    return sum
  })
}

/**
 * By Gauss–Jordan elimination: what turns the matrix into the identity turns the identity, which
 * stands beside it, into the inverse. @throws RangeError when the matrix has none
 */
export function invert({ rows: size, columns, cells }: Matrix): Matrix {
  if (columns !== size) throw new RangeError('Only a square matrix can be inverted')
  const rows = Array.from({ length: size }, (_, index) => {
    const row = new Uint8Array(2 * size)
    row.set(cells.subarray(index * size, (index + 1) * size))
    row[size + index] = 1
    return row
  })
  for (let column = 0; column < size; column++) {
    const pivot = rows.find((row, index) => index >= column && row[column] !== 0)
    if (pivot === undefined) throw new RangeError('The matrix has no inverse')
    rows.splice(rows.indexOf(pivot), 1)
    rows.splice(column, 0, pivot)
    scale(pivot, inverse(pivot[column] ?? 0))
    for (const row of rows) {
      if (row !== pivot) addMultiple(row, pivot, row[column] ?? 0)
    }
  }
  return createMatrix(size, size, (row, column) => rows[row]?.[size + column] ?? 0)
}

function scale(row: Uint8Array, factor: number): void {
  for (let index = 0; index < row.length; index++) row[index] = multiply(row[index] ?? 0, factor)
}

function addMultiple(target: Uint8Array, source: Uint8Array, factor: number): void {
  if (factor === 0) return
  for (let index = 0; index < target.length; index++) {
    target[index] = (target[index] ?? 0) ^ multiply(source[index] ?? 0, factor)
  }
}
