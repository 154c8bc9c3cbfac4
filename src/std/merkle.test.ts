import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { hashLeaf, inclusionProof, merkleRoot, rootOfProof } from './merkle.ts'

/**
 * The vectors of Certificate Transparency's own implementation: leaves, and the root after each.
 */
const vectors: readonly (readonly [leaf: string, root: string])[] = [
  ['', '6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d'],
  ['00', 'fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125'],
  ['10', 'aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77'],
  ['2021', 'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7'],
  ['3031', '4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4'],
  ['40414243', '76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef'],
  ['5051525354555657', 'ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c'],
  [
    '606162636465666768696a6b6c6d6e6f',
    '5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328',
  ],
]

/** The definition of RFC 6962 §2.1, word for word. */
function dumbRoot(leaves: readonly Uint8Array[]): Uint8Array {
  const [first] = leaves
  if (first === undefined) return sha256()
  if (leaves.length === 1) return sha256(Uint8Array.of(0), first)
  let split = 1
  while (split * 2 < leaves.length) split *= 2
  const left = dumbRoot(leaves.slice(0, split))
  return sha256(Uint8Array.of(1), left, dumbRoot(leaves.slice(split)))
}

function sha256(...parts: readonly Uint8Array[]): Uint8Array {
  return createHash('sha256').update(Buffer.concat(parts)).digest()
}

const leafLists = fc.array(fc.uint8Array({ maxLength: 4 }), { minLength: 1, maxLength: 40 })

describe('Merkle trees', () => {
  it('merkleRoot() is that of the vectors', () => {
    for (const count of vectors.keys()) {
      const leaves = vectors.slice(0, count + 1).map(([leaf]) => Buffer.from(leaf, 'hex'))
      const root = Buffer.from(merkleRoot(leaves.map(hashLeaf))).toString('hex')
      assert.equal(root, vectors[count]?.[1])
    }
  })

  it('merkleRoot() is that of the dumb twin', () => {
    fc.assert(
      fc.property(leafLists, leaves => {
        assert.deepEqual(merkleRoot(leaves.map(hashLeaf)), dumbRoot(leaves))
      }),
    )
    assert.deepEqual(merkleRoot([]), dumbRoot([]))
  })

  it('inclusionProof() leads to the root from its leaf, its place and its count only', () => {
    fc.assert(
      fc.property(leafLists, fc.nat(), fc.nat(60), (leaves, at, otherCount) => {
        const hashes = leaves.map(hashLeaf)
        const index = at % leaves.length
        const count = leaves.length
        const proof = inclusionProof(hashes, index)
        const leafHash = hashLeaf(leaves[index] ?? new Uint8Array())
        const root = merkleRoot(hashes)
        const given = { leafHash, index, count, proof }
        assert.deepEqual(rootOfProof(given), root)
        for (let other = 0; other < count; other++) {
          const isThere = Buffer.compare(hashes[other] ?? leafHash, leafHash) === 0
          if (!isThere) assert.notDeepEqual(rootOfProof({ ...given, index: other }), root)
        }
        assert.equal(rootOfProof({ ...given, proof: [...proof, root] }), undefined)
        if (proof.length > 0) {
          assert.equal(rootOfProof({ ...given, proof: proof.slice(1) }), undefined)
        }
        // Any count gives an answer, and none throws.
        rootOfProof({ ...given, count: otherCount })
      }),
    )
  })

  it('no inner node passes for a leaf', () => {
    const hashes = [1, 2].map(byte => hashLeaf(Uint8Array.of(byte)))
    assert.notDeepEqual(hashLeaf(Buffer.concat(hashes)), merkleRoot(hashes))
  })
})
