import { createPublicKey, type KeyObject } from 'node:crypto'
import { type PeerId, publicKeyOfPeerId } from '../key/peer-id.ts'
import { issuerKeysMax } from '../limits.ts'
import { assert } from '../std/assert.ts'
import { Lru } from '../std/lru.ts'

/** Public keys of issuers in node:crypto's form, whose making costs as much as checking with it. */
export class IssuerKeys {
  readonly #keys = new Lru<PeerId, KeyObject>(issuerKeysMax)

  get(issuer: PeerId): KeyObject {
    const known = this.#keys.get(issuer)
    if (known !== undefined) return known
    const publicKey = publicKeyOfPeerId(issuer)
    assert(publicKey !== undefined, 'A peer id holds its public key')
    const x = Buffer.from(publicKey).toString('base64url')
    const key = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' })
    this.#keys.set(issuer, key, 1)
    return key
  }
}
