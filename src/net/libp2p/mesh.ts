import type { Libp2p, PeerInfo } from '@libp2p/interface'
import { peerIdFromString } from '@libp2p/peer-id'
import { multiaddr } from '@multiformats/multiaddr'
import type { ProtocolName, RequestHandler } from '../../interface/network.ts'
import { type PeerId, parsePeerId } from '../../key/peer-id.ts'
import { meshPeersMax } from '../../limits.ts'
import type { Member } from '../../wire/member-messages.ts'
import {
  MemberExchange,
  type MemberExchangeComponents,
  membersProtocol,
} from '../member-exchange.ts'
import type { PeerLink, PeerLinks } from '../session/peer-links.ts'
import { bestFirst } from './addresses.ts'

export interface MeshComponents
  extends Pick<MemberExchangeComponents, 'self' | 'log' | 'scope' | 'onMisbehaviour'> {
  readonly node: Libp2p
  readonly links: PeerLinks
  readonly reach: (peer: PeerId, signal: AbortSignal) => Promise<PeerLink>
  /** Begins to keep a connection with a peer whose address the library knows. */
  readonly keep: (peer: PeerId) => void
}

type Handlers = ReadonlyMap<ProtocolName, RequestHandler>

/** Turns what is heard of other members into connections, while there are few of them. */
export class Mesh {
  readonly #parts: MeshComponents
  readonly #peersMax: number
  readonly #exchange: MemberExchange

  constructor(
    components: MeshComponents,
    { meshPeers = meshPeersMax }: { readonly meshPeers?: number },
  ) {
    this.#parts = components
    this.#peersMax = meshPeers
    this.#exchange = this.#createExchange()
  }

  /** The handlers of a node, and what this needs besides. */
  withHandlers(handlers: Handlers): Handlers {
    return new Map([...handlers, [membersProtocol, this.#exchange.answer]])
  }

  /** Before the library's node starts. */
  attach(): void {
    const { node, links } = this.#parts
    node.addEventListener('peer:discovery', ({ detail }) => this.#onDiscovery(detail))
    links.onChange(({ type, peer }) => this.#exchange[type](peer))
  }

  #createExchange(): MemberExchange {
    const { self, log, scope, reach, onMisbehaviour, links, node } = this.#parts
    return new MemberExchange({
      self,
      log,
      scope,
      request: async (peer, body, options) => {
        const { session } = await reach(peer, options.signal)
        return await session.request(membersProtocol, body, options)
      },
      onMisbehaviour,
      isConnected: peer => links.get(peer) !== undefined,
      addresses: () => bestFirst(node.getMultiaddrs().map(String)),
      addressesOf: async peer => {
        const { addresses } = await node.peerStore.get(peerIdFromString(peer))
        return addresses.map(({ multiaddr: address }) => `${address}/p2p/${peer}`)
      },
      told: async member => {
        const { id, multiaddrs } = infoOf(member)
        // In place of what it told before: a member that has new ones each time costs no more.
        if (multiaddrs.length > 0) await node.peerStore.patch(id, { multiaddrs })
      },
      discovered: member => this.#onDiscovery(infoOf(member)),
    })
  }

  #onDiscovery({ id, multiaddrs }: PeerInfo): void {
    const { node, links, scope, keep } = this.#parts
    const peer = parsePeerId(id.toString())
    // The library also calls a peer discovered that we have failed to dial, without an address.
    if (peer === undefined || multiaddrs.length === 0) return
    if (links.list().length >= this.#peersMax || links.get(peer) !== undefined) return
    scope.spawn('remember discovered peer', async () => {
      await node.peerStore.merge(id, { multiaddrs })
      keep(peer)
    })
  }
}

/** Addresses that are none, or somebody else's, are left out. */
function infoOf({ peer, addresses }: Member): PeerInfo {
  const multiaddrs = addresses.flatMap(text => {
    try {
      return text.endsWith(`/p2p/${peer}`) ? [multiaddr(text)] : []
    } catch {
      return []
    }
  })
  return { id: peerIdFromString(peer), multiaddrs }
}
