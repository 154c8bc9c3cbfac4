import { multiply } from '../gf256.ts'
import { cell } from '../matrix.ts'
import { type Kernel, type RunProduct, type ShardProduct, stripBytesOf } from './kernel.ts'

/** Byte by byte through tables: a tenth of the speed of SIMD, on any machine. */
export function createScalarKernel(): Kernel {
  return { name: 'scalar', bind: bindScalar }
}

function bindScalar({ matrix, inputs, outputs }: ShardProduct): RunProduct {
  const tables = outputs.map((_, row) =>
    inputs.map((_, column) => productsOf(cell(matrix, row, column))),
  )
  const stripBytes = stripBytesOf(matrix)
  // The sums of a strip are kept apart until all are made: an output may be an input too.
  const sums = outputs.map(() => new Uint8Array(stripBytes))
  return (start, end) => {
    for (let from = start; from < end; from += stripBytes) {
      const to = Math.min(from + stripBytes, end)
      sums.forEach((sum, row) => {
        sum.fill(0)
        inputs.forEach((input, column) => {
          addProducts(sum, input.subarray(from, to), tables[row]?.[column] ?? zeros)
        })
      })
      outputs.forEach((output, row) => {
        output.set((sums[row] ?? zeros).subarray(0, to - from), from)
      })
    }
  }
}

const zeros = new Uint8Array(256)

/** What each byte becomes when multiplied by `factor`. */
function productsOf(factor: number): Uint8Array {
  return Uint8Array.from({ length: 256 }, (_, byte) => multiply(factor, byte))
}

function addProducts(sum: Uint8Array, bytes: Uint8Array, products: Uint8Array): void {
  for (let at = 0; at < bytes.length; at++) {
    sum[at] = (sum[at] ?? 0) ^ (products[bytes[at] ?? 0] ?? 0)
  }
}
