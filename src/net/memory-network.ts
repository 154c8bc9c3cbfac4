import type { Log } from '../interface/log.ts'
import type {
  Network,
  PeerChange,
  PeerId,
  PeerView,
  ProtocolName,
  Reachability,
  RequestHandler,
  RequestOptions,
  StreamHandler,
} from '../interface/network.ts'
import { parsePeerId } from '../key/peer-id.ts'
import { streamedPieceBytes } from '../limits.ts'
import { type Clock, delay } from '../std/clock.ts'
import type { SeededRandom } from '../std/seeded-random.ts'
import { type AbortOptions, linkSignal } from '../std/signal.ts'
import { TaskScope } from '../std/task-scope.ts'
import { inPieces } from './cut-pieces.ts'
import { MemoryConnection } from './memory-connection.ts'
import type { Frame } from './memory-frame.ts'
import type { MemoryLink, MemoryWorld } from './memory-world.ts'
import { peerError } from './peer-error.ts'

export interface MemoryNetworkComponents {
  readonly world: MemoryWorld
  readonly clock: Clock
  readonly random: SeededRandom
  readonly log: Log
}

export interface MemoryNetworkOptions {
  readonly self: PeerId
  /** Nodes of different swarms refuse each other. */
  readonly swarm: string
}

const addressPrefix = '/memory/'
const dialTimeoutMs = 5_000
const redialMs = { first: 500, last: 30_000 }

/** A node's connections in a `MemoryWorld`. */
export class MemoryNetwork implements Network {
  readonly name = 'network'
  readonly self: PeerId
  readonly swarm: string
  readonly #parts: MemoryNetworkComponents
  readonly #handlers = new Map<ProtocolName, RequestHandler>()
  readonly #streamHandlers = new Map<ProtocolName, StreamHandler>()
  readonly #connections = new Map<PeerId, MemoryConnection>()
  readonly #listeners = new Set<(change: PeerChange) => void>()
  /** Those that are refused, and whether their connection was kept before. */
  readonly #banned = new Map<PeerId, boolean>()
  /** Peers that are dialled again when their connection is lost. */
  readonly #kept = new Set<PeerId>()
  readonly #scope: TaskScope
  #isRunning = false

  constructor(components: MemoryNetworkComponents, options: MemoryNetworkOptions) {
    this.#parts = components
    this.self = options.self
    this.swarm = options.swarm
    this.#scope = new TaskScope((task, error) =>
      components.log.warn('network task failed', { task, error }),
    )
  }

  async start(): Promise<void> {
    this.#isRunning = true
    this.#parts.world.join(this)
  }

  async stop(): Promise<void> {
    this.crash()
    await this.#scope.close()
  }

  /** Ends at once, as a killed process does; what its handlers still do reaches nobody. */
  crash(): void {
    if (!this.#isRunning) return
    this.#isRunning = false
    for (const peer of [...this.#connections.keys()]) this.#hangUp(peer)
    this.#parts.world.leave(this)
    this.#listeners.clear()
    this.#kept.clear()
  }

  addresses(): readonly string[] {
    return this.#isRunning ? [addressPrefix + this.self] : []
  }

  reachability(): Reachability {
    return 'public'
  }

  peers(): readonly PeerView[] {
    return [...this.#connections.values()].map(connection => connection.view())
  }

  onPeerChange(listener: (change: PeerChange) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  async connect(address: string, options: AbortOptions): Promise<PeerId> {
    const peer = parsePeerId(address.slice(addressPrefix.length))
    if (!address.startsWith(addressPrefix) || peer === undefined || peer === this.self) {
      throw peerError('peer_unreachable')
    }
    await this.#dial(peer, options.signal)
    this.#kept.add(peer)
    return peer
  }

  async disconnect(peer: PeerId): Promise<void> {
    this.#kept.delete(peer)
    this.#hangUp(peer)
  }

  async setBanned(peer: PeerId, isBanned: boolean): Promise<void> {
    if (isBanned) {
      this.#banned.set(peer, this.#banned.get(peer) ?? this.#kept.has(peer))
      await this.disconnect(peer)
      return
    }
    const wasKept = this.#banned.get(peer) ?? false
    this.#banned.delete(peer)
    if (!wasKept || !this.#isRunning) return
    this.#kept.add(peer)
    this.#scope.spawn('dial again', signal => this.#redial(peer, signal))
  }

  serve(protocol: ProtocolName, handler: RequestHandler): void {
    this.#handlers.set(protocol, handler)
  }

  serveStream(protocol: ProtocolName, handler: StreamHandler): void {
    this.#streamHandlers.set(protocol, handler)
  }

  async request(
    peer: PeerId,
    protocol: ProtocolName,
    body: Uint8Array,
    options: RequestOptions,
  ): Promise<Uint8Array> {
    return await this.#connectionTo(peer).asker.request(protocol, body, options)
  }

  serveBytes(protocol: ProtocolName, handler: StreamHandler): void {
    this.serveStream(protocol, inPieces(handler, streamedPieceBytes))
  }

  /** Connections of this world need no opening. */
  expectBytes(): void {}

  async *openBytes(
    peer: PeerId,
    protocol: ProtocolName,
    body: Uint8Array,
    options: AbortOptions,
  ): AsyncGenerator<Uint8Array> {
    yield* this.#connectionTo(peer).asker.openBytes(protocol, body, options)
  }

  async *openStream(
    peer: PeerId,
    protocol: ProtocolName,
    body: Uint8Array,
    options: AbortOptions,
  ): AsyncGenerator<Uint8Array> {
    yield* this.#connectionTo(peer).asker.openStream(protocol, body, options)
  }

  /** Whether the world may open a connection from that peer, and if not, why. */
  refusalOf(peer: PeerId, swarm: string): 'accepted' | 'swarm' | 'banned' | 'stopped' {
    if (!this.#isRunning) return 'stopped'
    if (swarm !== this.swarm) return 'swarm'
    return this.#banned.has(peer) ? 'banned' : 'accepted'
  }

  /** The world opened this end. */
  open(peer: PeerId, link: MemoryLink): void {
    const known = this.#connections.get(peer)
    if (known?.link === link) return
    if (known !== undefined) this.drop(peer, known.link)
    const { world, clock, log } = this.#parts
    const connection = new MemoryConnection({
      clock,
      link,
      peer,
      handlers: this.#handlers,
      streamHandlers: this.#streamHandlers,
      scope: this.#scope,
      send: frame => {
        if (this.#connections.get(peer) === connection) world.send(link, this.self, frame)
      },
      onFailure: (protocol, error) => log.debug('answer failed', { protocol, error }),
    })
    this.#connections.set(peer, connection)
    this.#tell({ type: 'connected', peer })
  }

  /** The other end closed, or nothing passes any more. */
  drop(peer: PeerId, link: MemoryLink): void {
    const connection = this.#connections.get(peer)
    if (connection?.link !== link) return
    this.#end(peer, connection)
    if (this.#kept.has(peer)) this.#scope.spawn('dial again', signal => this.#redial(peer, signal))
  }

  receive(from: PeerId, link: MemoryLink, frame: Frame): void {
    const connection = this.#connections.get(from)
    if (connection?.link === link) connection.receive(frame)
  }

  #connectionTo(peer: PeerId): MemoryConnection {
    const connection = this.#connections.get(peer)
    if (connection === undefined) throw peerError('peer_unreachable')
    return connection
  }

  async #dial(peer: PeerId, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    const { world, clock } = this.#parts
    if (this.#connections.has(peer)) return
    if (!this.#isRunning || this.#banned.has(peer)) throw peerError('peer_unreachable')
    const linked = linkSignal(clock, [signal, this.#scope.signal], dialTimeoutMs)
    try {
      await new Promise<void>((resolve, reject) => {
        linked.signal.addEventListener('abort', () => {
          reject(signal.aborted ? signal.reason : peerError('peer_unreachable'))
        })
        world.dial(this, peer, linked.signal).then(resolve, reject)
      })
    } finally {
      linked[Symbol.dispose]()
    }
  }

  async #redial(peer: PeerId, signal: AbortSignal): Promise<void> {
    const { clock, random, log } = this.#parts
    for (let waitMs = redialMs.first; ; waitMs = Math.min(waitMs * 2, redialMs.last)) {
      await delay(clock, waitMs * (1 + random.fraction()), signal)
      if (!this.#kept.has(peer) || this.#connections.has(peer)) return
      try {
        return await this.#dial(peer, signal)
      } catch (error) {
        log.debug('dial failed', { peer, error })
      }
    }
  }

  #hangUp(peer: PeerId): void {
    const connection = this.#connections.get(peer)
    if (connection === undefined) return
    this.#end(peer, connection)
    this.#parts.world.close(connection.link, this.self)
  }

  #end(peer: PeerId, connection: MemoryConnection): void {
    this.#connections.delete(peer)
    connection.close()
    this.#tell({ type: 'disconnected', peer })
  }

  #tell(change: PeerChange): void {
    for (const listener of [...this.#listeners]) listener(change)
  }
}
