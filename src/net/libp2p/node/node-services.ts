import { autoNATv2 } from '@libp2p/autonat-v2'
import { circuitRelayServer } from '@libp2p/circuit-relay-v2'
import { identify, identifyPush } from '@libp2p/identify'
import type { ServiceMap } from '@libp2p/interface'
import {
  type KadDHT,
  kadDHT,
  passthroughMapper,
  removePrivateAddressesMapper,
} from '@libp2p/kad-dht'
import { type Ping, ping } from '@libp2p/ping'
import { uPnPNAT } from '@libp2p/upnp-nat'
import type { Multiaddr } from '@multiformats/multiaddr'
import type { Libp2pOptions } from 'libp2p'
import { relayBytesMax, relayDurationMs, relayReservationsMax } from '../../../limits.ts'
import type { Libp2pNetworkOptions } from '../network-options.ts'
import type { LibraryTimerHolder } from './library-timers.ts'
import { mendMiddleware } from './middleware-map.ts'

/** What the network uses of the library's services by name. */
export interface NodeServices extends ServiceMap {
  readonly dht: KadDHT
  readonly ping: Ping
}

export const kadProtocol = '/hyperspace/kad/1'

/** Library protocols: a stranger who got as far as encryption is not served these either. */
export const gatedProtocols: readonly string[] = [
  kadProtocol,
  '/hyperspace/id/1.0.0',
  '/hyperspace/id/push/1.0.0',
  '/hyperspace/ping/1.0.0',
  '/libp2p/autonat/2/dial-request',
  '/libp2p/autonat/2/dial-back',
  '/libp2p/circuit/relay/0.2.0/hop',
  '/libp2p/circuit/relay/0.2.0/stop',
  '/webrtc-signaling/0.0.1',
]

export interface InnerParts {
  /** What is to be stopped after the node's stop. */
  readonly timers: LibraryTimerHolder[]
  /** Listens on one more address. */
  listen: (addresses: Multiaddr[]) => Promise<void>
}

type Services = NonNullable<Libp2pOptions<NodeServices>['services']>

/** The library's services, each limited to what we use of it. */
export function servicesOf({ preset, relay }: Libp2pNetworkOptions, inner: InnerParts): Services {
  const isWan = preset === 'wan'
  return {
    identify: identify({
      protocolPrefix: 'hyperspace',
      maxInboundStreams: 2,
      maxOutboundStreams: 2,
    }),
    identifyPush: components => {
      const owner = identifyPush({
        protocolPrefix: 'hyperspace',
        maxInboundStreams: 2,
        maxOutboundStreams: 2,
      })(components)
      mendMiddleware(components.registrar)
      const { addressManager, transportManager } = components
      inner.timers.push({ owner, method: '_push' })
      inner.timers.push({ owner: addressManager, method: '_updatePeerStoreAddresses' })
      inner.listen = addresses => transportManager.listen(addresses)
      return owner
    },
    ping: ping({ protocolPrefix: 'hyperspace', maxInboundStreams: 2, maxOutboundStreams: 2 }),
    dht: kadDHT({
      protocol: kadProtocol,
      // The default mapper drops private addresses, and with them every member of a LAN.
      peerInfoMapper: isWan ? removePrivateAddressesMapper : passthroughMapper,
      ...(isWan ? {} : { clientMode: false }),
      // 8 lost a quarter of all look-ups in a swarm of 64; 20 lost none.
      kBucketSize: 20,
      alpha: 10,
      maxInboundStreams: 64,
      maxOutboundStreams: 64,
    }),
    ...(isWan ? { autonat: autoNATv2({ maxInboundStreams: 2, maxOutboundStreams: 4 }) } : {}),
    ...(isWan ? { upnp: uPnPNAT() } : {}),
    ...(relay === 'server' ? { relay: circuitRelayServer(relayInit) } : {}),
  }
}

/** The library's own limit of 128 KiB would cut an answer off. */
const relayInit: NonNullable<Parameters<typeof circuitRelayServer>[0]> = {
  maxInboundHopStreams: 64,
  maxOutboundHopStreams: 64,
  maxOutboundStopStreams: 64,
  reservations: {
    maxReservations: relayReservationsMax,
    defaultDataLimit: BigInt(relayBytesMax),
    defaultDurationLimit: relayDurationMs,
  },
}
