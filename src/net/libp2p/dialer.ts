import type { Connection, Libp2p } from '@libp2p/interface'
import { peerIdFromString } from '@libp2p/peer-id'
import { type Multiaddr, multiaddr } from '@multiformats/multiaddr'
import { OperationError, requestInvalid } from '../../errors.ts'
import type { PeerId } from '../../key/peer-id.ts'
import { dialTimeoutMs, membersMax } from '../../limits.ts'
import type { Clock } from '../../std/clock.ts'
import { Lru } from '../../std/lru.ts'
import { linkSignal } from '../../std/signal.ts'
import { peerError } from '../peer-error.ts'
import type { PeerLink, PeerLinks } from '../session/peer-links.ts'

/** A peer that could not be reached is not tried again by a request within this time. */
const failureKeptMs = 5_000

export interface DialerComponents {
  readonly clock: Clock
  readonly links: PeerLinks
  readonly node: () => Libp2p
  /** The session of a connection. */
  readonly opened: (connection: Connection) => Promise<PeerLink>
}

/** Makes connections, up to the proved session, and says in our words why one failed. */
export class Dialer {
  readonly #parts: DialerComponents
  /** When a peer could not be reached, in monotonic milliseconds. */
  readonly #failed = new Lru<PeerId, number>(membersMax)

  constructor(components: DialerComponents) {
    this.#parts = components
  }

  /** @throws request_invalid, peer_unreachable, swarm_refused */
  dialAddress(address: string, signal: AbortSignal): Promise<PeerLink> {
    const target = parseAddress(address)
    return this.#dial(target, signal)
  }

  /**
   * The connection with a peer; a peer whose address is known is dialled.
   * @throws peer_unreachable, swarm_refused
   */
  async reach(peer: PeerId, signal: AbortSignal): Promise<PeerLink> {
    const link = this.#parts.links.get(peer)
    if (link !== undefined) return link
    const failedMs = this.#failed.get(peer)
    const nowMs = this.#parts.clock.monotonicMs()
    const isRecent = failedMs !== undefined && nowMs - failedMs < failureKeptMs
    if (isRecent || !(await this.#knowsAddress(peer))) throw peerError('peer_unreachable')
    try {
      return await this.#dial(peerIdFromString(peer), signal)
    } catch (error) {
      if (!signal.aborted) this.#failed.set(peer, this.#parts.clock.monotonicMs(), 1)
      throw error
    }
  }

  async #dial(target: DialTarget, signal: AbortSignal): Promise<PeerLink> {
    const { clock, node, opened } = this.#parts
    const linked = linkSignal(clock, [signal], dialTimeoutMs)
    try {
      return await opened(await node().dial(target, { signal: linked.signal }))
    } catch (error) {
      signal.throwIfAborted()
      throw peerError(isRefusal(error) ? 'swarm_refused' : 'peer_unreachable', error)
    } finally {
      linked[Symbol.dispose]()
    }
  }

  async #knowsAddress(peer: PeerId): Promise<boolean> {
    try {
      const { addresses } = await this.#parts.node().peerStore.get(peerIdFromString(peer))
      return addresses.length > 0
    } catch {
      // The library throws for a peer that it does not know.
      return false
    }
  }
}

type DialTarget = Multiaddr | ReturnType<typeof peerIdFromString>

function parseAddress(address: string): Multiaddr {
  try {
    return multiaddr(address)
  } catch {
    const example = '/ip4/192.168.1.7/tcp/11501/p2p/12D3KooW…'
    throw requestInvalid('address', `'${address}' is no peer address. One looks like ${example}`)
  }
}

/** Several addresses may have been tried, and the library wraps what went wrong. */
function isRefusal(error: unknown): boolean {
  if (error instanceof OperationError) return error.code === 'swarm_refused'
  if (error instanceof AggregateError) return error.errors.some(isRefusal)
  return error instanceof Error && error.cause !== undefined && isRefusal(error.cause)
}
