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

/**
 * The certificate of one peer while it is connected, read once: reading it takes longer than all
 * the rest of opening a connection. TLS has whoever shows it prove that its key is theirs.
 */
export class KnownCertificate {
  readonly #identity: DirectIdentity
  #certificate: Uint8Array | undefined

  constructor(identity: DirectIdentity) {
    this.#identity = identity
  }

  /** Rejects as `DirectIdentity.verify`. `peer` is always the same. */
  async verify(certificate: Uint8Array, peer: PeerId): Promise<void> {
    const known = this.#certificate
    if (known !== undefined && Buffer.compare(certificate, known) === 0) return
    await this.#identity.verify(certificate, peer)
    this.#certificate = Buffer.from(certificate)
  }
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
