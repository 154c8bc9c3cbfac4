import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { encodeLeaves } from '../wire/leaves.ts'
import { decodeReceipt, type Receipt } from '../wire/receipt.ts'
import { isOpeningOf, leavesOf, openLeaves, rootOfLeaves, verifyLeaves } from './leaves.ts'
import { issueReceipt } from './receipt.ts'
import { answer, clock, completion, leafArbitrary, leaves, signer } from './test-answer.ts'

const { receipt } = decodeReceipt(issueReceipt(answer, signer, clock))
const encoded = encodeLeaves(leaves)

describe('leaves', () => {
  it('verifyLeaves() accepts those of the receipt', () => {
    assert.deepEqual(verifyLeaves(encoded, receipt, completion), { outcome: 'valid', leaves })
  })

  it('verifyLeaves() catches every changed bit', () => {
    for (let position = 0; position < encoded.length; position++) {
      for (let bit = 1; bit < 256; bit <<= 1) {
        const changed = Uint8Array.from(encoded)
        changed[position] = (changed[position] ?? 0) ^ bit
        const check = verifyLeaves(changed, receipt, completion)
        assert.equal(check.outcome, 'invalid', `byte ${position}, bit ${bit}`)
      }
    }
  })

  it('verifyLeaves() says what is wrong', () => {
    const faultOf = (bytes: Uint8Array, of: Receipt = receipt): string => {
      const check = verifyLeaves(bytes, of, completion)
      return check.outcome === 'invalid' ? check.reason : 'none'
    }
    assert.equal(faultOf(encoded.subarray(1)), 'leaves-malformed')
    assert.equal(faultOf(encodeLeaves(leaves.slice(1))), 'leaves-tokens-differ')
    assert.equal(faultOf(encodeLeaves(leaves.toReversed())), 'leaves-tokens-differ')
    const louder = leaves.map(leaf => ({ ...leaf, logprob: 0 }))
    assert.equal(faultOf(encodeLeaves(louder)), 'leaves-root-differs')
    assert.equal(faultOf(encoded, { ...receipt, root: undefined }), 'leaves-not-attested')
  })

  it('the same leaf at another position gives another root', () => {
    fc.assert(
      fc.property(leafArbitrary, leafArbitrary, (a, b) => {
        assert.notEqual(rootOfLeaves([a, b]), rootOfLeaves([b, a].concat(a)))
        if (JSON.stringify(a) !== JSON.stringify(b)) {
          assert.notEqual(rootOfLeaves([a, b]), rootOfLeaves([b, a]))
        }
      }),
    )
  })

  it('openLeaves() opens single positions, each to its own place', () => {
    const openings = openLeaves(leaves, [4, 0, 2])
    for (const opening of openings) {
      assert.ok(isOpeningOf(opening, receipt))
      const elsewhere = { ...opening, position: (opening.position + 1) % leaves.length }
      assert.ok(!isOpeningOf(elsewhere, receipt))
      const louder = { ...opening.leaf, logprob: opening.leaf.logprob - 1 }
      assert.ok(!isOpeningOf({ ...opening, leaf: louder }, receipt))
    }
    assert.throws(() => openLeaves(leaves, [5]), RangeError)
  })

  it('leavesOf() keeps the eight likeliest in order, and needs every log-probability', () => {
    const top = Array.from({ length: 10 }, (_, index) => ({ tokenId: 50 - index, logprob: -1 }))
    const many = leavesOf([
      { tokenId: 1, logprob: -0.5, top: [...top, { tokenId: 7, logprob: 0 }] },
    ])
    assert.equal(many?.[0]?.sketch.length, 8)
    assert.deepEqual(many?.[0]?.sketch[0], { tokenId: 7, logprob: 0 })
    assert.deepEqual(
      many?.[0]?.sketch.slice(1).map(entry => entry.tokenId),
      [44, 45, 46, 47, 48, 49, 50],
    )
    assert.equal(leavesOf([{ tokenId: 1, logprob: -0.5 }, { tokenId: 2 }]), undefined)
  })
})
