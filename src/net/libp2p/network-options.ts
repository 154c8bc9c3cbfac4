import type { Log } from '../../interface/log.ts'
import type { PeerId } from '../../key/peer-id.ts'
import type { Clock } from '../../std/clock.ts'
import type { Random } from '../../std/random.ts'
import type { Identity } from '../identity.ts'

export interface Libp2pNetworkComponents {
  readonly clock: Clock
  readonly log: Log
  readonly random: Random
}

export interface Libp2pNetworkOptions {
  readonly identity: Identity
  /** 32 bytes. Whoever knows them is a member. */
  readonly swarmSecret: Uint8Array
  /** Where to listen (port 0: any free one); undefined for a node that only dials out. */
  readonly listen: { readonly host: string; readonly port: number } | undefined
  /**
   * Where members connect for many bytes, on the same host (0: any free port).
   * @default 0
   */
  readonly directPort?: number
  /**
   * `loopback`: all nodes on one machine. `lan`: private addresses are reachable. `wan`: public
   * ones are, and what stands in the way (NAT) is looked for.
   */
  readonly preset: 'loopback' | 'lan' | 'wan'
  /** Multiaddrs of members to be connected with always. */
  readonly peers: readonly string[]
  /** Finds members on the same LAN without any address. */
  readonly mdns: boolean
  /** `client`: be reachable through relays of the swarm. `server`: be one. */
  readonly relay: 'off' | 'client' | 'server'
  /** Multiaddrs at which others reach this node besides those it listens on (port forwarding). */
  readonly announce: readonly string[]
  /** Discovered members are dialled while fewer than this are connected. @default meshPeersMax */
  readonly meshPeers?: number
  /** A peer sent what it must not: reputation takes it from here. */
  readonly onMisbehaviour?: (peer: PeerId) => void
}
