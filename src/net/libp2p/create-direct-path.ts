import type { PeerId, ProtocolName, StreamHandler } from '../../interface/network.ts'
import {
  directDialTimeoutMs,
  inboundPendingMax,
  inboundPendingPerAddressMax,
} from '../../limits.ts'
import { decodeDirectOffer } from '../direct/direct-offer.ts'
import { DirectPath, type DirectPathComponents, directProtocol } from '../direct/direct-path.ts'
import { isFaultOfPeer } from '../session/error-label.ts'
import type { PeerLink } from '../session/peer-links.ts'
import type { Libp2pNetworkOptions } from './network-options.ts'
import { directIdentity } from './node/certificate.ts'

export type { DirectPath }

export interface DirectPathParts
  extends Omit<DirectPathComponents, 'identity' | 'handlers' | 'askOffer'> {
  readonly options: Libp2pNetworkOptions
  readonly byteHandlers: ReadonlyMap<ProtocolName, StreamHandler>
  readonly reach: (peer: PeerId, signal: AbortSignal) => Promise<PeerLink>
}

/** The direct path of a node: its identity is the library's, and its sessions bring the offers. */
export function createDirectPath(parts: DirectPathParts): DirectPath {
  const { options, byteHandlers, reach, onMisbehaviour } = parts
  const { listen, directPort = 0, preset } = options
  const pendingPerAddressMax =
    preset === 'loopback' ? inboundPendingMax : inboundPendingPerAddressMax
  const components: DirectPathComponents = {
    ...parts,
    handlers: byteHandlers,
    identity: directIdentity(options.identity),
    askOffer: async (peer, { signal }) => {
      const { session } = await reach(peer, signal)
      const request = { signal, timeoutMs: directDialTimeoutMs }
      const reply = await session.request(directProtocol, new Uint8Array(0), request)
      try {
        return decodeDirectOffer(reply)
      } catch (error) {
        if (isFaultOfPeer(error)) onMisbehaviour(peer)
        throw error
      }
    },
  }
  return new DirectPath(
    components,
    listen && { host: listen.host, port: directPort, pendingPerAddressMax },
  )
}
