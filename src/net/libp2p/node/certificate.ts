import { privateKeyFromRaw } from '@libp2p/crypto/keys'
import { peerIdFromString } from '@libp2p/peer-id'
import { generateCertificate, verifyPeerCertificate } from '@libp2p/tls/utils'
import type { DirectIdentity } from '../../direct/direct-identity.ts'
import type { Identity } from '../../identity.ts'

/** Certificates as libp2p's TLS has them (github.com/libp2p/specs/blob/master/tls/tls.md). */
export function directIdentity(identity: Identity): DirectIdentity {
  // Made with the first connection: it costs 10 ms.
  let certificate: ReturnType<DirectIdentity['certificate']> | undefined
  return {
    certificate: () => {
      certificate ??= generateCertificate(privateKeyFromRaw(identity.exposeSecretKey()))
      return certificate
    },
    async verify(raw, peer) {
      await verifyPeerCertificate(raw, peerIdFromString(peer))
    },
  }
}
