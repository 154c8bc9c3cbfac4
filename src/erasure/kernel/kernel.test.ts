import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { seededBytes } from '../../../test/support/seeded-random.ts'
import { multiply } from '../gf256.ts'
import { cell, createMatrix, type Matrix } from '../matrix.ts'
import { createKernel } from './create-kernel.ts'
import type { Kernel, KernelName, ShardProduct } from './kernel.ts'

const names: readonly KernelName[] = ['relaxed', 'plain', 'scalar']

/** The definition of a product, byte by byte. */
function twin({ matrix, inputs }: Pick<ShardProduct, 'matrix' | 'inputs'>): Uint8Array[] {
  const shardBytes = inputs[0]?.length ?? 0
  return Array.from({ length: matrix.rows }, (_, row) =>
    Uint8Array.from({ length: shardBytes }, (_, at) =>
      inputs.reduce(
        (sum, input, column) => sum ^ multiply(cell(matrix, row, column), input[at] ?? 0),
        0,
      ),
    ),
  )
}

function randomMatrix(rows: number, columns: number, seed: number): Matrix {
  return { rows, columns, cells: seededBytes(seed, rows * columns) }
}

function randomShards(count: number, bytes: number, seed: number): Uint8Array[] {
  return Array.from({ length: count }, (_, index) => seededBytes(seed + index, bytes))
}

function emptyShards(count: number, bytes: number): Uint8Array[] {
  return Array.from({ length: count }, () => new Uint8Array(bytes).fill(0xee))
}

function kernelOrSkip(name: KernelName): Kernel | undefined {
  try {
    return createKernel(name)
  } catch (error) {
    if (error instanceof RangeError) return undefined
    throw error
  }
}

for (const name of names) {
  const kernel = kernelOrSkip(name)
  const skip = kernel === undefined && `this engine cannot run the ${name} kernel`

  describe(`the ${name} kernel`, { skip }, () => {
    if (kernel === undefined) return

    it('agrees with the definition for any matrix and length', () => {
      const length = fc.integer({ min: 0, max: 300 })
      const side = fc.integer({ min: 1, max: 32 })
      fc.assert(
        fc.property(side, side, length, fc.nat(), (rows, columns, bytes, seed) => {
          const matrix = randomMatrix(rows, columns, seed)
          const inputs = randomShards(columns, bytes, seed + 1)
          const outputs = emptyShards(rows, bytes)
          kernel.bind({ matrix, inputs, outputs })(0, bytes)
          assert.deepEqual(outputs, twin({ matrix, inputs }))
        }),
        { numRuns: 60 },
      )
    })

    it('agrees with the definition when shards have several strips', () => {
      for (const bytes of [16_384, 16_385, 32_767, 50_001]) {
        const matrix = randomMatrix(3, 5, bytes)
        const inputs = randomShards(5, bytes, bytes)
        const outputs = emptyShards(3, bytes)
        kernel.bind({ matrix, inputs, outputs })(0, bytes)
        const expected = twin({ matrix, inputs })
        outputs.forEach((output, row) => {
          assert.equal(Buffer.compare(output, expected[row] ?? output.subarray(1)), 0)
        })
      }
    })

    it('writes the bytes of the range, and no others', () => {
      const matrix = randomMatrix(2, 3, 1)
      const inputs = randomShards(3, 1_000, 2)
      const outputs = emptyShards(2, 1_000)
      kernel.bind({ matrix, inputs, outputs })(101, 333)
      const expected = twin({ matrix, inputs })
      outputs.forEach((output, row) => {
        assert.ok(output.subarray(0, 101).every(byte => byte === 0xee))
        assert.deepEqual(output.subarray(101, 333), expected[row]?.subarray(101, 333))
        assert.ok(output.subarray(333).every(byte => byte === 0xee))
      })
    })

    it('serves products of different sizes in turns', () => {
      const products = [
        [1, 1],
        [100, 120],
        [2, 3],
      ].map(([rows = 0, columns = 0]) => {
        const matrix = randomMatrix(rows, columns, rows)
        const inputs = randomShards(columns, 200, columns)
        const outputs = emptyShards(rows, 200)
        return { matrix, inputs, outputs, run: kernel.bind({ matrix, inputs, outputs }) }
      })
      for (const start of [0, 100]) for (const { run } of products) run(start, start + 100)
      for (const product of products) assert.deepEqual(product.outputs, twin(product))
    })

    it('reads and writes shared memory, at any place in it', () => {
      const matrix = randomMatrix(2, 2, 5)
      const memory = new SharedArrayBuffer(4 * 100)
      const [a, b, c, d] = [1, 101, 201, 301].map(at => new Uint8Array(memory, at, 97))
      if (!a || !b || !c || !d) throw new Error('There are four')
      a.set(seededBytes(1, 97))
      b.set(seededBytes(2, 97))
      kernel.bind({ matrix, inputs: [a, b], outputs: [c, d] })(0, 97)
      const expected = twin({ matrix, inputs: [a, b] })
      assert.deepEqual([c, d].map(Buffer.from), expected.map(Buffer.from))
    })

    it('writes an output over an input', () => {
      const matrix = randomMatrix(3, 3, 7)
      const shards = randomShards(3, 40_000, 8)
      const expected = twin({ matrix, inputs: shards })
      kernel.bind({ matrix, inputs: shards, outputs: shards })(0, 40_000)
      shards.forEach((shard, row) => {
        assert.equal(Buffer.compare(shard, expected[row] ?? shard.subarray(1)), 0)
      })
    })

    it('multiplies by zero and one', () => {
      const inputs = randomShards(2, 50, 3)
      const outputs = emptyShards(2, 50)
      const matrix = createMatrix(2, 2, (row, column) => (row === 0 && column === 1 ? 1 : 0))
      kernel.bind({ matrix, inputs, outputs })(0, 50)
      assert.deepEqual(outputs, [inputs[1], new Uint8Array(50)])
    })
  })
}

describe('createKernel()', () => {
  it('takes the fastest that there is', () => {
    const fastest = names.find(name => kernelOrSkip(name) !== undefined)
    assert.equal(createKernel().name, fastest)
  })

  it('takes the scalar one where there is no WebAssembly', () => {
    const property = Object.getOwnPropertyDescriptor(globalThis, 'WebAssembly')
    assert.ok(property)
    Reflect.deleteProperty(globalThis, 'WebAssembly')
    try {
      assert.equal(createKernel().name, 'scalar')
      assert.throws(() => createKernel('plain'), RangeError)
    } finally {
      Object.defineProperty(globalThis, 'WebAssembly', property)
    }
  })
})
