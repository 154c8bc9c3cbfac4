import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import type { BlockHash } from '../../key/block-hash.ts'
import { MiB } from '../../limits.ts'
import { openBlock, sealBlock, sealBytes } from './sealed-block.ts'

const hash = 'a'.repeat(64) as BlockHash
const other = 'b'.repeat(64) as BlockHash
const nonce = new Uint8Array(12).fill(3)
const plain = Buffer.from('keys and values that nobody else may see, '.repeat(10))
const invalid = { code: 'block_invalid' }

describe('sealed blocks', () => {
  it('openBlock() returns what sealBlock() was given, in pieces or not, and the seal hides it', () => {
    const sealed = sealBlock(hash, [plain.subarray(0, 7), plain.subarray(7)], nonce)
    assert.equal(sealed.length, plain.length + sealBytes)
    assert.equal(Buffer.compare(sealed, sealBlock(hash, [plain], nonce)), 0)
    assert.equal(Buffer.compare(openBlock(hash, sealed, plain.length), plain), 0)
    assert.ok(!Buffer.from(sealed).includes('keys'))
    assert.equal(openBlock(hash, sealBlock(hash, [], nonce), 0).length, 0)
  })

  it('goes on across the borders of what is encrypted at once', () => {
    const large = Uint8Array.from({ length: 2 * MiB + 5 }, (_, index) => (index * 31) >> 3)
    const sealed = sealBlock(hash, [large.subarray(0, MiB + 3), large.subarray(MiB + 3)], nonce)
    assert.equal(Buffer.compare(openBlock(hash, sealed, large.length), large), 0)
  })

  it('a changed bit at any position, another hash, a cut or another size is refused', () => {
    const sealed = sealBlock(hash, [plain], nonce)
    for (let position = 0; position < sealed.length; position++) {
      const changed = Uint8Array.from(sealed)
      changed[position] = (changed[position] ?? 0) ^ (1 << (position % 8))
      assert.throws(() => openBlock(hash, changed, plain.length), invalid, `byte ${position}`)
      const cut = sealed.subarray(0, position)
      assert.throws(() => openBlock(hash, cut, plain.length), invalid)
      assert.throws(() => openBlock(hash, cut, Math.max(0, position - sealBytes)), invalid)
    }
    assert.throws(() => openBlock(other, sealed, plain.length), invalid)
    assert.throws(() => openBlock(hash, sealed, plain.length + 1), invalid)
  })

  it('makes no room for what has the wrong size', () => {
    const before = process.memoryUsage().arrayBuffers
    assert.throws(() => openBlock(hash, plain, 2 ** 33), invalid)
    assert.ok(process.memoryUsage().arrayBuffers - before < MiB)
  })

  it('fuzz: random bytes are refused with block_invalid and nothing else', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), bytes => {
        const size = Math.max(0, bytes.length - sealBytes)
        assert.throws(() => openBlock(hash, bytes, size), invalid)
        const versioned = Uint8Array.from([1, ...bytes.subarray(1)])
        assert.throws(() => openBlock(hash, versioned, size), invalid)
      }),
    )
  })
})
