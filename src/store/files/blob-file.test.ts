import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { blobNoteBytesMax } from '../../limits.ts'
import { bodyStartFor, decodeHead, encodeHead, fitsHead, headBytesMax } from './blob-file.ts'

const name = 'ab'.repeat(32)
const meta = {
  costSeconds: 1.5,
  createdAt: 1_700_000_000_000,
  expiresAt: 8e15,
  note: Uint8Array.of(1, 2, 3),
}
const place = { bodyStart: bodyStartFor(3), bodyBytes: 10, checksum: 0xdead_beef }
const fileBytes = place.bodyStart + place.bodyBytes
const head = encodeHead({ name, meta, place })

describe('the head of a blob', () => {
  it('decodeHead() returns what encodeHead() was given', () => {
    assert.deepEqual(decodeHead(name, head, fileBytes), { name, meta, place })
  })

  it('leaves room for a longer note, and the longest one fits in what is read', () => {
    assert.ok(fitsHead(place, 3 + 128))
    assert.ok(!fitsHead(place, blobNoteBytesMax))
    assert.ok(bodyStartFor(blobNoteBytesMax) <= headBytesMax)
    const note = new Uint8Array(blobNoteBytesMax).fill(7)
    const wide = { ...place, bodyStart: bodyStartFor(note.length) }
    const encoded = encodeHead({ name, meta: { ...meta, note }, place: wide })
    assert.ok(encoded.length <= headBytesMax)
    const decoded = decodeHead(name, encoded, wide.bodyStart + wide.bodyBytes)
    assert.deepEqual(decoded?.meta.note, note)
  })

  it('any changed bit, any cut, another size or name is damage', () => {
    for (let position = 0; position < head.length; position++) {
      for (const bit of [1, 0x80]) {
        const changed = Uint8Array.from(head)
        changed[position] = (changed[position] ?? 0) ^ bit
        assert.equal(decodeHead(name, changed, fileBytes), undefined, `byte ${position}`)
      }
      assert.equal(decodeHead(name, head.subarray(0, position), fileBytes), undefined)
    }
    for (const bytes of [0, fileBytes - 1, fileBytes + 1]) {
      assert.equal(decodeHead(name, head, bytes), undefined)
    }
    assert.equal(decodeHead('cd'.repeat(32), head, fileBytes), undefined)
  })

  it('fuzz: random bytes are damage, and nothing is thrown', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), fc.nat(10_000), (bytes, size) => {
        assert.equal(decodeHead(name, bytes, size), undefined)
        const begun = Uint8Array.from(bytes)
        begun.set(head.subarray(0, Math.min(6, begun.length)))
        assert.equal(decodeHead(name, begun, size), undefined)
      }),
    )
  })
})
