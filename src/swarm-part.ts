import { join } from 'node:path'
import type { BlockSwarm } from './cache/blocks/block-swarm.ts'
import {
  createSwarmBlocks,
  type SwarmBlocksComponents,
} from './cache/blocks/create-swarm-blocks.ts'
import { createSharing, type Sharing } from './cache/peers/create-sharing.ts'
import type { SwarmAnswers } from './cache/peers/swarm-answers.ts'
import type { PrefixSwarm } from './cache/prefix/ask-prefix.ts'
import type { ResponseCache } from './cache/response-cache.ts'
import type { Config } from './config.ts'
import type { Directory } from './interface/directory.ts'
import type { Log } from './interface/log.ts'
import type { BlockMetrics, Metrics } from './interface/metrics.ts'
import type { Network, PeerId } from './interface/network.ts'
import type { Store } from './interface/store.ts'
import { parsePeerId } from './key/peer-id.ts'
import { type Scope, swarmScope } from './key/scope.ts'
import { RendezvousDirectory } from './net/directory/rendezvous-directory.ts'
import { type Identity, openIdentity } from './net/identity.ts'
import { assertPeerAddresses } from './net/libp2p/addresses.ts'
import { Libp2pNetwork } from './net/libp2p/libp2p-network.ts'
import type { PrefixPart } from './prefix-part.ts'
import type { Clock } from './std/clock.ts'
import { type Startable, startAll, stopAll } from './std/lifecycle.ts'
import type { Random } from './std/random.ts'
import type { AbortOptions } from './std/signal.ts'
import { readSwarmState, rememberAddress, type SwarmState, writeSwarmState } from './swarm-state.ts'
import { Reputation } from './trust/reputation.ts'

export interface SwarmPartComponents {
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly metrics: Metrics & BlockMetrics
  readonly store: Store
  readonly cache: ResponseCache
  /** What keeps KV state; undefined where none is kept, and none is held for others either. */
  readonly prefix: PrefixPart | undefined
}

/** What exists only while this node is in a swarm. */
export interface JoinedSwarm {
  readonly state: SwarmState
  readonly config: Config
  readonly scope: Scope
  readonly sharing: Sharing
  readonly network: Network
  readonly directory: Directory
  readonly reputation: Reputation
  readonly blocks: BlockSwarm | undefined
}

/**
 * The node's membership in its swarm. Starts with whatever the data folder says; `reload` follows a
 * change of it (joined, left, another swarm) while the node runs.
 */
export class SwarmPart implements Startable {
  readonly name = 'swarm'
  readonly #parts: SwarmPartComponents
  readonly #config: Config
  #identity: Identity | undefined
  #joined: (JoinedSwarm & { readonly parts: readonly Startable[] }) | undefined
  /** Starts and stops follow each other, whoever asks for them. */
  #changing: Promise<void> = Promise.resolve()

  constructor(components: SwarmPartComponents, config: Config) {
    this.#parts = components
    this.#config = config
  }

  get joined(): JoinedSwarm | undefined {
    return this.#joined
  }

  /**
   * What answers requests of a scope. Of the swarm that the node is in now only: a request that
   * came before the node changed swarms must not be shared with the new one.
   */
  answersOf(scope: Scope): SwarmAnswers | undefined {
    return this.#joined?.scope === scope ? this.#joined.sharing.answers : undefined
  }

  /** What the prefix cache needs of the swarm that a scope belongs to. */
  blocksOf(scope: Scope): PrefixSwarm | undefined {
    const joined = this.#joined
    if (joined?.scope !== scope || joined.blocks === undefined) return undefined
    return { blocks: joined.blocks, reputation: joined.reputation }
  }

  /** For the metrics. */
  get counts(): { readonly peers: number; readonly sharedKeys: number } {
    const joined = this.#joined
    const peers = joined?.network.peers().length ?? 0
    return { peers, sharedKeys: joined?.sharing.shared.size ?? 0 }
  }

  /** Who this node is; its key is made the first time it is asked for. */
  identity(): Identity {
    this.#identity ??= openIdentity(join(this.#config.data, 'node.key'), this.#parts.random)
    return this.#identity
  }

  /** @throws config_invalid for a peer's address that is none, in a swarm or not */
  start(options: AbortOptions): Promise<void> {
    return this.#inTurn(async () => {
      assertPeerAddresses(this.#config.peers)
      await this.#join(options)
    })
  }

  stop(): Promise<void> {
    return this.#inTurn(() => this.#leave())
  }

  /** Follows what the data folder says now. */
  reload(options: AbortOptions): Promise<void> {
    return this.#inTurn(async () => {
      await this.#leave()
      await this.#join(options)
    })
  }

  /** Refuses a peer from now on, also after a restart; or takes that back. */
  async setBanned(peer: PeerId, isBanned: boolean): Promise<void> {
    const state = readSwarmState(this.#config.data)
    if (state === undefined) return
    const others = state.banned.filter(banned => banned !== peer)
    const banned = isBanned ? [...others, peer] : others
    writeSwarmState(this.#config.data, { ...state, banned })
    await this.#joined?.network.setBanned(peer, isBanned)
  }

  #inTurn(change: () => Promise<void>): Promise<void> {
    const run = this.#changing.then(change)
    this.#changing = run.catch(() => undefined)
    return run
  }

  async #join(options: AbortOptions): Promise<void> {
    if (this.#config.offline) return
    const state = readSwarmState(this.#config.data)
    if (state === undefined) return
    const joined = this.#build(state)
    for (const text of state.banned) {
      const peer = parsePeerId(text)
      if (peer !== undefined) await joined.network.setBanned(peer, true)
    }
    joined.network.onPeerChange(({ type, peer }) => {
      if (type === 'connected') this.#remember(joined, peer)
    })
    await startAll(joined.parts, options)
    this.#joined = joined
    this.#parts.log.info('swarm joined', { self: joined.network.self, swarm: state.name })
  }

  /** Where a member was reached is where it will be reached again; where it came from is not. */
  #remember({ network, state }: JoinedSwarm, peer: PeerId): void {
    const view = network.peers().find(({ id }) => id === peer)
    if (view === undefined || view.direction === 'inbound' || view.isRelayed) return
    try {
      rememberAddress(this.#config.data, state.secret, view.address)
    } catch (error) {
      this.#parts.log.warn('address not remembered', { error })
    }
  }

  async #leave(): Promise<void> {
    const joined = this.#joined
    this.#joined = undefined
    if (joined !== undefined) await stopAll(joined.parts)
  }

  #build(state: SwarmState): JoinedSwarm & { readonly parts: readonly Startable[] } {
    const { clock, log } = this.#parts
    const identity = this.identity()
    const reputation = new Reputation(clock)
    const network = this.#createNetwork(state, identity, reputation)
    const onMisbehaviour = (peer: PeerId): void => reputation.note(peer, 'invalid-message')
    const { discovery } = network
    const directory = new RendezvousDirectory(
      { network, clock, log, discovery, onMisbehaviour },
      {},
    )
    const scope = swarmScope(state.secret)
    const sharing = createSharing(
      { ...this.#parts, network, directory, reputation, signer: identity },
      { scope, acceptUpstream: this.#config.trustUpstreams },
    )
    const blocks = this.#createBlocks(scope, { network, directory, reputation, signer: identity })
    network.serve('/hyperspace/ping/1', async body => body)
    const parts = [network, directory, ...(blocks === undefined ? [] : [blocks]), sharing]
    const joined = { state, config: this.#config, scope, sharing, network, directory }
    return { ...joined, reputation, blocks, parts }
  }

  #createBlocks(
    scope: Scope,
    components: Pick<SwarmBlocksComponents, 'network' | 'directory' | 'reputation' | 'signer'>,
  ): BlockSwarm | undefined {
    const { prefix } = this.#parts
    const { swarm } = scope
    if (prefix === undefined || swarm === undefined) return undefined
    const { shards: store, coder, memory, cache } = prefix
    const localBlocks = cache.servableTo(swarm)
    const parts = { ...this.#parts, ...components, store, coder, memory, localBlocks }
    return createSwarmBlocks(parts, { swarm })
  }

  #createNetwork(state: SwarmState, identity: Identity, reputation: Reputation): Libp2pNetwork {
    const { clock, random, log } = this.#parts
    const {
      p2pHost,
      p2pPort,
      directPort,
      peers,
      mdns,
      relay,
      network: preset,
      announce,
    } = this.#config
    return new Libp2pNetwork(
      { clock, random, log },
      {
        identity,
        swarmSecret: state.secret,
        listen: { host: p2pHost, port: p2pPort },
        directPort,
        preset,
        peers: [...new Set([...peers, ...state.addresses])],
        mdns,
        relay,
        announce,
        onMisbehaviour: peer => reputation.note(peer, 'invalid-message'),
      },
    )
  }
}
