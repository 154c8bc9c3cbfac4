import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { KnownCertificate } from './direct-identity.ts'
import { newIdentity } from './test-direct.ts'

const { peerId } = newIdentity()

/** Says yes to certificates that begin with 1. */
function known(): { readonly certificate: KnownCertificate; readonly checked: Uint8Array[] } {
  const checked: Uint8Array[] = []
  const certificate = new KnownCertificate({
    certificate: () => assert.fail(),
    verify: async bytes => {
      checked.push(bytes)
      if (bytes[0] !== 1) throw new Error('somebody else')
    },
  })
  return { certificate, checked }
}

describe('KnownCertificate', () => {
  it('verify() reads a certificate once, and any other one', async () => {
    const { certificate, checked } = known()
    const bytes = Buffer.of(1, 2, 3)
    await certificate.verify(bytes, peerId)
    await certificate.verify(Uint8Array.from(bytes), peerId)
    assert.equal(checked.length, 1)
    // What was read is not remembered by its memory.
    bytes[0] = 9
    await assert.rejects(certificate.verify(bytes, peerId), /somebody else/)
    await certificate.verify(Uint8Array.of(1, 2), peerId)
    await certificate.verify(Uint8Array.of(1, 2, 3), peerId)
    assert.equal(checked.length, 4)
  })

  it('verify() remembers none that was wrong', async () => {
    const { certificate, checked } = known()
    for (let round = 0; round < 2; round++) {
      await assert.rejects(certificate.verify(Uint8Array.of(7), peerId), /somebody else/)
    }
    assert.equal(checked.length, 2)
  })
})
