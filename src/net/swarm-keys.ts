import { hkdfSync } from 'node:crypto'

/** Length of a swarm's secret. Random, so that nobody guesses it from what is on the wire. */
export const swarmSecretBytes = 32

/** What a swarm's secret is used for on the network: each use has its own key (spec/wire.md §1). */
export interface SwarmKeys {
  /** Key of the first proof, before encryption. */
  readonly connection: Uint8Array
  /** Key of the second proof, which binds the peer ids. */
  readonly session: Uint8Array
  /** mDNS service by which members on one LAN find each other, and nobody else's. */
  readonly serviceTag: string
}

export function swarmKeys(secret: Uint8Array): SwarmKeys {
  if (secret.length !== swarmSecretBytes) {
    throw new RangeError(`A swarm's secret has ${swarmSecretBytes} bytes`)
  }
  const tag = Buffer.from(derive(secret, 'hyperspace/mdns/1', 6)).toString('hex')
  return {
    connection: derive(secret, 'hyperspace/connection/1', 32),
    session: derive(secret, 'hyperspace/session/1', 32),
    // A service name has at most 15 characters (RFC 6335).
    serviceTag: `_hs-${tag}._udp.local`,
  }
}

function derive(secret: Uint8Array, info: string, bytes: number): Uint8Array {
  return new Uint8Array(hkdfSync('sha256', secret, new Uint8Array(0), info, bytes))
}
