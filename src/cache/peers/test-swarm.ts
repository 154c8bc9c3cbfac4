import assert from 'node:assert/strict'
import { FakeEngine, type FakeEngineOptions } from '../../engine/fake/fake-engine.ts'
import { type Log, silentLog } from '../../interface/log.ts'
import { type Metrics, silentMetrics } from '../../interface/metrics.ts'
import type { Network, PeerId } from '../../interface/network.ts'
import type { Store } from '../../interface/store.ts'
import type { CompletionRequest } from '../../key/completion-request.ts'
import { type LookupKey, lookupKey, type ResponseKey } from '../../key/response-key.ts'
import { type Scope, swarmScope } from '../../key/scope.ts'
import { MiB } from '../../limits.ts'
import { RendezvousDirectory } from '../../net/directory/rendezvous-directory.ts'
import { Identity } from '../../net/identity.ts'
import type { MemoryNetwork } from '../../net/memory-network.ts'
import { MemoryWorld, type MemoryWorldOptions } from '../../net/memory-world.ts'
import { type Clock, delay } from '../../std/clock.ts'
import { startAll, stopAll } from '../../std/lifecycle.ts'
import { SeededRandom } from '../../std/seeded-random.ts'
import { SimulatedClock } from '../../std/simulated-clock.ts'
import { TaskScope } from '../../std/task-scope.ts'
import { MemoryStore } from '../../store/memory-store.ts'
import { Reputation } from '../../trust/reputation.ts'
import { CompletionCollector } from '../collect.ts'
import { Flights } from '../flights.ts'
import { ModelTable } from '../model-table.ts'
import { ResponseCache } from '../response-cache.ts'
import { type CacheControl, type Served, serveRequest } from '../serve-request.ts'
import { ask, question, testSecret } from '../test-cache.ts'
import { createSharing, type Sharing } from './create-sharing.ts'

export const swarmSecret: Uint8Array = new Uint8Array(32).fill(9)
export const scope: Scope = swarmScope(swarmSecret)
export const latencyMs = 10

export interface SwarmNodeOptions {
  readonly engine?: FakeEngineOptions
  /** Virtual time that each token takes. @default 0 */
  readonly tokenMs?: number
  /** How far the node's wall clock is ahead. */
  readonly skewMs?: number
  readonly ttlMs?: number
  readonly acceptUpstream?: boolean
  readonly store?: Store
  readonly identity?: Identity
  /** In place of `counts`. */
  readonly metrics?: Metrics
  /** Whom it is connected with. @default all others */
  readonly peers?: readonly SwarmNode[]
  readonly network?: (network: MemoryNetwork) => Network
}

export interface AskOptions {
  readonly control?: Partial<CacheControl>
  readonly scope?: Scope
}

/** What a client sees of one answer. */
export interface Reply {
  readonly source: string
  readonly text: string
  readonly key: ResponseKey
  readonly outcome: Served['outcome']
  readonly receipt: Uint8Array | undefined
  /** Virtual milliseconds that it took. */
  readonly ms: number
}

export interface SwarmNode {
  readonly self: PeerId
  readonly identity: Identity
  readonly network: Network
  readonly engine: FakeEngine
  readonly store: Store
  readonly cache: ResponseCache
  readonly flights: Flights
  readonly sharing: Sharing
  readonly directory: RendezvousDirectory
  readonly reputation: Reputation
  /** How often each metric was counted, by name and label. */
  readonly counts: Map<string, number>
  /** The wall clock of this node. */
  readonly clock: Clock
  /** Asks as a client does; the promise wants the world's `settle`. */
  ask(request: string | CompletionRequest, options?: AskOptions): Promise<Reply>
  /** Waits for what runs in the background, fills above all. */
  drained(): Promise<void>
  stop(): Promise<void>
}

/** N caches with a fake engine each, in one simulated swarm on virtual time. */
export class TestSwarm {
  readonly clock: SimulatedClock = new SimulatedClock()
  readonly world: MemoryWorld
  readonly nodes: SwarmNode[] = []
  readonly logged: {
    readonly level: string
    readonly message: string
    readonly fields: unknown
  }[] = []
  readonly #random = new SeededRandom(1)

  constructor(options: MemoryWorldOptions = {}) {
    const { clock } = this
    this.world = new MemoryWorld({ clock, random: this.#random }, { latencyMs, ...options })
  }

  /** A started node that is connected with all others. */
  async add(options: SwarmNodeOptions = {}): Promise<SwarmNode> {
    const identity = options.identity ?? this.identity()
    const memory = this.world.createNetwork({ self: identity.peerId })
    const network = options.network?.(memory) ?? memory
    const node = this.#createNode(identity, network, options)
    await this.clock.settle(node.start())
    for (const other of options.peers ?? this.nodes) await this.connect(network, other.self)
    this.nodes.push(node)
    return node
  }

  async addMany(count: number, options: SwarmNodeOptions = {}): Promise<readonly SwarmNode[]> {
    const added: SwarmNode[] = []
    while (added.length < count) added.push(await this.add(options))
    // Owners are told of members once a second.
    await this.clock.run(2_000)
    return added
  }

  /** A member that speaks for itself: handlers are set by `prepare`, before it starts. */
  async addRogue(prepare: (network: MemoryNetwork) => void): Promise<MemoryNetwork> {
    const network = this.world.createNetwork({ self: this.identity().peerId })
    prepare(network)
    await network.start()
    for (const other of this.nodes) await this.connect(network, other.self)
    return network
  }

  identity(): Identity {
    return Identity.fromSeed(this.#random.bytes(32))
  }

  async connect(network: Network, peer: PeerId): Promise<void> {
    const { signal } = new AbortController()
    await this.clock.settle(network.connect(`/memory/${peer}`, { signal }))
  }

  /** One answer after the other; the background work of the node asked is done then. */
  async ask(
    node: SwarmNode,
    request: string | CompletionRequest,
    options: AskOptions = {},
  ): Promise<Reply> {
    const reply = await this.clock.settle(node.ask(request, options))
    await this.clock.settle(node.drained())
    return reply
  }

  kill(node: SwarmNode): void {
    this.nodes.splice(this.nodes.indexOf(node), 1)
    this.world.kill(node.self)
  }

  /** Ends all nodes; whatever was begun and not ended shows here. */
  async close(): Promise<void> {
    for (const node of this.nodes.splice(0)) {
      await this.clock.settle(node.drained())
      assert.equal(node.sharing.flights.count, 0, 'every shared flight was ended')
      assert.equal(node.flights.runningCount, 0)
      assert.deepEqual(node.engine.load(), { running: 0, waiting: 0 })
      await this.clock.settle(node.stop())
    }
  }

  #createNode(
    identity: Identity,
    network: Network,
    options: SwarmNodeOptions,
  ): SwarmNode & { start(): Promise<void> } {
    const clock = this.#clockOf(options.skewMs ?? 0)
    const log = this.#log()
    const counts = new Map<string, number>()
    const metrics = options.metrics ?? countingMetrics(counts)
    const store = options.store ?? new MemoryStore({ clock }, { bytesMax: 64 * MiB })
    const background = new TaskScope((task, error) => log.error('task failed', { task, error }))
    const random = this.#random
    const cache = new ResponseCache(
      { store, clock, random, log, metrics, scope: background },
      { ttlMs: options.ttlMs ?? 24 * 3_600_000 },
    )
    const reputation = new Reputation(clock)
    const directory = new RendezvousDirectory({ network, clock, log })
    const shared = { network, directory, reputation, store, cache, signer: identity }
    const sharing = createSharing(
      { ...shared, clock, random, log, metrics },
      { scope, acceptUpstream: options.acceptUpstream ?? true },
    )
    const engine = new FakeEngine(this.#paced(options))
    const models = new ModelTable([engine])
    const flights = new Flights(background)
    const parts = [network, directory, sharing]
    const { signal } = new AbortController()
    const answers = {
      models,
      cache,
      flights,
      clock,
      metrics,
      swarm: (asked: Scope) => (asked === scope ? sharing.answers : undefined),
    }
    return {
      self: identity.peerId,
      identity,
      network,
      engine,
      store,
      cache,
      flights,
      sharing,
      directory,
      reputation,
      counts,
      clock,
      async ask(request, more = {}) {
        const asked = typeof request === 'string' ? question(request) : request
        const startMs = clock.monotonicMs()
        const served = serveRequest(answers, ask(asked, { scope, ...more }), {
          nodeSecret: testSecret,
          sampled: 'cache',
        })
        return { ...(await replyOf(served)), ms: clock.monotonicMs() - startMs }
      },
      drained: () => background.drain(),
      start: () => startAll(parts, { signal }),
      async stop() {
        await stopAll(parts)
        await background.close()
      },
    }
  }

  #paced({ engine, tokenMs = 0 }: SwarmNodeOptions): FakeEngineOptions {
    const { signal } = new AbortController()
    if (tokenMs === 0) return { ...engine }
    return { pace: () => delay(this.clock, tokenMs, signal), ...engine }
  }

  #clockOf(skewMs: number): Clock {
    const { clock } = this
    return {
      now: () => clock.now() + skewMs,
      monotonicMs: () => clock.monotonicMs(),
      after: (ms, callback) => clock.after(ms, callback),
    }
  }

  #log(): Log {
    const at =
      (level: string): Log['info'] =>
      (message, fields) => {
        this.logged.push({ level, message, fields })
      }
    return {
      ...silentLog,
      debug: at('debug'),
      info: at('info'),
      warn: at('warn'),
      error: at('error'),
    }
  }
}

/** What the server does with it: a flight that a peer won is a hit for everybody who follows. */
async function replyOf(served: Served): Promise<Omit<Reply, 'ms'>> {
  const { key, outcome } = served
  if (served.outcome === 'hit') {
    const { entry, source } = served
    const text = JSON.stringify(entry.completion.choices)
    return { source, key, outcome, text, receipt: entry.receipt }
  }
  const { follower } = served
  const first = await follower.events.next()
  const origin = follower.origin()
  if (origin !== undefined) {
    follower.leave()
    const { completion, receipt } = origin.entry
    const text = JSON.stringify(completion.choices)
    return { source: 'peer', key, outcome, text, receipt }
  }
  const collector = new CompletionCollector()
  for (let next = first; next.done !== true; next = await follower.events.next()) {
    collector.add(next.value)
  }
  const completion = collector.result(served.model.id, follower.created)
  const text = JSON.stringify(completion?.choices)
  return { source: served.source, key, outcome, text, receipt: undefined }
}

function countingMetrics(counts: Map<string, number>): Metrics {
  const count = (name: string): void => {
    counts.set(name, (counts.get(name) ?? 0) + 1)
  }
  return {
    ...silentMetrics,
    lookupFinished: outcome => count(`lookup ${outcome}`),
    firstToken: () => count('first token'),
    recordShed: reason => count(`shed ${reason}`),
    operationFailed: code => count(`failed ${code}`),
    peerLookupFinished: outcome => count(`peer lookup ${outcome}`),
    peerRecordChecked: result => count(`checked ${result}`),
    peerAnswerReceived: () => count('received'),
    peerAnswerServed: () => count('served'),
  }
}

export function lookupOf({ key }: Reply): LookupKey {
  return lookupKey(key)
}
