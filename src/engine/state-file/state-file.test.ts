import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { OperationError } from '../../errors.ts'
import { blockBytes, blockTokens, type StateLayout } from '../../key/state-layout.ts'
import {
  cutBlock,
  joinBlocks,
  layoutOf,
  type PlacedPieces,
  parseStateFile,
  placeBlocks,
  placeHeaders,
  stateFileBytes,
} from './state-file.ts'

/** Rows of different sizes, so that a mix-up of keys, values or layers shows. */
const layout: StateLayout = {
  layers: [
    { keyBytes: 6, valueBytes: 4 },
    { keyBytes: 2, valueBytes: 8 },
  ],
  settings: 'none',
}

interface Made {
  readonly tokenIds: readonly number[]
  readonly blocks: readonly Uint8Array[]
  readonly sequences: number
}

function make(blockCount: number, sequences = 1, seed = 1): Made {
  let state = seed
  const next = (): number => {
    state = (state * 1_103_515_245 + 12_345) % 2 ** 31
    return state
  }
  return {
    tokenIds: Array.from({ length: blockCount * blockTokens }, next),
    blocks: Array.from({ length: blockCount }, () =>
      Uint8Array.from({ length: blockBytes(layout) }, next),
    ),
    sequences,
  }
}
const joined = (made: Made): Buffer => Buffer.concat(joinBlocks({ layout, ...made }))
/** A file that was written so; each byte of it once. */
const written = (placed: readonly PlacedPieces[], size: number): Buffer => {
  const file = Buffer.alloc(size)
  let bytes = 0
  for (const { start, pieces } of placed) {
    let end = start
    for (const piece of pieces) {
      file.set(piece, end)
      end += piece.length
    }
    bytes += end - start
  }
  assert.equal(bytes, size)
  return file
}
const changed = (bytes: Buffer, offset: number, value: number): Buffer => {
  const copy = Buffer.from(bytes)
  copy.writeUInt32LE(value, offset)
  return copy
}
const refused = (bytes: Uint8Array, reason?: RegExp): void => {
  assert.throws(
    () => parseStateFile(bytes),
    (error: unknown) => {
      assert.ok(error instanceof OperationError, String(error))
      assert.equal(error.code, 'block_invalid')
      if (reason !== undefined) assert.match(error.message, reason)
      return true
    },
  )
}

describe('state files', () => {
  it('parseStateFile() and cutBlock() give back what joinBlocks() joined', () => {
    const sizes = fc.record({
      blocks: fc.integer({ min: 1, max: 5 }),
      sequences: fc.integer({ min: 1, max: 8 }),
      seed: fc.nat(),
    })
    fc.assert(
      fc.property(sizes, ({ blocks, sequences, seed }) => {
        const made = make(blocks, sequences, seed)
        const state = parseStateFile(joined(made))
        assert.deepEqual(state.tokenIds, made.tokenIds)
        assert.equal(state.sequences, sequences)
        assert.deepEqual(layoutOf(state, 'none'), layout)
        for (const [index, block] of made.blocks.entries()) {
          const rows = cutBlock(state, index)
          assert.ok(rows.buffer instanceof SharedArrayBuffer)
          assert.ok(Buffer.from(rows).equals(block), `block ${index}`)
        }
      }),
      { numRuns: 30 },
    )
  })

  it('parseStateFile() takes the list of tokens as llama-server packs it', () => {
    const made = make(1)
    const plain = joined(made)
    const [tokens, rest] = [plain.subarray(12, 12 + 128 * 4), plain.subarray(12 + 128 * 4)]
    const packed = (...around: number[]): Buffer => {
      const [count, form, ids, media] = around.map(value => {
        const word = Buffer.alloc(4)
        word.writeInt32LE(value)
        return word
      })
      assert.ok(count !== undefined && form !== undefined)
      assert.ok(ids !== undefined && media !== undefined)
      const minus = Buffer.from('ffffffff', 'hex')
      return Buffer.concat([plain.subarray(0, 8), count, minus, form, ids, tokens, media, rest])
    }
    assert.deepEqual(parseStateFile(packed(132, 1, 128, 0)).tokenIds, made.tokenIds)
    for (const [form, ids, media] of [
      [2, 128, 0],
      [1, 127, 0],
      [1, 0x7fff_ffff, 0],
      [1, -1, 0],
      [1, 128, 1],
    ] as const) {
      refused(packed(132, form, ids, media), /only of tokens/)
    }
  })

  it('stateFileBytes() tells the size of what joinBlocks() joined', () => {
    for (const [blocks, sequences] of [
      [1, 1],
      [3, 8],
    ] as const) {
      const made = make(blocks, sequences)
      assert.equal(stateFileBytes({ layout, sequences }, blocks * 128), joined(made).length)
    }
  })

  it('joinBlocks() copies no rows', () => {
    const made = make(3)
    const pieces = joinBlocks({ layout, ...made })
    const views = pieces.filter(piece => made.blocks.some(block => block.buffer === piece.buffer))
    const viewed = views.reduce((sum, piece) => sum + piece.length, 0)
    assert.equal(viewed, 3 * blockBytes(layout))
  })

  it('placeHeaders() and placeBlocks(), in any order, write what joinBlocks() joins', () => {
    const cases = fc.record({
      blocks: fc.integer({ min: 1, max: 6 }),
      sequences: fc.integer({ min: 1, max: 8 }),
      seed: fc.nat(),
      cuts: fc.array(fc.boolean(), { minLength: 6, maxLength: 6 }),
      order: fc.array(fc.nat(), { minLength: 64, maxLength: 64 }),
    })
    fc.assert(
      fc.property(cases, ({ blocks, sequences, seed, cuts, order }) => {
        const made = make(blocks, sequences, seed)
        const form = { layout, sequences }
        const tokens = made.tokenIds.length
        const placed = [...placeHeaders(form, made.tokenIds)]
        let from = 0
        for (let end = 1; end <= blocks; end++) {
          if (end < blocks && !cuts[end]) continue
          const batch = made.blocks.slice(from, end)
          placed.push(...placeBlocks(form, { tokens, from, blocks: batch }))
          from = end
        }
        const shuffled = placed
          .map((piece, index) => [order[index] ?? 0, piece] as const)
          .sort(([a], [b]) => a - b)
          .map(([, piece]) => piece)
        assert.ok(written(shuffled, stateFileBytes(form, tokens)).equals(joined(made)))
      }),
      { numRuns: 50 },
    )
  })

  it('placeBlocks() copies no rows, and refuses what is not as large as the layout says', () => {
    const made = make(2)
    const form = { layout, sequences: 1 }
    const what = { tokens: 256, from: 0, blocks: made.blocks }
    const pieces = placeBlocks(form, what).flatMap(placed => placed.pieces)
    const views = pieces.filter(piece => made.blocks.some(block => block.buffer === piece.buffer))
    assert.equal(views.length, pieces.length)
    for (const wrong of [new Uint8Array(), made.blocks[0]?.subarray(1) ?? new Uint8Array()]) {
      assert.throws(() => placeBlocks(form, { ...what, blocks: [wrong] }), {
        code: 'block_invalid',
      })
    }
    assert.throws(() => placeBlocks(form, { ...what, from: 1 }), { name: 'AssertionError' })
  })

  it('joinBlocks() refuses a block that is not as large as the layout says', () => {
    const made = make(2)
    const [first] = made.blocks
    assert.ok(first !== undefined)
    for (const wrong of [first.subarray(1), new Uint8Array(), Buffer.concat([first, first])]) {
      assert.throws(() => joinBlocks({ layout, ...made, blocks: [first, wrong] }), {
        code: 'block_invalid',
      })
    }
  })

  const file = joined(make(2, 2))
  const tokenEnd = 12 + 256 * 4
  const cells = tokenEnd + 8
  const layers = cells + 256 * 12
  const hostile: readonly [string, Uint8Array, RegExp][] = [
    ['nothing', new Uint8Array(), /ends before/],
    ['another magic', changed(file, 0, 1), /does not begin/],
    ['the version of another release', changed(file, 4, 4), /version/],
    ['no token', changed(file, 8, 0), /no token/],
    ['a huge count of tokens', changed(file, 8, 0xffff_ffff), /ends before its token ids/],
    ['fewer tokens than cells', changed(file, 8, 255), /cannot be used/],
    ['a negative token id', changed(file, 16, 0xffff_ffff), /negative/],
    [
      'a list of tokens that llama-server has not packed',
      changed(file, 12, 0xffff_ffff),
      /only of/,
    ],
    ['a huge count of streams', changed(file, tokenEnd, 0xffff_ffff), /ends before its streams/],
    ['no stream', changed(file, tokenEnd, 0), /none of its streams/],
    ['a huge count of cells', changed(file, tokenEnd + 4, 0x7fff_ffff), /as many cells/],
    ['fewer cells than tokens', changed(file, tokenEnd + 4, 128), /as many cells/],
    ['a negative position', changed(file, cells, 0xffff_fff9), /positions/],
    ['a position twice', changed(file, cells + 12, 0), /positions/],
    ['a cell without an owner', changed(file, cells + 4, 0), /owner/],
    ['a cell with a huge count of owners', changed(file, cells + 4, 0xffff_ffff), /owner/],
    ['a cell of a sequence that is not there', changed(file, cells + 8, 2), /no sequence/],
    ['transposed values', changed(file, layers, 1), /transposed/],
    ['no layer', changed(file, layers + 4, 0), /no layer/],
    ['a huge count of layers', changed(file, layers + 4, 0xffff_ffff), /ends before its layers/],
    ['more layers', changed(file, layers + 4, 3), /cannot be used/],
    ['f32 rows', changed(file, layers + 8, 0), /not f16/],
    ['q8_0 rows', changed(file, layers + 8, 8), /not f16/],
    ['odd rows', changed(file, layers + 12, 5), /whole f16/],
    ['empty rows', changed(file, layers + 12, 0), /whole f16/],
    ['longer rows', changed(file, layers + 12, 8), /cannot be used/],
    ['a huge row', changed(file, layers + 12, 0xffff_fffe), /ends before its rows/],
    ['an absurd row', changed(file, layers + 16, 0xffff_ffff), /absurd/],
    ['trailing bytes', Buffer.concat([file, Buffer.alloc(1)]), /bytes follow/],
    ['a second stream with tokens', changed(file, file.length - 4, 256), /more than one/],
  ]
  for (const [what, bytes, reason] of hostile) {
    it(`parseStateFile() refuses ${what}`, () => refused(bytes, reason))
  }

  it('parseStateFile() refuses every truncation', () => {
    const small = joined(make(1))
    for (let length = 0; length < small.length; length++) refused(small.subarray(0, length))
  })

  it('parseStateFile() throws nothing but block_invalid, whatever the bytes', () => {
    const parses = (bytes: Uint8Array): void => {
      try {
        const { tokenIds, layers } = parseStateFile(bytes)
        const held = layers.reduce((sum, { key, value }) => sum + key.length + value.length, 0)
        assert.ok(held + tokenIds.length * 16 < bytes.length)
      } catch (error) {
        assert.ok(error instanceof OperationError && error.code === 'block_invalid', String(error))
      }
    }
    const small = joined(make(1, 2))
    const flips = fc.array(
      fc.record({ at: fc.nat(small.length - 1), to: fc.nat(255), low: fc.boolean() }),
      { minLength: 1, maxLength: 4 },
    )
    fc.assert(
      fc.property(flips, mutations => {
        const bytes = Buffer.from(small)
        // Half of them in the headers, where the counts are.
        for (const { at, to, low } of mutations) bytes[low ? at % 24 : at] = to
        parses(bytes)
      }),
      { numRuns: 500 },
    )
    const begins = Buffer.from(small.subarray(0, 8))
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), random => {
        parses(random)
        parses(Buffer.concat([begins, random]))
      }),
      { numRuns: 500 },
    )
  })
})
