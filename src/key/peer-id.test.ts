import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { generateKeyPairFromSeed } from '@libp2p/crypto/keys'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import fc from 'fast-check'
import { parsePeerId, peerIdOfPublicKey, publicKeyOfPeerId } from './peer-id.ts'

const publicKey = fc.uint8Array({ minLength: 32, maxLength: 32 })

/** RFC 8032 §7.1, tests 1 and 2; the ids are those of libp2p. */
const vectors = [
  {
    publicKey: 'd75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a',
    peerId: '12D3KooWQK1wnefoLrcVHbbnf5tLzbopUd3K3bFAoJpA7YJgL5pV',
  },
  {
    publicKey: '3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c',
    peerId: '12D3KooWDwTirQce1RRKnasT5fPVFgzXCy6SiRgSwrwPGLC7zE91',
  },
]

describe('peer ids', () => {
  it('are those of the vectors', () => {
    for (const vector of vectors) {
      const key = Buffer.from(vector.publicKey, 'hex')
      assert.equal(peerIdOfPublicKey(key), vector.peerId)
      assert.deepEqual(publicKeyOfPeerId(vector.peerId), key)
    }
  })

  it('are those of libp2p', async () => {
    for (const fill of [0, 1, 0x7f, 0xff]) {
      const privateKey = await generateKeyPairFromSeed('Ed25519', new Uint8Array(32).fill(fill))
      const theirs = peerIdFromPrivateKey(privateKey).toString()
      assert.equal(peerIdOfPublicKey(privateKey.publicKey.raw), theirs)
    }
  })

  it('hold the key: publicKeyOfPeerId() undoes peerIdOfPublicKey()', () => {
    fc.assert(
      fc.property(publicKey, key => {
        assert.deepEqual(publicKeyOfPeerId(peerIdOfPublicKey(key)), Buffer.from(key))
      }),
    )
  })

  it('have one text form: whatever parses is written back alike', () => {
    const almost = fc
      .tuple(publicKey, fc.nat(51), fc.string({ minLength: 1, maxLength: 1 }))
      .map(([key, at, other]) => {
        const id = peerIdOfPublicKey(key)
        return `${id.slice(0, at)}${other}${id.slice(at + 1)}`
      })
    fc.assert(
      fc.property(fc.oneof(almost, fc.string(), fc.string({ maxLength: 200 })), text => {
        const key = publicKeyOfPeerId(text)
        if (key === undefined) assert.equal(parsePeerId(text), undefined)
        else assert.equal(peerIdOfPublicKey(key), text)
      }),
    )
  })

  it('of other kinds of keys are refused', () => {
    for (const text of ['', 'QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N', '1'.repeat(52)]) {
      assert.equal(parsePeerId(text), undefined)
    }
  })
})
