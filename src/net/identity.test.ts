import assert from 'node:assert/strict'
import { createPublicKey, verify } from 'node:crypto'
import { chmodSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { privateKeyFromRaw } from '@libp2p/crypto/keys'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { systemRandom } from '../std/random.ts'
import { Identity, openIdentity } from './identity.ts'

describe('Identity', () => {
  let folder = ''
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'hyperspace-identity-'))
  })
  after(() => rmSync(folder, { recursive: true }))

  it('has the peer id that libp2p derives from the same key', () => {
    for (let index = 0; index < 8; index++) {
      const identity = Identity.fromSeed(systemRandom.bytes(32))
      const key = privateKeyFromRaw(identity.exposeSecretKey())
      assert.equal(identity.peerId, peerIdFromPrivateKey(key).toString())
    }
  })

  it('sign() makes what its public key verifies', () => {
    const identity = Identity.fromSeed(systemRandom.bytes(32))
    const spki = Buffer.concat([Buffer.from('302a300506032b6570032100', 'hex'), identity.publicKey])
    const key = createPublicKey({ key: spki, type: 'spki', format: 'der' })
    const bytes = Buffer.from('a receipt')
    assert.ok(verify(null, bytes, key, identity.sign(bytes)))
    assert.ok(!verify(null, Buffer.from('another'), key, identity.sign(bytes)))
  })

  it('openIdentity() makes a key once, for its owner only', () => {
    const file = join(folder, 'node.key')
    const first = openIdentity(file, systemRandom)
    assert.equal(statSync(file).mode & 0o777, 0o600)
    assert.equal(openIdentity(file, systemRandom).peerId, first.peerId)
    chmodSync(file, 0o644)
    assert.equal(openIdentity(file, systemRandom).peerId, first.peerId)
    assert.equal(statSync(file).mode & 0o777, 0o600, 'others could read it no longer')
    assert.deepEqual(readdirSync(folder), ['node.key'], 'nothing is left beside it')
  })

  it('openIdentity() refuses a damaged or foreign key without quoting it', () => {
    const file = join(folder, 'damaged.key')
    const rsa = '-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n'
    for (const text of ['', 'c2VjcmV0', rsa]) {
      writeFileSync(file, text)
      assert.throws(
        () => openIdentity(file, systemRandom),
        (error: Error) => /damaged/.test(error.message) && !error.message.includes('c2VjcmV0'),
      )
    }
  })

  it('openIdentity() says so when the folder is not there', () => {
    const file = join(folder, 'missing', 'node.key')
    assert.throws(() => openIdentity(file, systemRandom), { code: 'data_folder_unusable' })
  })

  it('no log prints the secret', () => {
    const identity = Identity.fromSeed(new Uint8Array(32).fill(7))
    assert.ok(!JSON.stringify(identity).includes('0707'))
    assert.deepEqual(Object.keys(identity).sort(), ['peerId', 'publicKey'])
  })
})
