import { constants } from 'node:crypto'
import type { SecureContextOptions, TlsOptions } from 'node:tls'
import type { PeerId } from '../../key/peer-id.ts'

/** Who we are to the other end of a direct connection, and how its word on who it is is checked. */
export interface DirectIdentity {
  /** Names our peer id, signed with its key. The same for the life of the process. PEM. */
  certificate(): Promise<DirectCertificate>
  /** Rejects unless the certificate (DER), whose key the other end has used, names that peer. */
  verify(certificate: Uint8Array, peer: PeerId): Promise<void>
}

export interface DirectCertificate {
  readonly cert: string
  readonly key: string
}

/** What both ends insist on. Resumption is off: a resumed connection shows no certificate. */
export const tlsRules: TlsRules = {
  minVersion: 'TLSv1.3',
  ciphers: 'TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256',
  // Nobody vouches for these certificates but themselves; they are checked by `verify`.
  rejectUnauthorized: false,
  secureOptions: constants.SSL_OP_NO_TICKET,
}

type TlsRules = Pick<
  TlsOptions & SecureContextOptions,
  'minVersion' | 'ciphers' | 'rejectUnauthorized' | 'secureOptions'
>
