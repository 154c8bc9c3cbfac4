import type { IdentifyResult, Libp2p } from '@libp2p/interface'
import { type Multiaddr, multiaddr } from '@multiformats/multiaddr'
import type { Log } from '../../interface/log.ts'
import type { TaskScope } from '../../std/task-scope.ts'
import { errorLabel } from '../session/error-label.ts'

const hopProtocol = '/libp2p/circuit/relay/0.2.0/hop'
/** Relays at which a hidden node has a place: one, and one for when that goes away. */
const placesMax = 2

export interface RelayKeeperComponents {
  readonly log: Log
  readonly scope: TaskScope
  readonly node: Libp2p
  /** The library's own, which its node does not show. */
  readonly listen: (addresses: Multiaddr[]) => Promise<void>
}

/**
 * Keeps places at relays of the swarm, for a node that cannot be dialled. Asks whichever member
 * says that it relays, and asks again when the connection was lost: the library does not
 * (ADR 0004 §13), and its own search for relays walks the hash table without a pause.
 */
export class RelayKeeper {
  readonly #parts: RelayKeeperComponents
  readonly #asking = new Set<string>()

  constructor(components: RelayKeeperComponents) {
    this.#parts = components
  }

  attach(): void {
    const { node } = this.#parts
    node.addEventListener('peer:identify', ({ detail }) => this.#onIdentify(detail))
  }

  #onIdentify({ peerId, protocols, connection }: IdentifyResult): void {
    const { log, scope, node, listen } = this.#parts
    const relay = peerId.toString()
    const canRelay = protocols.includes(hopProtocol) && connection.limits === undefined
    if (!canRelay || connection.direction !== 'outbound' || this.#asking.has(relay)) return
    const places = relaysOf(node.getMultiaddrs().map(String))
    if (places.has(relay) || places.size >= placesMax) return
    this.#asking.add(relay)
    scope.spawn('reserve relay', async () => {
      try {
        await listen([multiaddr(`${connection.remoteAddr}/p2p-circuit`)])
      } catch (error) {
        log.debug('relay refused', { peer: relay, error: errorLabel(error) })
      } finally {
        this.#asking.delete(relay)
      }
    })
  }
}

/** Peer ids of the relays in relayed addresses. */
function relaysOf(addresses: readonly string[]): ReadonlySet<string> {
  const ids = addresses.map(address => /\/p2p\/([^/]+)\/p2p-circuit/.exec(address)?.[1])
  return new Set(ids.filter(id => id !== undefined))
}
