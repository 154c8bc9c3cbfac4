import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { encode } from 'cborg'
import fc from 'fast-check'
import { OperationError } from '../../errors.ts'
import { blockBytes } from '../../key/state-layout.ts'
import { blockHeadBytesMax, KiB } from '../../limits.ts'
import { type BlockHead, checkBlock, decodeBlockHead, encodeBlockHead } from './state-block.ts'

const head: BlockHead = {
  kind: {
    numericClass: 'sha256:00 · test · cpu',
    layout: {
      layers: [
        { keyBytes: 8, valueBytes: 4 },
        { keyBytes: 300, valueBytes: 0 },
      ],
      settings: 'rope 10000',
    },
  },
  index: 3,
  tokenIds: Array.from({ length: 128 }, (_, index) => index * 7_919),
}
const encoded = encodeBlockHead(head)
const rows = Buffer.alloc(blockBytes(head.kind.layout), 1)
const plain = Buffer.concat([encoded, rows])
const tokenBytes = Buffer.alloc(512, 3)
const fields = { i: 3, l: [[8, 4]], n: 'class', s: 'settings', t: tokenBytes }

/** Framed as a head, whatever it is. */
function framed(header: Uint8Array, padding = 0): Buffer {
  const prefix = Buffer.from('HSKV\x01\0\0\0\0\0\0\0', 'latin1')
  prefix.writeUInt32LE(header.length, 8)
  const bytes = Buffer.concat([prefix, header])
  return Buffer.concat([bytes, Buffer.alloc((64 - (bytes.length % 64)) % 64, padding)])
}

function invalid(why: RegExp): (error: OperationError) => boolean {
  return ({ code, message }) => code === 'block_invalid' && why.test(message)
}

describe('the head of a block', () => {
  it('decodeBlockHead() returns what encodeBlockHead() was given', () => {
    assert.deepEqual(decodeBlockHead(plain), { head, bytes: encoded.length })
    assert.equal(encoded.length % 64, 0)
    assert.deepEqual(decodeBlockHead(framed(encode(fields))).head.kind.numericClass, 'class')
  })

  it('the largest one fits within its limit', () => {
    const layers = Array.from({ length: 512 }, () => ({ keyBytes: 384, valueBytes: 384 }))
    const text = 'x'.repeat(KiB)
    const largest = encodeBlockHead({
      ...head,
      kind: { numericClass: text, layout: { layers, settings: text } },
      index: 1_048_575,
    })
    assert.ok(largest.length <= blockHeadBytesMax)
    assert.equal(decodeBlockHead(largest).bytes, largest.length)
  })

  it('encodeBlockHead() refuses what no block can hold', () => {
    const { kind } = head
    const wrong: readonly Partial<BlockHead>[] = [
      { index: -1 },
      { index: 1.5 },
      { index: 1_048_576 },
      { tokenIds: head.tokenIds.slice(1) },
      { tokenIds: [...head.tokenIds, 1] },
      { tokenIds: head.tokenIds.with(5, -1) },
      { tokenIds: head.tokenIds.with(5, 2 ** 32) },
      { tokenIds: head.tokenIds.with(5, 0.5) },
      { kind: { ...kind, numericClass: 'x'.repeat(KiB + 1) } },
      { kind: { ...kind, numericClass: '\ud800' } },
      { kind: { ...kind, layout: { layers: [], settings: '' } } },
    ]
    for (const change of wrong) {
      assert.throws(() => encodeBlockHead({ ...head, ...change }), RangeError)
    }
  })

  it('decodeBlockHead() refuses what no node writes', () => {
    const wrong: readonly (readonly [string, RegExp, Uint8Array])[] = [
      ['nothing', /cut/, Buffer.alloc(0)],
      ['another magic', /begin/, Buffer.concat([Buffer.from('HSKW'), encoded.subarray(4)])],
      ['another version', /version/, Buffer.from(encoded).fill(2, 4, 5)],
      ['a huge header', /too long/, Buffer.from(encoded).fill(255, 8, 12)],
      ['a header past the end', /cut/, encoded.subarray(0, encoded.length - 1)],
      ['padding', /canonical/, framed(encode(fields), 1)],
      ['a field more', /fields/, framed(encode({ ...fields, x: 1 }))],
      ['a field less', /fields/, framed(encode({ i: 3, l: [[8, 4]], n: 'class', s: '' }))],
      ['no map', /no map/, framed(encode([1, 2]))],
      ['bytes', /no map/, framed(encode(tokenBytes))],
      ['null', /no map/, framed(encode(null))],
      ['trailing bytes', /CBOR/, framed(Buffer.concat([encode(fields), Buffer.of(0)]))],
      ['a float', /index/, framed(encode({ ...fields, i: 0.5 }))],
      ['a negative index', /index/, framed(encode({ ...fields, i: -3 }))],
      ['a text as index', /number/, framed(encode({ ...fields, i: '3' }))],
      ['an index beyond all', /number|index/, framed(encode({ ...fields, i: 2n ** 63n }))],
      ['no layers', /no layers/, framed(encode({ ...fields, l: [] }))],
      ['layers as map', /no list/, framed(encode({ ...fields, l: {} }))],
      ['a layer of three', /no pair/, framed(encode({ ...fields, l: [[2, 2, 2]] }))],
      ['an odd row', /half-precision/, framed(encode({ ...fields, l: [[3, 2]] }))],
      ['an empty layer', /half-precision/, framed(encode({ ...fields, l: [[0, 0]] }))],
      ['rows beyond all', /bytes/, framed(encode({ ...fields, l: [[2 ** 40, 2]] }))],
      ['513 layers', /layers/, framed(encode({ ...fields, l: Array(513).fill([2, 2]) }))],
      ['127.5 tokens', /none/, framed(encode({ ...fields, t: tokenBytes.subarray(2) }))],
      ['127 tokens', /128/, framed(encode({ ...fields, t: tokenBytes.subarray(4) }))],
      ['tokens as text', /none/, framed(encode({ ...fields, t: 'x'.repeat(512) }))],
      ['a long class', /class/, framed(encode({ ...fields, n: 'x'.repeat(KiB + 1) }))],
      ['no class', /text/, framed(encode({ ...fields, n: 1 }))],
      ['nested lists', /CBOR/, framed(Buffer.alloc(16_000, 0x81))],
      ['an indefinite map', /CBOR/, framed(Buffer.from('bf6169036161ff', 'hex'))],
      ['a duplicate key', /CBOR/, framed(Buffer.from('a2616903616904', 'hex'))],
      // 3 as 0x1803: one byte longer than it must be.
      [
        'a long number',
        /CBOR|canonical/,
        framed(Buffer.from(hex(encode(fields)).replace('616903', '61691803'), 'hex')),
      ],
      ['keys out of order', /canonical/, framed(outOfOrder())],
    ]
    for (const [what, why, bytes] of wrong) {
      assert.throws(() => decodeBlockHead(bytes), invalid(why), what)
    }
  })

  it('fuzz: whatever is changed or cut is refused with block_invalid, or is another head', () => {
    const positions = fc.array(fc.tuple(fc.nat(encoded.length - 1), fc.nat(255)), { maxLength: 4 })
    fc.assert(
      fc.property(positions, fc.nat(encoded.length), (changes, end) => {
        const bytes = Buffer.from(encoded)
        for (const [position, value] of changes) bytes[position] = value
        for (const candidate of [bytes, bytes.subarray(0, end)]) assertRefusedOrCanonical(candidate)
      }),
      { numRuns: 500 },
    )
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), bytes => {
        assertRefusedOrCanonical(bytes)
        assertRefusedOrCanonical(framed(bytes))
      }),
    )
  })
})

describe('checkBlock()', () => {
  it('returns the rows, as a view', () => {
    const found = checkBlock(encoded, plain)
    assert.equal(Buffer.compare(found, rows), 0)
    assert.equal(found.buffer, plain.buffer)
  })

  it('every byte of the head counts', () => {
    for (let position = 0; position < encoded.length; position++) {
      const changed = Buffer.from(plain)
      changed[position] = (changed[position] ?? 0) ^ 1
      assert.throws(() => checkBlock(encoded, changed), { code: 'block_invalid' }, `${position}`)
    }
  })

  it('names what differs', () => {
    const { kind } = head
    const { layout } = kind
    const others: readonly (readonly [RegExp, Partial<BlockHead>])[] = [
      [/another class/, { kind: { ...kind, numericClass: 'other' } }],
      [/settings/, { kind: { ...kind, layout: { ...layout, settings: 'other' } } }],
      [/layers/, { kind: { ...kind, layout: { ...layout, layers: layout.layers.slice(1) } } }],
      [/place/, { index: 4 }],
      [/tokens/, { tokenIds: head.tokenIds.with(127, 1) }],
    ]
    for (const [why, change] of others) {
      const other = Buffer.concat([encodeBlockHead({ ...head, ...change }), rows])
      assert.throws(() => checkBlock(encoded, other), invalid(why))
    }
  })

  it('refuses a number that is not finite', () => {
    const bad = Buffer.from(plain)
    bad.writeUInt16LE(0xfc00, plain.length - 2)
    assert.throws(() => checkBlock(encoded, bad), invalid(/finite/))
  })
})

function assertRefusedOrCanonical(bytes: Uint8Array): void {
  try {
    const found = decodeBlockHead(bytes)
    assert.equal(Buffer.compare(encodeBlockHead(found.head), bytes.subarray(0, found.bytes)), 0)
  } catch (error) {
    assert.ok(error instanceof OperationError && error.code === 'block_invalid', String(error))
  }
}

/** The fields with `l` before `i`. */
function outOfOrder(): Buffer {
  const bytes = hex(encode(fields))
  return Buffer.from(bytes.replace('616903616c81820804', '616c81820804616903'), 'hex')
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex')
}
