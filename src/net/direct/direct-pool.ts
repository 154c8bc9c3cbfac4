import type { PeerId } from '../../interface/network.ts'
import { directConnectionsPerPeerMax, directDialTimeoutMs, directRetryMs } from '../../limits.ts'
import { type AbortOptions, linkSignal } from '../../std/signal.ts'
import {
  type DirectConnection,
  type DirectConnectionComponents,
  openDirectConnection,
} from './direct-connection.ts'
import { KnownCertificate } from './direct-identity.ts'
import type { DirectOffer } from './direct-offer.ts'

export interface DirectPoolComponents
  extends Omit<DirectConnectionComponents, 'measures' | 'known'> {
  readonly measuresOf: (peer: PeerId) => DirectConnectionComponents['measures']
  /** Asks a connected member where it takes direct connections. */
  readonly askOffer: (peer: PeerId, options: AbortOptions) => Promise<DirectOffer | undefined>
}

/** What is known of the direct way to one connected member. */
interface Way {
  offer: Promise<DirectOffer | undefined> | undefined
  readonly connections: Set<DirectConnection>
  readonly known: KnownCertificate
  dialing: number
  /** A connection is being opened ahead. */
  ahead: Promise<void> | undefined
  /** Not tried before then, in monotonic milliseconds. */
  closedUntilMs: number
  isDirect: boolean | undefined
}

/** Our direct connections to members: a few to each, kept while they are used. */
export class DirectPool {
  readonly #parts: DirectPoolComponents
  readonly #ways = new Map<PeerId, Way>()
  readonly #controller = new AbortController()

  constructor(components: DirectPoolComponents) {
    this.#parts = components
  }

  /** Whether the last attempt to reach the peer directly succeeded; undefined: there was none. */
  isDirect(peer: PeerId): boolean | undefined {
    return this.#ways.get(peer)?.isDirect
  }

  /** Members to whom a connection is open or being opened. */
  get reached(): number {
    const ways = [...this.#ways.values()]
    return ways.filter(({ connections, dialing }) => connections.size + dialing > 0).length
  }

  /**
   * A connection for one call, reserved; undefined where there is none to be had now.
   * @throws the signal's reason
   */
  async connectionTo(
    peer: PeerId,
    host: string | undefined,
    { signal }: AbortOptions,
  ): Promise<DirectConnection | undefined> {
    const way = this.#wayTo(peer)
    const idle = reserved(way)
    if (idle !== undefined) return idle
    if (way.ahead !== undefined) {
      await unlessAborted(way.ahead, signal)
      const opened = reserved(way)
      if (opened !== undefined) return opened
    }
    if (host === undefined || this.#controller.signal.aborted) {
      way.isDirect = false
      return undefined
    }
    const isShut = this.#parts.clock.monotonicMs() < way.closedUntilMs
    const isFull = way.connections.size + way.dialing >= directConnectionsPerPeerMax
    return isShut || isFull ? undefined : await this.#dial({ peer, host }, way, signal)
  }

  /**
   * Opens a connection for a call that will soon be made, unless there is one to be had.
   * @throws the signal's reason
   */
  async openAhead(peer: PeerId, host: string | undefined, options: AbortOptions): Promise<void> {
    const way = this.#wayTo(peer)
    if (way.connections.size + way.dialing > 0) return
    const opening = this.connectionTo(peer, host, options).then(opened => opened?.release())
    // Whoever waits for it dials itself when nothing came of it.
    way.ahead = opening.catch(() => undefined)
    try {
      await opening
    } finally {
      way.ahead = undefined
    }
  }

  /** A call got no answer over a connection: if there never was one, there is no way after all. */
  failed(peer: PeerId, { wasUsable }: DirectConnection): void {
    const way = this.#ways.get(peer)
    if (way !== undefined && !wasUsable) this.#shut(way)
  }

  /** The member is connected no more: neither are its direct connections. */
  close(peer: PeerId): void {
    const way = this.#ways.get(peer)
    this.#ways.delete(peer)
    for (const connection of way?.connections ?? []) connection.destroy()
  }

  /** Nothing of it is open when this returns. */
  async stop(): Promise<void> {
    this.#controller.abort(new DOMException('The node stops', 'AbortError'))
    const open = [...this.#ways.values()].flatMap(({ connections }) => [...connections])
    for (const peer of [...this.#ways.keys()]) this.close(peer)
    await Promise.all(open.map(connection => connection.closed))
  }

  #wayTo(peer: PeerId): Way {
    const known = this.#ways.get(peer)
    if (known !== undefined) return known
    const way: Way = {
      offer: undefined,
      connections: new Set(),
      known: new KnownCertificate(this.#parts.identity),
      dialing: 0,
      ahead: undefined,
      closedUntilMs: Number.NEGATIVE_INFINITY,
      isDirect: undefined,
    }
    this.#ways.set(peer, way)
    return way
  }

  async #dial(
    target: { readonly peer: PeerId; readonly host: string },
    way: Way,
    signal: AbortSignal,
  ): Promise<DirectConnection | undefined> {
    const { clock, measuresOf } = this.#parts
    const { peer } = target
    const linked = linkSignal(clock, [signal, this.#controller.signal], directDialTimeoutMs)
    way.dialing += 1
    try {
      const offer = await this.#offerOf(peer, way, linked.signal)
      if (offer === undefined) return this.#shut(way)
      const components = { ...this.#parts, known: way.known, measures: measuresOf(peer) }
      const connection = await openDirectConnection(components, { ...target, offer }, linked)
      if (this.#ways.get(peer) !== way) {
        connection.destroy()
        return undefined
      }
      way.isDirect = true
      way.connections.add(connection)
      connection.closed.then(() => way.connections.delete(connection))
      return connection
    } catch {
      signal.throwIfAborted()
      way.offer = undefined
      // One of several may fail for want of a place there.
      if (way.connections.size === 0) this.#shut(way)
      return undefined
    } finally {
      way.dialing -= 1
      linked[Symbol.dispose]()
    }
  }

  /** Asked once for all calls; a caller that goes away does not take the answer from others. */
  async #offerOf(peer: PeerId, way: Way, signal: AbortSignal): Promise<DirectOffer | undefined> {
    way.offer ??= this.#parts.askOffer(peer, { signal: this.#controller.signal })
    return await unlessAborted(way.offer, signal)
  }

  #shut(way: Way): undefined {
    way.isDirect = false
    way.closedUntilMs = this.#parts.clock.monotonicMs() + directRetryMs
  }
}

function reserved({ connections }: Way): DirectConnection | undefined {
  for (const connection of connections) if (connection.reserve()) return connection
  return undefined
}

/** @throws the signal's reason, and what the promise rejects with */
function unlessAborted<Value>(promise: Promise<Value>, signal: AbortSignal): Promise<Value> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason)
    const settle = (): void => signal.removeEventListener('abort', onAbort)
    promise.finally(settle).then(resolve, reject)
    signal.addEventListener('abort', onAbort)
    if (signal.aborted) onAbort()
  })
}
