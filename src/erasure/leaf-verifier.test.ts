import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { seededBytes, seededRandom } from '../../test/support/seeded-random.ts'
import { createLeafVerifier, type LeafFault, type LeafVerifier } from './leaf-verifier.ts'
import { hashShard, leafBytes } from './leaves.ts'

const shard = seededBytes(1, 3 * leafBytes + 777)
const { leafHashes, root } = hashShard(shard)
const expected = { shardBytes: shard.length, root, leafHashes }

function verifier(fromByte = 0): LeafVerifier {
  const made = createLeafVerifier({ ...expected, fromByte })
  assert.ok(made, 'the hashes lead to the root')
  return made
}

/** Cut into pieces of random lengths, some of them empty. */
function piecesOf(bytes: Uint8Array, seed: number): Uint8Array[] {
  const random = seededRandom(seed)
  const pieces: Uint8Array[] = []
  for (let start = 0; start < bytes.length; ) {
    const end = start + Math.floor(random() ** 3 * 2 * leafBytes)
    pieces.push(bytes.subarray(start, end))
    start = Math.min(end, bytes.length)
  }
  return pieces
}

function takeAll(
  target: LeafVerifier,
  bytes: Uint8Array,
  seed: number,
): { readonly fault: LeafFault | undefined; readonly bytesTaken: number } {
  let bytesTaken = 0
  for (const piece of piecesOf(bytes, seed)) {
    const fault = target.take(piece)
    bytesTaken += piece.length
    if (fault !== undefined) return { fault, bytesTaken }
  }
  return { fault: target.end(), bytesTaken }
}

describe('LeafVerifier', () => {
  it('takes a right shard in pieces of any size', () => {
    fc.assert(
      fc.property(fc.nat(), seed => {
        const target = verifier()
        assert.equal(takeAll(target, shard, seed).fault, undefined)
        assert.equal(target.verifiedBytes, shard.length)
      }),
      { numRuns: 30 },
    )
  })

  it('says where the leaf with the first wrong byte begins, as soon as it is whole', () => {
    const at = fc.integer({ min: 0, max: shard.length - 1 })
    fc.assert(
      fc.property(at, fc.integer({ min: 1, max: 255 }), fc.nat(), (wrongByte, flip, seed) => {
        const altered = shard.slice()
        altered[wrongByte] = (altered[wrongByte] ?? 0) ^ flip
        const target = verifier()
        const { fault, bytesTaken } = takeAll(target, altered, seed)
        const atByte = wrongByte - (wrongByte % leafBytes)
        assert.deepEqual(fault, { reason: 'leaf-differs', atByte })
        assert.equal(target.verifiedBytes, atByte)
        assert.ok(bytesTaken <= atByte + 3 * leafBytes, 'not after the piece that closes it')
        assert.deepEqual(target.take(shard), fault, 'and goes on saying so')
        assert.deepEqual(target.end(), fault)
      }),
      { numRuns: 40 },
    )
  })

  it('says that a shard is too short', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: shard.length - 1 }), fc.nat(), (length, seed) => {
        const { fault } = takeAll(verifier(), shard.subarray(0, length), seed)
        const atByte = length - (length % leafBytes)
        assert.deepEqual(fault, { reason: 'too-short', atByte })
      }),
      { numRuns: 30 },
    )
  })

  it('says that a shard is too long, at its first byte too many', () => {
    const longer = Buffer.concat([shard, Buffer.alloc(10)])
    const expectedFault = { reason: 'too-long', atByte: shard.length }
    assert.deepEqual(takeAll(verifier(), longer, 3).fault, expectedFault)
    const target = verifier()
    assert.equal(target.take(shard), undefined)
    assert.deepEqual(target.take(Uint8Array.of(1)), expectedFault)
  })

  it('goes on at a border of leaves', () => {
    const target = verifier(2 * leafBytes)
    assert.equal(target.verifiedBytes, 2 * leafBytes)
    assert.equal(takeAll(target, shard.subarray(2 * leafBytes), 1).fault, undefined)
    const wrong = takeAll(verifier(leafBytes), shard, 1).fault
    assert.deepEqual(wrong, { reason: 'leaf-differs', atByte: leafBytes })
    for (const fromByte of [1, -leafBytes, 4 * leafBytes, Number.NaN]) {
      assert.throws(() => createLeafVerifier({ ...expected, fromByte }), RangeError)
    }
  })

  it('knows what has been checked before the last leaf is whole', () => {
    const target = verifier()
    target.take(shard.subarray(0, leafBytes + 1))
    assert.equal(target.verifiedBytes, leafBytes)
    target.take(shard.subarray(leafBytes + 1))
    assert.equal(target.verifiedBytes, shard.length)
  })

  it('verifies a shard without bytes', () => {
    const none = hashShard(new Uint8Array())
    const target = createLeafVerifier({ shardBytes: 0, ...none })
    assert.equal(target?.end(), undefined)
    assert.deepEqual(target?.take(Uint8Array.of(1)), { reason: 'too-long', atByte: 0 })
  })
})

describe('createLeafVerifier()', () => {
  it('refuses hashes that do not lead to the root, however they were altered', () => {
    const alteration = fc.oneof(
      fc.record({ leaf: fc.nat(3), byte: fc.nat(31), flip: fc.integer({ min: 1, max: 255 }) }),
      fc.constantFrom('dropped', 'doubled', 'swapped', 'short', 'long', 'root'),
    )
    fc.assert(
      fc.property(alteration, change => {
        const hashes = leafHashes.map(hash => new Uint8Array(hash))
        const [first = root, second = root] = hashes
        const altered = ((): readonly Uint8Array[] => {
          if (change === 'dropped') return hashes.slice(1)
          if (change === 'doubled') return [first, ...hashes]
          if (change === 'swapped') return [second, first, ...hashes.slice(2)]
          if (change === 'short') return [first.subarray(1), ...hashes.slice(1)]
          if (change === 'long') return [Buffer.concat([first, second]), ...hashes.slice(2)]
          if (change === 'root') return [root]
          const hash = hashes[change.leaf] ?? root
          hash[change.byte] = (hash[change.byte] ?? 0) ^ change.flip
          return hashes
        })()
        assert.equal(createLeafVerifier({ ...expected, leafHashes: altered }), undefined)
      }),
    )
  })

  it('refuses a list that fits another length', () => {
    assert.equal(createLeafVerifier({ ...expected, shardBytes: leafBytes }), undefined)
    assert.equal(createLeafVerifier({ ...expected, root: root.subarray(1) }), undefined)
  })
})
