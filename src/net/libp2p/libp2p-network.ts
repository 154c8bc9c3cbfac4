import { OperationError } from '../../errors.ts'
import type { PeerDiscovery } from '../../interface/discovery.ts'
import type * as api from '../../interface/network.ts'
import { messageBytesMax } from '../../limits.ts'
import { type AbortOptions, linkSignal } from '../../std/signal.ts'
import type { DirectCounts } from '../direct/direct-path.ts'
import { peerError } from '../peer-error.ts'
import { isFaultOfPeer } from '../session/error-label.ts'
import { MeasuresTable } from '../session/measures.ts'
import { readCall } from '../session/read-call.ts'
import { assertAnnounced, bestFirst, reachabilityOf } from './addresses.ts'
import { type CreatedNode, createRunningNode } from './create-running-node.ts'
import { KadDiscovery } from './kad-discovery.ts'
import type { Libp2pNetworkComponents, Libp2pNetworkOptions } from './network-options.ts'
import { Gatekeeper } from './node/gatekeeper.ts'

/**
 * `Network` over libp2p: TCP, TLS 1.3, yamux; relays and WebRTC for nodes behind NAT. What does not
 * work in the library is worked round here and listed in docs/decisions/0004.
 */
export class Libp2pNetwork implements api.Network {
  readonly name = 'network'
  readonly self: api.PeerId
  /** The swarm's hash table. Ends at once while the network is not started. */
  readonly discovery: PeerDiscovery
  readonly #components: Libp2pNetworkComponents
  readonly #options: Libp2pNetworkOptions
  readonly #gatekeeper = new Gatekeeper()
  readonly #handlers = new Map<api.ProtocolName, api.RequestHandler>()
  readonly #streamHandlers = new Map<api.ProtocolName, api.StreamHandler>()
  readonly #byteHandlers = new Map<api.ProtocolName, api.StreamHandler>()
  readonly #measures = new MeasuresTable()
  readonly #listeners = new Set<(change: api.PeerChange) => void>()
  #created: CreatedNode | undefined
  #wasDialled = false

  constructor(components: Libp2pNetworkComponents, options: Libp2pNetworkOptions) {
    this.#components = components
    this.#options = options
    this.self = options.identity.peerId
    this.discovery = new KadDiscovery({
      node: () => this.#running().node,
      dial: (peer, signal) => this.#running().running.dialer.reach(peer, signal),
    })
  }

  /** @throws config_invalid for a port that is taken and an announcement that is no address */
  async start({ signal }: AbortOptions): Promise<void> {
    signal.throwIfAborted()
    assertAnnounced(this.#options.announce)
    const created = await createRunningNode({
      ...this.#components,
      options: this.#options,
      gatekeeper: this.#gatekeeper,
      handlers: this.#handlers,
      streamHandlers: this.#streamHandlers,
      byteHandlers: this.#byteHandlers,
      measuresOf: peer => this.#measures.of(peer),
      onMisbehaviour: peer => this.#options.onMisbehaviour?.(peer),
    })
    created.links.onChange(change => {
      const link = created.links.get(change.peer)
      if (link?.direction === 'inbound' && !link.isRelayed) this.#wasDialled = true
      for (const listener of [...this.#listeners]) listener(change)
    })
    this.#created = created
    try {
      await created.running.start()
    } catch (error) {
      await this.stop()
      throw cannotListen(this.#options, error)
    }
  }

  async stop(): Promise<void> {
    const created = this.#created
    this.#created = undefined
    await created?.running.stop()
  }

  addresses(): readonly string[] {
    return bestFirst((this.#created?.node.getMultiaddrs() ?? []).map(String))
  }

  reachability(): api.Reachability {
    return reachabilityOf({
      addresses: this.addresses(),
      wasDialled: this.#wasDialled,
      isListening: this.#options.listen !== undefined,
      isWan: this.#options.preset === 'wan',
      peers: this.#created?.links.list().length ?? 0,
    })
  }

  peers(): readonly api.PeerView[] {
    return (this.#created?.links.list() ?? []).map(link => {
      const measures = this.#measures.of(link.session.peer)
      return {
        id: link.session.peer,
        address: link.address,
        direction: link.direction,
        isRelayed: link.isRelayed,
        isDirect: this.#created?.running.direct.isDirect(link.session.peer),
        roundTripMs: measures.roundTripMs,
        bandwidth: measures.bandwidth,
        bytesReceived: measures.bytesReceived,
        bytesSent: measures.bytesSent,
        connectedAt: link.connectedAt,
      }
    })
  }

  onPeerChange(listener: (change: api.PeerChange) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  async connect(address: string, { signal }: AbortOptions): Promise<api.PeerId> {
    const { running } = this.#running()
    const { peer } = (await running.dialer.dialAddress(address, signal)).session
    running.redialer.keep(address, { peer, isPinned: true })
    return peer
  }

  async disconnect(peer: api.PeerId): Promise<void> {
    await this.#created?.running.drop(peer)
  }

  async setBanned(peer: api.PeerId, isBanned: boolean): Promise<void> {
    this.#gatekeeper.setBanned(peer, isBanned)
    const redialer = this.#created?.running.redialer
    if (!isBanned) redialer?.resume(peer)
    else {
      redialer?.suspend(peer)
      await this.disconnect(peer)
    }
  }

  serve(protocol: api.ProtocolName, handler: api.RequestHandler): void {
    this.#handlers.set(protocol, handler)
  }

  serveStream(protocol: api.ProtocolName, handler: api.StreamHandler): void {
    this.#streamHandlers.set(protocol, handler)
  }

  async request(
    peer: api.PeerId,
    protocol: api.ProtocolName,
    body: Uint8Array,
    options: api.RequestOptions,
  ): Promise<Uint8Array> {
    const { running, links } = this.#running()
    const connected = links.get(peer)
    if (connected !== undefined) return await connected.session.request(protocol, body, options)
    const { clock } = this.#components
    const startMs = clock.monotonicMs()
    const linked = linkSignal(clock, [options.signal], options.timeoutMs)
    try {
      const { session } = await running.dialer.reach(peer, linked.signal)
      const timeoutMs = Math.max(1, options.timeoutMs - (clock.monotonicMs() - startMs))
      return await session.request(protocol, body, { signal: options.signal, timeoutMs })
    } catch (error) {
      options.signal.throwIfAborted()
      throw error instanceof OperationError ? error : peerError('peer_timeout', error)
    } finally {
      linked[Symbol.dispose]()
    }
  }

  serveBytes(protocol: api.ProtocolName, handler: api.StreamHandler): void {
    this.#byteHandlers.set(protocol, handler)
  }

  expectBytes(peer: api.PeerId): void {
    const link = this.#created?.links.get(peer)
    if (link !== undefined) this.#created?.running.direct.expect(link)
  }

  async *openBytes(
    peer: api.PeerId,
    protocol: api.ProtocolName,
    body: Uint8Array,
    options: api.BytesOptions,
  ): AsyncGenerator<Uint8Array> {
    options.signal.throwIfAborted()
    if (body.length > messageBytesMax) throw new RangeError(`${body.length} bytes are too many`)
    const { running } = this.#running()
    const link = await running.dialer.reach(peer, options.signal)
    try {
      if (yield* running.direct.read(link, { protocol, body }, options)) return
    } catch (error) {
      if (isFaultOfPeer(error)) this.#options.onMisbehaviour?.(peer)
      throw error
    }
    yield* this.openStream(peer, protocol, body, options)
  }

  /** How many calls for bytes took the direct path, and how many a stream. */
  get byteCallCounts(): DirectCounts {
    return this.#created?.running.direct.counts ?? { direct: 0, streamed: 0 }
  }

  async *openStream(
    peer: api.PeerId,
    protocol: api.ProtocolName,
    body: Uint8Array,
    { signal }: AbortOptions,
  ): AsyncGenerator<Uint8Array> {
    const link = await this.#running().running.dialer.reach(peer, signal)
    const channel = await link.openChannel(signal)
    const measures = this.#measures.of(peer)
    const options = { clock: this.#components.clock, measures, signal }
    try {
      yield* readCall(channel, { protocol, body }, options)
    } catch (error) {
      if (isFaultOfPeer(error)) this.#options.onMisbehaviour?.(peer)
      throw error
    }
  }

  /** The round trip to a peer now, in milliseconds. @throws peer_unreachable */
  async ping(peer: api.PeerId, { signal }: AbortOptions): Promise<number> {
    const { session } = await this.#running().running.dialer.reach(peer, signal)
    const aborted = Promise.withResolvers<never>()
    const onAbort = (): void => aborted.reject(signal.reason)
    signal.addEventListener('abort', onAbort)
    try {
      return await Promise.race([session.ping(), aborted.promise])
    } finally {
      signal.removeEventListener('abort', onAbort)
    }
  }

  #running(): CreatedNode {
    if (this.#created === undefined) throw peerError('peer_unreachable')
    return this.#created
  }
}

function cannotListen({ listen, directPort = 0 }: Libp2pNetworkOptions, cause: unknown): unknown {
  if (cause instanceof OperationError || listen === undefined) return cause
  const isDirect = Reflect.get(Object(cause), 'port') === directPort && directPort !== 0
  const [port, flag] = isDirect ? [directPort, '--direct-port'] : [listen.port, '--p2p-port']
  const message =
    `Cannot listen for peers on ${listen.host} port ${port}. ` +
    `Another program may use it: choose another with ${flag} N`
  return new OperationError('config_invalid', message, { origin: 'self', cause })
}
