import type { Connection, Libp2p } from '@libp2p/interface'
import { peerIdFromString } from '@libp2p/peer-id'
import { isMultiaddr, type Multiaddr, multiaddr } from '@multiformats/multiaddr'
import { OperationError, requestInvalid } from '../../errors.ts'
import type { PeerId } from '../../key/peer-id.ts'
import { dialTimeoutMs, membersMax } from '../../limits.ts'
import type { Clock } from '../../std/clock.ts'
import { Lru } from '../../std/lru.ts'
import { isAbort, linkSignal } from '../../std/signal.ts'
import { peerError } from '../peer-error.ts'
import type { PeerLink, PeerLinks } from '../session/peer-links.ts'

/** A peer that could not be reached is not tried again by a request within this time. */
const failureKeptMs = 5_000

/** Dials of one connection, where one was given up by somebody else or hangs. */
const dialAttemptsMax = 3

export interface DialerComponents {
  readonly clock: Clock
  readonly links: PeerLinks
  readonly dial: Libp2p['dial']
  /** Whether the library knows where a peer is. */
  readonly knowsAddress: (peer: PeerId) => Promise<boolean>
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
    if (isRecent || !(await this.#parts.knowsAddress(peer))) throw peerError('peer_unreachable')
    try {
      return await this.#dial(peerIdFromString(peer), signal)
    } catch (error) {
      if (!signal.aborted) this.#failed.set(peer, this.#parts.clock.monotonicMs(), 1)
      throw error
    }
  }

  async #dial(target: DialTarget, signal: AbortSignal): Promise<PeerLink> {
    const { clock } = this.#parts
    const linked = linkSignal(clock, [signal], dialTimeoutMs)
    try {
      for (let attempt = 1; ; attempt++) {
        try {
          return await this.#dialOnce(target, linked.signal)
        } catch (error) {
          const isOver = linked.signal.aborted || attempt >= dialAttemptsMax
          if (isOver || !isGivenUp(error)) throw error
        }
      }
    } catch (error) {
      signal.throwIfAborted()
      throw peerError(isRefusal(error) ? 'swarm_refused' : 'peer_unreachable', error)
    } finally {
      linked[Symbol.dispose]()
    }
  }

  async #dialOnce(target: DialTarget, signal: AbortSignal): Promise<PeerLink> {
    const { clock, dial, opened } = this.#parts
    // A lost signal of WebRTC is not sent again; the dial that waits for it never ends by itself.
    const timeoutMs = isWebRtc(target) ? dialTimeoutMs / dialAttemptsMax : undefined
    const linked = linkSignal(clock, [signal], timeoutMs)
    try {
      return await opened(await dial(target, { signal: linked.signal }))
    } finally {
      linked[Symbol.dispose]()
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

function isWebRtc(target: DialTarget): boolean {
  return isMultiaddr(target) && target.toString().includes('/webrtc')
}

/**
 * Whether a dial ended because somebody gave it up. The library lets us join a dial of its own, as
 * of a walk through the hash table, and when that one is given up ours ends with it.
 */
function isGivenUp(error: unknown): boolean {
  if (error instanceof AggregateError) return error.errors.some(isGivenUp)
  return isAbort(error)
}

/** Several addresses may have been tried, and the library wraps what went wrong. */
function isRefusal(error: unknown): boolean {
  if (error instanceof OperationError) return error.code === 'swarm_refused'
  if (error instanceof AggregateError) return error.errors.some(isRefusal)
  return error instanceof Error && error.cause !== undefined && isRefusal(error.cause)
}
