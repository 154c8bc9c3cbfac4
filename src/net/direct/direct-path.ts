import type { BytesOptions, PeerId, ProtocolName, RequestHandler } from '../../interface/network.ts'
import { directAheadMax, directAheadMs } from '../../limits.ts'
import type { Clock } from '../../std/clock.ts'
import type { TaskScope } from '../../std/task-scope.ts'
import { encodeRequestBody } from '../../wire/request-body.ts'
import type { PeerLink, PeerLinks } from '../session/peer-links.ts'
import { encodeDirectOffer } from './direct-offer.ts'
import { DirectPool, type DirectPoolComponents } from './direct-pool.ts'
import {
  DirectServer,
  type DirectServerComponents,
  type DirectServerOptions,
} from './direct-server.ts'

/** Asks where a member takes direct connections. */
export const directProtocol = '/hyperspace/direct/1'

export interface DirectPathComponents extends DirectServerComponents, DirectPoolComponents {
  readonly links: PeerLinks
}

type Handlers = ReadonlyMap<ProtocolName, RequestHandler>

/** How many calls for bytes went which way; one that got no answer directly went both. */
export interface DirectCounts {
  readonly direct: number
  readonly streamed: number
}

/**
 * The way of many bytes: plain TLS connections between two members that have a session, beside
 * everything else (spec/wire.md §9, ADR 0007). Where there is none, callers use a stream.
 */
export class DirectPath {
  readonly #links: PeerLinks
  readonly #server: DirectServer | undefined
  readonly #pool: DirectPool
  readonly #scope: TaskScope
  readonly #clock: Clock
  readonly #usesBytes: boolean
  /** Ends the wait to connect to a member that has just come. */
  readonly #meeting = new Map<PeerId, () => void>()
  #counts: DirectCounts = { direct: 0, streamed: 0 }

  /** Without options nothing listens; this node may still connect to others. */
  constructor(components: DirectPathComponents, options: DirectServerOptions | undefined) {
    this.#links = components.links
    this.#server = options === undefined ? undefined : new DirectServer(components, options)
    this.#pool = new DirectPool(components)
    this.#scope = components.scope
    this.#clock = components.clock
    this.#usesBytes = components.handlers.size > 0
  }

  get counts(): DirectCounts {
    return this.#counts
  }

  /** The handlers of a node, and what this needs besides. */
  withHandlers(handlers: Handlers): Handlers {
    return new Map([...handlers, [directProtocol, async (_, from) => this.#offerTo(from)]])
  }

  /** Rejects when the port is taken. */
  async start(): Promise<void> {
    this.#links.onChange(({ type, peer }) => {
      this.#meeting.get(peer)?.()
      this.#meeting.delete(peer)
      if (type === 'connected') {
        this.#meetSoon(peer)
        return
      }
      this.#server?.close(peer)
      this.#pool.close(peer)
    })
    await this.#server?.start()
  }

  /** Nothing of it is open when this returns; handlers end with the scope. */
  async stop(): Promise<void> {
    for (const cancel of this.#meeting.values()) cancel()
    this.#meeting.clear()
    await Promise.all([this.#server?.stop(), this.#pool.stop()])
  }

  /** Whether bytes came straight from the peer when they were last asked for. */
  isDirect(peer: PeerId): boolean | undefined {
    return this.#pool.isDirect(peer)
  }

  /** The other end of a link will soon be asked for bytes: a connection is opened meanwhile. */
  expect(link: PeerLink): void {
    const { peer } = link.session
    this.#scope.spawn('open direct connection', signal =>
      this.#pool.openAhead(peer, hostOf(link), { signal }),
    )
  }

  /**
   * Asks the other end of a link for bytes. Returns whether it has answered this way; if not,
   * nothing was yielded and the call may take another.
   * @throws as `Network.openBytes`
   */
  async *read(
    link: PeerLink,
    call: { readonly protocol: ProtocolName; readonly body: Uint8Array },
    options: BytesOptions,
  ): AsyncGenerator<Uint8Array, boolean> {
    const { peer } = link.session
    const connection = await this.#pool.connectionTo(peer, hostOf(link), options)
    if (connection !== undefined) {
      this.#count('direct')
      const opening = encodeRequestBody(call.protocol, call.body)
      if (yield* connection.read(opening, options)) return true
      this.#pool.failed(peer, connection)
    }
    this.#count('streamed')
    return false
  }

  /**
   * Connects to a member ahead of any call: the first connection to it takes as long as several
   * blocks, most of that to read its certificate. Whether it can be reached is known then, too.
   */
  #meetSoon(peer: PeerId): void {
    if (!this.#usesBytes) return
    const meet = (): void => {
      this.#meeting.delete(peer)
      const link = this.#links.get(peer)
      if (link !== undefined && this.#pool.reached < directAheadMax) this.expect(link)
    }
    this.#meeting.set(peer, this.#clock.after(directAheadMs, meet))
  }

  #offerTo(peer: PeerId): Uint8Array {
    const isConnected = this.#links.get(peer) !== undefined
    return encodeDirectOffer(isConnected ? this.#server?.offerTo(peer) : undefined)
  }

  #count(way: keyof DirectCounts): void {
    this.#counts = { ...this.#counts, [way]: this.#counts[way] + 1 }
  }
}

/** The host of a TCP multiaddr; through a relay and over WebRTC there is none to connect to. */
function hostOf({ isRelayed, address }: PeerLink): string | undefined {
  if (isRelayed) return undefined
  const pattern = /^\/(?:ip4|ip6|dns|dns4|dns6)\/(?<host>[^/]+)\/tcp\/\d+(?:\/p2p\/[^/]+)?$/
  return pattern.exec(address)?.groups?.['host']
}
