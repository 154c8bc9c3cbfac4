import { circuitRelayTransport } from '@libp2p/circuit-relay-v2'
import { privateKeyFromRaw } from '@libp2p/crypto/keys'
import type { ConnectionGater, ConnectionProtector } from '@libp2p/interface'
import { mdns } from '@libp2p/mdns'
import { noise } from '@libp2p/noise'
import { tcp } from '@libp2p/tcp'
import { tls } from '@libp2p/tls'
import { yamux } from '@libp2p/yamux'
import type { Libp2pOptions } from 'libp2p'
import * as limits from '../../../limits.ts'
import type { Libp2pNetworkOptions } from '../network-options.ts'
import { type InnerParts, type NodeServices, servicesOf } from './node-services.ts'

/** More than ours use at once, so that the library's silent resets cannot hit them. */
const muxerStreamsMax: number = 2 * limits.streamsPerPeerMax + 64
/** The first window must stay the library's: both ends assume it without saying so. */
const streamWindowBytesMax: number = 2 * limits.MiB
/** Twice the window: what the library gives out as credit must fit where it puts it. */
const readBufferBytesMax: number = 4 * limits.MiB

export interface NodeParts {
  readonly options: Libp2pNetworkOptions
  readonly serviceTag: string
  readonly gater: ConnectionGater
  readonly protector: ConnectionProtector
  /** Filled with parts of the library that its node does not show. */
  readonly inner: InnerParts
}

/** Everything that the library is told: each option is explicit, with network.md as the reason. */
export async function nodeOptions(parts: NodeParts): Promise<Libp2pOptions<NodeServices>> {
  const { options, serviceTag, gater, protector, inner } = parts
  const isLoopback = options.preset === 'loopback'
  return {
    start: false,
    privateKey: privateKeyFromRaw(options.identity.exposeSecretKey()),
    nodeInfo: { name: 'hyperspace', version: '1', userAgent: 'hyperspace' },
    addresses: {
      listen: [...listenAddresses(options)],
      announce: [],
      appendAnnounce: [...options.announce],
    },
    transports: await transportsOf(options),
    // TLS is 1.5 times as fast as Noise per byte, and several times for small messages.
    connectionEncrypters: [tls(), noise()],
    streamMuxers: [
      yamux({
        maxInboundStreams: muxerStreamsMax,
        maxOutboundStreams: muxerStreamsMax,
        maxEarlyStreams: 64,
        streamOptions: {
          maxStreamWindowSize: streamWindowBytesMax,
          maxReadBufferLength: readBufferBytesMax,
        },
      }),
    ],
    connectionProtector: () => protector,
    connectionGater: gater,
    connectionManager: {
      maxConnections: limits.membersMax,
      inboundConnectionThreshold: isLoopback
        ? limits.inboundPerSecondLoopbackMax
        : limits.inboundPerSecondMax,
      maxIncomingPendingConnections: limits.inboundPendingMax,
      maxParallelDials: 32,
      dialTimeout: limits.dialTimeoutMs,
      inboundUpgradeTimeout: limits.dialTimeoutMs,
      // Lost peers are dialled again by redialer.ts, which knows whom to keep.
      reconnectRetries: 0,
    },
    // Opens a stream per connection every 10 s. Our session pings within the open one.
    connectionMonitor: { enabled: false },
    peerDiscovery: options.mdns ? [mdns({ serviceTag })] : [],
    services: servicesOf(options, inner),
  }
}

function listenAddresses({ listen, relay }: Libp2pNetworkOptions): readonly string[] {
  const direct: string[] = []
  if (listen !== undefined) {
    const family = listen.host.includes(':') ? 'ip6' : 'ip4'
    direct.push(`/${family}/${listen.host}/tcp/${listen.port}`)
  }
  // Signalling for a direct WebRTC connection, through the relays that relay-keeper.ts finds.
  return relay === 'client' ? [...direct, '/webrtc'] : direct
}

async function transportsOf(options: Libp2pNetworkOptions): Promise<TransportFactories> {
  if (options.relay === 'off') return [tcp()]
  // Loads a native library: only where it is of use.
  const { webRTC } = await import('@libp2p/webrtc')
  // The library asks well-known STUN servers for our public address; outside a WAN nobody is asked.
  const rtcConfiguration = options.preset === 'wan' ? undefined : { iceServers: [] }
  const init = rtcConfiguration === undefined ? {} : { rtcConfiguration }
  return [tcp(), circuitRelayTransport(), webRTC(init)]
}

type TransportFactories = NonNullable<Libp2pOptions['transports']>
