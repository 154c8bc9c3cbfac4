import { createHash } from 'node:crypto'
import { silentLog } from '../../src/interface/log.ts'
import { Identity } from '../../src/net/identity.ts'
import { Libp2pNetwork } from '../../src/net/libp2p/libp2p-network.ts'
import { systemClock } from '../../src/std/clock.ts'
import { systemRandom } from '../../src/std/random.ts'
import { benchSwarmSecret } from './swarm-node.ts'

export interface BenchNetworkOptions {
  /** Whose key it has: the same name is the same peer id in every process. */
  readonly name: string
  /** @default 0, any free one */
  readonly port?: number
  readonly peers?: readonly string[]
}

/** The network of a node of the bench's swarm without the rest of the node; not started. */
export function benchNetwork({ name, port = 0, peers = [] }: BenchNetworkOptions): Libp2pNetwork {
  return new Libp2pNetwork(
    { clock: systemClock, log: silentLog, random: systemRandom },
    {
      identity: identityOf(name),
      swarmSecret: benchSwarmSecret,
      listen: { host: '127.0.0.1', port },
      preset: 'loopback',
      peers,
      mdns: false,
      relay: 'off',
      announce: [],
      // Who is connected with whom is up to the bench.
      meshPeers: 0,
    },
  )
}

/** Where the network of that name listens on that port. */
export function addressOf(name: string, port: number | string): string {
  return `/ip4/127.0.0.1/tcp/${port}/p2p/${identityOf(name).peerId}`
}

function identityOf(name: string): Identity {
  return Identity.fromSeed(createHash('sha256').update(name).digest())
}
