import type { PeerChange, PeerId } from '../../interface/network.ts'
import { membershipTimeoutMs } from '../../limits.ts'
import { type Clock, delay } from '../../std/clock.ts'
import { linkSignal } from '../../std/signal.ts'
import type { TaskScope } from '../../std/task-scope.ts'
import { peerError } from '../peer-error.ts'
import type { ByteChannel } from './byte-channel.ts'
import { chooseLink, type LinkTraits } from './choose-link.ts'
import type { Session } from './session.ts'

/** One connection to a member, with its session. */
export interface PeerLink extends LinkTraits {
  readonly session: Session
  readonly address: string
  readonly direction: 'inbound' | 'outbound'
  /** Milliseconds since 1970. */
  readonly connectedAt: number
  /** A stream of its own, for one call. */
  openChannel(signal: AbortSignal): Promise<ByteChannel>
  /** Whether streams other than the session's run over the connection. */
  isInUse(): boolean
  /** Ends the connection. */
  close(): Promise<void>
}

/** How long a connection that nobody needs is looked at before it is closed. */
const surplusGraceMs = 2_000

/** The members that are connected: the connection in use of each, and those that fade out. */
export class PeerLinks {
  readonly #clock: Clock
  readonly #scope: TaskScope
  readonly #links = new Map<PeerId, readonly PeerLink[]>()
  readonly #listeners = new Set<(change: PeerChange) => void>()

  constructor(clock: Clock, scope: TaskScope) {
    this.#clock = clock
    this.#scope = scope
  }

  /** The connection to use for a peer. */
  get(peer: PeerId): PeerLink | undefined {
    return chooseLink(this.#links.get(peer) ?? [])
  }

  /** The connection in use of every member. */
  list(): readonly PeerLink[] {
    return [...this.#links.keys()].flatMap(peer => this.get(peer) ?? [])
  }

  all(): readonly PeerLink[] {
    return [...this.#links.values()].flat()
  }

  of(peer: PeerId): readonly PeerLink[] {
    return this.#links.get(peer) ?? []
  }

  onChange(listener: (change: PeerChange) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  add(link: PeerLink): void {
    const { peer } = link.session
    const others = this.of(peer)
    this.#links.set(peer, [...others, link])
    if (others.length === 0) {
      this.#tell({ type: 'connected', peer })
      return
    }
    // A peer that comes again may have lost the connection that still looks alive from here.
    for (const other of others) this.#scope.spawn('probe', signal => this.#probe(other, signal))
    const used = this.get(peer)
    for (const surplus of this.of(peer)) if (surplus !== used) surplus.session.sayGoodbye()
  }

  remove(link: PeerLink): void {
    const { peer } = link.session
    const before = this.of(peer)
    const after = before.filter(other => other !== link)
    if (after.length === before.length) return
    if (after.length > 0) {
      this.#links.set(peer, after)
      return
    }
    this.#links.delete(peer)
    this.#tell({ type: 'disconnected', peer })
  }

  /** Both sides of a link have said goodbye: closes it unless it is needed again by then. */
  fadeOut(link: PeerLink): void {
    this.#scope.spawn('close surplus connection', async signal => {
      do await delay(this.#clock, surplusGraceMs, signal)
      while (link.session.isOpen && (link.isInUse() || !link.session.isQuiet))
      if (link.session.isOpen && this.get(link.session.peer) !== link) await link.close()
    })
  }

  async #probe(link: PeerLink, signal: AbortSignal): Promise<void> {
    const linked = linkSignal(this.#clock, [signal], membershipTimeoutMs)
    const onAbort = (): void => {
      if (!signal.aborted) void link.session.end(peerError('peer_timeout'))
    }
    linked.signal.addEventListener('abort', onAbort)
    try {
      await link.session.ping()
    } catch {
      // Ended meanwhile: that is all the probe wanted to know.
    } finally {
      linked[Symbol.dispose]()
    }
  }

  #tell(change: PeerChange): void {
    for (const listener of [...this.#listeners]) listener(change)
  }
}
