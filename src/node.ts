import type { AddressInfo } from 'node:net'
import { Flights } from './cache/flights.ts'
import { ModelTable } from './cache/model-table.ts'
import { ResponseCache } from './cache/response-cache.ts'
import type { NodeStatus } from './client/node-status.ts'
import { type Config, isLoopback } from './config.ts'
import { DataFolder } from './data-folder.ts'
import { createEngines, type EngineSet } from './engines.ts'
import { type Log, silentLog } from './interface/log.ts'
import type { Store } from './interface/store.ts'
import { type LookupKey, leavesKey } from './key/response-key.ts'
import type { Scope } from './key/scope.ts'
import { describeNode } from './node-report.ts'
import { packageVersion } from './package-info.ts'
import { blockGauges, createPrefixPart, describePrefix, type PrefixPart } from './prefix-part.ts'
import { addAdminEndpoints } from './server/admin/admin-endpoints.ts'
import { addPrefixEndpoint } from './server/admin/prefix-endpoint.ts'
import { Answerer } from './server/answer.ts'
import { createRouter } from './server/endpoints.ts'
import { Guard } from './server/guard.ts'
import { HttpServer } from './server/http-server.ts'
import type { Router } from './server/router.ts'
import { type Clock, systemClock } from './std/clock.ts'
import { type Startable, startAll, stopAll } from './std/lifecycle.ts'
import { type Random, systemRandom } from './std/random.ts'
import type { AbortOptions } from './std/signal.ts'
import { TaskScope } from './std/task-scope.ts'
import { LmdbStore } from './store/lmdb-store.ts'
import { MemoryStore } from './store/memory-store.ts'
import { TieredStore } from './store/tiered-store.ts'
import { addSwarmEndpoints } from './swarm-endpoints.ts'
import { SwarmPart } from './swarm-part.ts'
import { openLog } from './telemetry/log.ts'
import { PrometheusMetrics } from './telemetry/prometheus.ts'

/** One Hyperspace node: an HTTP server, its engines and its caches on one data folder. */
export interface HyperspaceNode {
  /** Takes the data folder, loads models, listens. Leaves nothing behind when it fails. */
  start(options: AbortOptions): Promise<void>
  /** Finishes what runs, until the drain deadline, then closes everything. */
  stop(): Promise<void>
  /** Cuts what runs: a `stop` under way then ends at once. */
  abort(): void
  status(): NodeStatus
  /** Resolves when the node has stopped, whoever stopped it. */
  readonly closed: Promise<void>
}

export interface NodeOverrides {
  readonly clock?: Clock
  readonly random?: Random
  /** Engines in place of those that the configuration names. For tests. */
  readonly engines?: EngineSet
}

export function createNode(config: Config, overrides: NodeOverrides = {}): HyperspaceNode {
  return new Node(config, overrides)
}

/** What exists only while the node runs. */
interface Running {
  readonly engineSet: EngineSet
  readonly store: Store
  readonly flights: Flights
  readonly metrics: PrometheusMetrics
  readonly models: ModelTable
  readonly server: HttpServer
  readonly swarm: SwarmPart
  readonly prefix: PrefixPart | undefined
  readonly parts: readonly Startable[]
  readonly startedAt: number
}

/** What the endpoints tell of, beside the node itself. */
interface RoutedParts extends Omit<Running, 'server' | 'parts'> {
  readonly cache: ResponseCache
  readonly nodeSecret: Uint8Array
}

class Node implements HyperspaceNode {
  readonly closed: Promise<void>
  readonly #config: Config
  readonly #clock: Clock
  readonly #random: Random
  readonly #overrides: NodeOverrides
  readonly #folder: DataFolder
  readonly #version = packageVersion()
  readonly #adminToken: string
  #state: 'stopped' | 'starting' | 'started' | 'draining' = 'stopped'
  #running: Running | undefined
  #starting: Promise<void> | undefined
  #stopping: Promise<void> | undefined
  #resolveClosed: () => void = () => undefined
  #log: Log = silentLog

  constructor(config: Config, overrides: NodeOverrides) {
    this.#config = config
    this.#clock = overrides.clock ?? systemClock
    this.#random = overrides.random ?? systemRandom
    this.#overrides = overrides
    this.#folder = new DataFolder(config.data, this.#random)
    this.#adminToken = Buffer.from(this.#random.bytes(24)).toString('base64url')
    this.closed = new Promise(resolve => {
      this.#resolveClosed = resolve
    })
  }

  async start(options: AbortOptions): Promise<void> {
    this.#starting = this.#start(options)
    await this.#starting
  }

  stop(): Promise<void> {
    if (this.#state === 'stopped') return this.#stopping ?? Promise.resolve()
    this.#stopping ??= this.#stop()
    return this.#stopping
  }

  abort(): void {
    this.#running?.server.abort()
  }

  status(): NodeStatus {
    const running = this.#live()
    return describeNode({
      engineSet: running.engineSet,
      models: running.models,
      store: running.store,
      swarm: running.swarm.joined,
      prefix: describePrefix(
        running.prefix,
        running.models.list().map(({ model }) => model),
        running.swarm.joined?.blocks?.stats(),
      ),
      totals: running.metrics.totals,
      requestsRunning: running.server.runningCount,
      startedAt: running.startedAt,
      config: this.#config,
      version: this.#version,
      url: urlOf(running.server.address),
      isDraining: this.#state === 'draining',
      now: this.#clock.now(),
    })
  }

  async #start(options: AbortOptions): Promise<void> {
    this.#folder.acquire()
    this.#state = 'starting'
    try {
      const logFile = openLog({ file: this.#folder.paths.logFile, level: this.#config.logLevel })
      const closeLog: Startable = { name: 'log', start: async () => undefined, stop: logFile.close }
      try {
        const running = await this.#build(logFile.log, options)
        const announcement: Startable = {
          name: 'announcement',
          start: async () => this.#announce(running),
          stop: async () => undefined,
        }
        await startAll([...running.parts, announcement], options)
        this.#running = { ...running, parts: [closeLog, ...running.parts] }
        this.#log = logFile.log
        running.prefix?.warmUp(running.models.list().map(({ model }) => model))
      } catch (error) {
        await logFile.close()
        throw error
      }
    } catch (error) {
      this.#folder.release()
      this.#state = 'stopped'
      throw error
    }
    this.#state = 'started'
    const { models, urls } = this.status()
    const names = models.map(model => model.name)
    this.#log.info('node started', { version: this.#version, url: urls.anthropic, models: names })
  }

  #live(): Running {
    if (this.#running === undefined) throw new TypeError('The node is not running')
    return this.#running
  }

  /** Tells the commands of the data folder where the node is and what its models are called. */
  #announce({ server, models }: Running): void {
    this.#folder.announce({
      pid: process.pid,
      url: urlOf(server.address),
      adminToken: this.#adminToken,
      version: this.#version,
    })
    this.#folder.writeModelTable(
      models.list().map(({ model }) => ({
        name: model.name,
        aliases: model.aliases,
        id: model.id,
        developerRole: model.capabilities.developerRole,
      })),
    )
  }

  #shutDown(log: Log): void {
    this.stop().catch((error: unknown) => log.error('stop failed', { error }))
  }

  #unreadyReason(models: ModelTable): string | undefined {
    if (this.#state === 'draining') return 'the node is shutting down'
    return models.list().length === 0 ? 'no model can be served now' : undefined
  }

  async #stop(): Promise<void> {
    // What is starting is stopped once it stands; a start that fails has cleaned up by itself.
    if (this.#state === 'starting') await this.#starting?.catch(() => undefined)
    const running = this.#running
    if (running === undefined) {
      this.#stopping = undefined
      return
    }
    this.#state = 'draining'
    this.#log.info('node stopping', { requests: running.server.runningCount })
    try {
      await stopAll(running.parts)
    } finally {
      this.#folder.release()
      this.#state = 'stopped'
      this.#resolveClosed()
    }
  }

  /** Builds the parts in dependency order; nothing of them is started yet. */
  async #build(log: Log, options: AbortOptions): Promise<Running> {
    const clock = this.#clock
    const random = this.#random
    const config = this.#config
    const startedAt = clock.now()
    const nodeSecret = this.#folder.secret()
    const engineSet =
      this.#overrides.engines ?? (await createEngines({ clock, log, random }, config, options))
    const background = new TaskScope((task, error) => log.error('task failed', { task, error }))
    const store = this.#createStore(log)
    const models = new ModelTable(engineSet.engines)
    const metrics = new PrometheusMetrics({
      store: () => store.stats(),
      requestsRunning: () => server.runningCount,
      engine: () => totalLoad(engineSet),
      swarm: () => swarm.counts,
      blocks: () => blockGauges(prefix, swarm.joined?.blocks?.stats()),
    })
    const cache = new ResponseCache(
      { store, clock, random, log, metrics, scope: background },
      { ttlMs: config.ttl },
    )
    const flights = new Flights(background)
    const prefix = createPrefixPart(
      { clock, random, log, metrics, background, swarmOf: scope => swarm.blocksOf(scope) },
      config,
    )
    prefix?.cache.onWrongAnswers(answers => removeAnswers(cache, store, answers))
    const swarm = new SwarmPart({ clock, random, log, metrics, store, cache, prefix }, config)
    const answerer = new Answerer(
      {
        models,
        cache,
        flights,
        clock,
        random,
        metrics,
        swarm: scope => swarm.answersOf(scope),
        prefix: prefix?.cache,
      },
      { nodeSecret, sampled: config.sampled },
    )
    const parts = { engineSet, store, flights, metrics, models, swarm, prefix, startedAt }
    const router = this.#createRouter(log, { ...parts, cache, nodeSecret })
    const guard = new Guard({
      apiKeys: config.apiKey,
      allowOrigins: config.allowOrigin,
      nodeSecret,
      isLoopback: isLoopback(config.host),
      sharedScope: () => swarm.joined?.scope,
    })
    const server = new HttpServer(
      { guard, router, answerer, models, cache, flights, clock, random, metrics, log },
      { host: config.host, port: config.port, adminToken: this.#adminToken },
    )
    const tasks: Startable = {
      name: 'background tasks',
      start: async () => undefined,
      // The server has drained: what is left are answers on their way to the disk, and flights
      // nobody follows.
      stop: () => background.close(),
    }
    const blocks = prefix === undefined ? [] : [prefix]
    const started = [store, ...engineSet.engines, ...blocks, tasks, swarm, server]
    return { ...parts, server, parts: started }
  }

  #createStore(log: Log): Store {
    const clock = this.#clock
    const { maxMemory, maxDisk } = this.#config
    const { records } = this.#folder.paths
    return new TieredStore({
      memory: new MemoryStore({ clock }, { bytesMax: maxMemory }),
      disk: new LmdbStore({ clock, log }, { folder: records, bytesMax: maxDisk }),
    })
  }

  #createRouter(log: Log, parts: RoutedParts): Router {
    const clock = this.#clock
    const { models, metrics, store, cache, swarm, prefix, nodeSecret, startedAt } = parts
    const router = createRouter({
      models,
      clock,
      metrics,
      startedAt,
      version: this.#version,
      unreadyReason: () => this.#unreadyReason(models),
    })
    addAdminEndpoints(router, {
      store,
      cache,
      prefix: prefix?.cache,
      clock,
      status: () => this.status(),
      shutdown: () => this.#shutDown(log),
    })
    addSwarmEndpoints(router, { swarm, clock })
    const swarmScope = (): Scope | undefined => swarm.joined?.scope
    addPrefixEndpoint(router, { models, prefix: prefix?.cache, swarmScope, nodeSecret })
    return router
  }
}

/** With their leaves. */
async function removeAnswers(
  cache: ResponseCache,
  store: Store,
  answers: readonly LookupKey[],
): Promise<void> {
  for (const answer of answers) {
    await cache.remove(answer)
    await store.remove(leavesKey(answer))
  }
}

function totalLoad({ engines }: EngineSet): { running: number; waiting: number } {
  const loads = engines.map(engine => engine.load())
  return {
    running: loads.reduce((sum, load) => sum + load.running, 0),
    waiting: loads.reduce((sum, load) => sum + load.waiting, 0),
  }
}

/**
 * Where clients of this machine reach the node: an address that means "all" is reached through
 * loopback.
 */
function urlOf({ address, port, family }: AddressInfo): string {
  const host = address === '0.0.0.0' ? '127.0.0.1' : address === '::' ? '::1' : address
  return family === 'IPv6' ? `http://[${host}]:${port}` : `http://${host}:${port}`
}
