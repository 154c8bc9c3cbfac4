import type { Libp2p } from '@libp2p/interface'
import { peerIdFromString } from '@libp2p/peer-id'
import type { PeerId } from '../../interface/network.ts'
import { delay } from '../../std/clock.ts'
import { settlesWithin } from '../../std/signal.ts'
import { Redialer } from '../redialer.ts'
import { CallServer, type CallServerComponents } from './call-server.ts'
import { createDirectPath, type DirectPath, type DirectPathParts } from './create-direct-path.ts'
import { Dialer } from './dialer.ts'
import { Mesh } from './mesh.ts'
import type { Libp2pNetworkOptions } from './network-options.ts'
import { stopNode } from './node/library-timers.ts'
import { gatedProtocols, type InnerParts } from './node/node-services.ts'
import { RelayKeeper } from './relay-keeper.ts'
import { SessionOpener, type SessionOpenerComponents } from './session-opener.ts'

export interface RunningNodeComponents
  extends SessionOpenerComponents,
    Omit<CallServerComponents, 'opener'>,
    Omit<DirectPathParts, 'reach'> {
  readonly node: Libp2p
  readonly inner: InnerParts
  readonly options: Libp2pNetworkOptions
}

/** Longest wait of the larger peer id before it dials a peer that both have just discovered. */
const yieldMs = 2_000
/** Time for handlers that are told to stop. One that does not listen is left behind and logged. */
const stopTimeoutMs = 5_000

/** The network between start and stop: the library's node and what we run around it. */
export class RunningNode {
  readonly #parts: RunningNodeComponents
  readonly #opener: SessionOpener
  readonly direct: DirectPath
  readonly dialer: Dialer
  readonly redialer: Redialer
  readonly #mesh: Mesh

  constructor(components: RunningNodeComponents) {
    this.#parts = components
    const { clock, log, random, links, node } = components
    this.#mesh = this.#createMesh()
    this.direct = createDirectPath({
      ...components,
      reach: (peer, signal) => this.dialer.reach(peer, signal),
    })
    const handlers = this.direct.withHandlers(this.#mesh.withHandlers(components.handlers))
    this.#opener = new SessionOpener({ ...components, handlers })
    this.dialer = new Dialer({
      clock,
      links,
      dial: (target, dialOptions) => node.dial(target, dialOptions),
      knowsAddress: peer => this.#knowsAddress(peer),
      opened: connection => this.#opener.opened(connection),
    })
    this.redialer = new Redialer({
      clock,
      log,
      random,
      dial: (address, peer, signal) => this.#redial(address, peer, signal),
      disconnected: (peer, signal) => this.#disconnected(peer, signal),
    })
  }

  async start(): Promise<void> {
    const { node, options, log, scope, inner } = this.#parts
    const keeper = new RelayKeeper({ log, scope, node, listen: inner.listen })
    if (options.relay === 'client') keeper.attach()
    await this.#opener.attach(node)
    for (const protocol of gatedProtocols) node.use(protocol, this.#opener.gate)
    await new CallServer({ ...this.#parts, opener: this.#opener }).attach(node)
    this.#mesh.attach()
    await this.direct.start()
    await node.start()
    for (const address of options.peers) {
      this.redialer.keep(address, { peer: undefined, isPinned: true })
    }
  }

  /** Nothing of the network runs when this returns. */
  async stop(): Promise<void> {
    const { node, links, scope, clock, log, inner } = this.#parts
    await this.redialer.close()
    const ends = links.all().map(({ session }) => session.end(new Error('The node stops')))
    const all = Promise.all([...ends, this.direct.stop(), scope.close()])
    if (!(await settlesWithin(clock, all, stopTimeoutMs))) log.error('peer handlers did not stop')
    await stopNode(node, inner.timers)
  }

  /** Ends all connections with a peer and forgets where it is. */
  async drop(peer: PeerId): Promise<void> {
    const { node, links } = this.#parts
    this.redialer.forget(peer)
    const ends = links.of(peer).map(async ({ session, close }) => {
      await close()
      await session.end(new Error('Disconnected'))
    })
    await Promise.all(ends)
    const id = peerIdFromString(peer)
    await node.hangUp(id, { signal: AbortSignal.timeout(stopTimeoutMs) })
    await node.peerStore.delete(id)
  }

  async #knowsAddress(peer: PeerId): Promise<boolean> {
    try {
      const { addresses } = await this.#parts.node.peerStore.get(peerIdFromString(peer))
      return addresses.length > 0
    } catch {
      // The library throws for a peer that it does not know.
      return false
    }
  }

  #createMesh(): Mesh {
    const parts = {
      ...this.#parts,
      keep: (peer: PeerId): void => {
        this.redialer.keep(discoveredAddress(peer), { peer, isPinned: false })
      },
      reach: (peer: PeerId, signal: AbortSignal) => this.dialer.reach(peer, signal),
    }
    return new Mesh(parts, this.#parts.options)
  }

  async #redial(address: string, known: PeerId | undefined, signal: AbortSignal): Promise<PeerId> {
    const { links, options } = this.#parts
    if (known !== undefined && links.get(known) !== undefined) return known
    // Both sides discover each other at the same time: the larger lets the smaller dial.
    const yields = known !== undefined && known < options.identity.peerId
    if (yields && address === discoveredAddress(known)) {
      await delay(this.#parts.clock, yieldMs, signal)
      if (links.get(known) !== undefined) return known
    }
    const peer = known !== undefined && address === discoveredAddress(known) ? known : undefined
    const link =
      peer === undefined
        ? await this.dialer.dialAddress(address, signal)
        : await this.dialer.reach(peer, signal)
    return link.session.peer
  }

  #disconnected(peer: PeerId, signal: AbortSignal): Promise<void> {
    const { links } = this.#parts
    return new Promise(resolve => {
      const done = (): void => {
        stopListening()
        signal.removeEventListener('abort', done)
        resolve()
      }
      const stopListening = links.onChange(change => {
        if (change.type === 'disconnected' && change.peer === peer) done()
      })
      signal.addEventListener('abort', done)
      if (signal.aborted || links.get(peer) === undefined) done()
    })
  }
}

/** Discovered peers are kept by id; the library knows their addresses. */
function discoveredAddress(peer: PeerId): string {
  return `/p2p/${peer}`
}
