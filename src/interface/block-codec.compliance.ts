import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import type { OperationError } from '../errors.ts'
import { type BlockHash, blockHashes, blockRoot, type StateKind } from '../key/block-hash.ts'
import { localScope } from '../key/scope.ts'
import { blockBytes, blockTokens } from '../key/state-layout.ts'
import { MiB } from '../limits.ts'
import { nonceOf, sealBlock } from '../wire/block/sealed-block.ts'
import { encodeBlockHead } from '../wire/block/state-block.ts'
import type { BlockCodec, BlockIdentity } from './block-codec.ts'

const scope = localScope(new Uint8Array(32).fill(5), undefined)
const nonce = new Uint8Array(12).fill(9)

/** Small: 3 layers, 10 KiB per block. */
export const smallKind: StateKind = {
  numericClass: 'sha256:00 · test 1 · cpu · flash attention · f16',
  layout: {
    layers: [
      { keyBytes: 16, valueBytes: 16 },
      { keyBytes: 16, valueBytes: 0 },
      { keyBytes: 16, valueBytes: 16 },
    ],
    settings: 'rope 10000',
  },
}

/** So many bytes per block that no codec should do it on the event loop. */
export const largeKind: StateKind = {
  numericClass: smallKind.numericClass,
  layout: {
    layers: Array.from({ length: 16 }, () => ({ keyBytes: 2_048, valueBytes: 2_048 })),
    settings: 'rope 10000',
  },
}

export function testTokens(blocks: number): readonly number[] {
  return Array.from({ length: blocks * blockTokens }, (_, index) => (index * 7_919) % 50_257)
}

export function testBlock(kind: StateKind, index = 0): BlockIdentity {
  const tokenIds = testTokens(index + 1)
  const hash = blockHashes(blockRoot(scope, kind), tokenIds)[index]
  assert.ok(hash)
  return { hash, kind, index, tokenIds: tokenIds.slice(index * blockTokens) }
}

/** Finite rows that follow from a seed. */
export function testRows(kind: StateKind, seed = 1): Uint8Array {
  const words = new Uint32Array(blockBytes(kind.layout) / 4)
  let state = seed
  for (let index = 0; index < words.length; index++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    // Without the highest bit of both exponents.
    words[index] = state & 0xbfff_bfff
  }
  return new Uint8Array(words.buffer)
}

export function isShared(bytes: Uint8Array): boolean {
  return bytes.buffer instanceof SharedArrayBuffer
}

/** What a peer that knows the prompt could make: sealed as it should be, whatever is in it. */
function sealedOf(hash: BlockHash, ...plain: readonly Uint8Array[]): Uint8Array {
  return sealBlock(hash, plain, nonce)
}

function invalid(why: RegExp): (error: OperationError) => boolean {
  return ({ code, message }) => code === 'block_invalid' && why.test(message)
}

/** The contract of `BlockCodec`, in code. `create` makes one; the suite starts and stops it. */
export function blockCodecCompliance(name: string, create: () => BlockCodec): void {
  describe(`${name} as a block codec`, () => {
    const codec = create()
    before(() => codec.start({ signal: new AbortController().signal }))
    after(async () => {
      await codec.stop()
      await codec.stop()
    })
    for (const [size, kind] of [
      ['small', smallKind],
      ['large', largeKind],
    ] as const) {
      roundTrips(codec, size, kind)
      refusals(codec, size, kind)
    }
    it('does many at once', async () => {
      const rows = [1, 2, 3, 4, 5, 6, 7, 8].map(seed => testRows(smallKind, seed))
      const blocks = rows.map((_, index) => testBlock(smallKind, index))
      const all = blocks.map(async (block, index) => {
        const sealed = await codec.seal(block, rows[index] ?? new Uint8Array())
        return Buffer.compare(await codec.open(block, sealed), rows[index] ?? new Uint8Array())
      })
      assert.deepEqual(new Set(await Promise.all(all)), new Set([0]))
    })
  })
}

function roundTrips(codec: BlockCodec, size: string, kind: StateKind): void {
  const block = testBlock(kind, 3)
  const rows = testRows(kind)

  it(`open() returns the rows that seal() was given: ${size}`, async () => {
    const sealed = await codec.seal(block, rows)
    const opened = await codec.open(block, sealed)
    assert.equal(Buffer.compare(opened, rows), 0)
    assert.ok(isShared(sealed) && isShared(opened), 'threads can go on with it')
    assert.equal(opened.byteOffset % 64, 0)
    const again = await codec.seal(block, rows)
    assert.notEqual(Buffer.compare(again, sealed), 0, 'a nonce is used once')
  })

  it(`seal() with the nonce of a seal makes the same bytes again: ${size}`, async () => {
    const sealed = await codec.seal(block, rows)
    const expected = sealed.slice()
    const opened = await codec.openInPlace(block, sealed)
    const again = await codec.seal(block, opened, nonceOf(expected))
    assert.equal(Buffer.compare(again, expected), 0)
  })

  it(`takes bytes in shared memory, and at odd places: ${size}`, async () => {
    const shared = new Uint8Array(new SharedArrayBuffer(rows.length))
    shared.set(rows)
    const sealed = await codec.seal(block, shared)
    const odd = new Uint8Array(sealed.length + 1).subarray(1)
    odd.set(sealed)
    assert.equal(Buffer.compare(await codec.open(block, odd), rows), 0)
    const oddRows = new Uint8Array(rows.length + 1).subarray(1)
    oddRows.set(rows)
    const opened = await codec.open(block, await codec.seal(block, oddRows))
    assert.equal(Buffer.compare(opened, rows), 0)
  })

  it(`openInPlace() opens in the memory of the sealed block, or elsewhere: ${size}`, async () => {
    const sealed = await codec.seal(block, rows)
    const opened = await codec.openInPlace(block, sealed.slice())
    assert.equal(Buffer.compare(opened, rows), 0)
    const again = await codec.openInPlace(block, sealed)
    assert.equal(Buffer.compare(again, rows), 0)
    assert.ok(isShared(opened) && isShared(again), 'threads can go on with it')
    const altered = await codec.seal(block, rows)
    altered[altered.length - 1] = (altered.at(-1) ?? 0) ^ 1
    await assert.rejects(codec.openInPlace(block, altered), invalid(/altered/))
    await assert.rejects(codec.openInPlace(block, altered.subarray(1)), invalid(/bytes, not/))
  })

  it(`the seal hides what is in it: ${size}`, async () => {
    const sealed = Buffer.from(await codec.seal(block, rows))
    for (const text of ['HSKV', kind.numericClass, Buffer.from(rows.subarray(0, 32))]) {
      assert.equal(sealed.includes(text), false)
    }
  })
}

function refusals(codec: BlockCodec, size: string, kind: StateKind): void {
  const block = testBlock(kind, 3)
  const rows = testRows(kind)
  const head = encodeBlockHead(block)

  it(`open() refuses a block that is sealed under its hash, but is another: ${size}`, async () => {
    const { layout, numericClass } = kind
    const others: readonly (readonly [RegExp, Partial<BlockIdentity>])[] = [
      [/another class/, { kind: { layout, numericClass: `${numericClass.slice(0, -3)}q80` } }],
      [
        /settings differ/,
        { kind: { numericClass, layout: { ...layout, settings: 'rope 50000' } } },
      ],
      [
        /layers differ/,
        { kind: { numericClass, layout: { ...layout, layers: layout.layers.toReversed() } } },
      ],
      [/another place/, { index: 4 }],
      [/other tokens/, { tokenIds: block.tokenIds.with(127, 4) }],
      [/other tokens/, { tokenIds: block.tokenIds.toReversed() }],
    ]
    for (const [why, other] of others) {
      // Of one size, so that the check of the size does not hide the others.
      const otherHead = encodeBlockHead({ ...block, ...other })
      if (Buffer.compare(otherHead, head) === 0) continue
      const sealed = sealedOf(block.hash, otherHead, rows)
      await assert.rejects(codec.open(block, sealed), invalid(why), String(why))
    }
  })

  it(`open() refuses a block of another hash: ${size}`, async () => {
    const sealed = await codec.seal(block, rows)
    const other = { ...block, hash: testBlock(kind, 2).hash }
    await assert.rejects(codec.open(other, sealed), invalid(/altered/))
  })

  it(`open() refuses what is cut, longer or altered: ${size}`, async () => {
    const sealed = await codec.seal(block, rows)
    for (const end of [0, 1, 13, 29, 500, sealed.length - 1]) {
      await assert.rejects(codec.open(block, sealed.subarray(0, end)), invalid(/bytes, not/))
    }
    const longer = new Uint8Array(sealed.length + 1)
    longer.set(sealed)
    await assert.rejects(codec.open(block, longer), invalid(/bytes, not/))
    for (const [position, why] of [
      [0, /version/],
      [1, /altered/],
      [13, /altered/],
      [sealed.length >> 1, /altered/],
      [sealed.length - 1, /altered/],
    ] as const) {
      const altered = Uint8Array.from(sealed)
      altered[position] = (altered[position] ?? 0) ^ 1
      await assert.rejects(codec.open(block, altered), invalid(why), `byte ${position}`)
    }
    const trailing = sealedOf(block.hash, head, rows, new Uint8Array(256))
    await assert.rejects(codec.open(block, trailing), invalid(/bytes, not/))
  })

  it(`refuses numbers that are not finite, at any place: ${size}`, async () => {
    const halves = rows.length / 2
    for (const bits of [0x7c00, 0xfc00, 0x7e00, 0xfe01, 0x7c01]) {
      for (const position of [0, 1, 2, (halves >> 1) + 1, halves - 1]) {
        const bad = Buffer.from(rows)
        bad.writeUInt16LE(bits, position * 2)
        const sealed = sealedOf(block.hash, head, bad)
        await assert.rejects(codec.open(block, sealed), invalid(/not finite/))
        await assert.rejects(codec.seal(block, bad), invalid(/not finite/))
      }
      if (rows.length > MiB) break
    }
    const largest = Buffer.from(rows)
    largest.writeUInt16LE(0x7bff, 0)
    largest.writeUInt16LE(0xfbff, 2)
    assert.ok(await codec.open(block, await codec.seal(block, largest)))
  })

  it(`seal() takes no rows of another size, nor what no block can be: ${size}`, async () => {
    await assert.rejects(codec.seal(block, rows.subarray(4)), RangeError)
    await assert.rejects(codec.seal({ ...block, index: -1 }, rows), RangeError)
    const tokenIds = block.tokenIds.slice(1)
    await assert.rejects(codec.seal({ ...block, tokenIds }, rows), RangeError)
    await assert.rejects(codec.open({ ...block, tokenIds }, rows), RangeError)
  })
}
