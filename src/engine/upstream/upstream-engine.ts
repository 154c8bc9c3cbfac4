import { OperationError } from '../../errors.ts'
import type { Engine, EngineLoad, EngineModel } from '../../interface/engine.ts'
import type { Log } from '../../interface/log.ts'
import { upstreamRequestsMax } from '../../limits.ts'
import { type Clock, delay } from '../../std/clock.ts'
import { Permits } from '../../std/permits.ts'
import type { Random } from '../../std/random.ts'
import { type AbortOptions, type LinkedSignal, linkSignal } from '../../std/signal.ts'
import { TaskScope } from '../../std/task-scope.ts'
import { UpstreamHttp, type UpstreamHttpOptions } from './http/upstream-http.ts'
import { type ListedModel, listModels } from './list-models.ts'
import { type OpenSlots, openSlots, type SlotOptions } from './slots/open-slots.ts'
import { SpeedMeter } from './speed-meter.ts'
import { UpstreamModel, type UpstreamModelComponents } from './upstream-model.ts'
import type { UpstreamKind } from './wire/dialect.ts'

export interface UpstreamEngineComponents {
  readonly clock: Clock
  readonly log: Log
  readonly random: Random
}

export interface UpstreamEngineOptions extends UpstreamHttpOptions {
  /** How often the list of models is asked for. @default 60_000 */
  readonly refreshIntervalMs?: number
  /** For a llama-server on this machine: how its slots are saved and restored. */
  readonly slots?: SlotOptions
}

const defaultRefreshIntervalMs = 60_000
/** An upstream that is down is asked more often: people start it after us. */
const retryIntervalMs = 5_000

/**
 * Any OpenAI-compatible server as an engine. An upstream that is down does not keep the node from
 * starting: it has no models until it answers, and `failure` says why. A list once seen is kept
 * while the upstream is away, so that its models fail as unreachable instead of unknown.
 */
export class UpstreamEngine implements Engine {
  readonly name: string
  readonly kind = 'upstream'
  readonly #clock: Clock
  readonly #log: Log
  readonly #random: Random
  readonly #options: UpstreamEngineOptions
  readonly #http: UpstreamHttp
  readonly #habits = { refusesStreamOptions: false }
  /** One at a time: two would look at one slot and disturb each other. */
  readonly #refreshes = new Permits(1, 1)
  readonly #speedMeters = new Map<string, SpeedMeter>()
  #scope: TaskScope | undefined
  #ending = new AbortController()
  #models: readonly UpstreamModel[] = []
  /** Opened anew whenever the upstream has been away: another server may have come back. */
  #slots: OpenSlots | undefined
  /** Why they cannot be used, where it is of no use to try again. */
  #slotsUnavailable: string | undefined
  #listed: readonly ListedModel[] = []
  #upstreamKind: UpstreamKind = 'openai'
  #failure: OperationError | undefined
  #running = 0

  constructor(components: UpstreamEngineComponents, options: UpstreamEngineOptions) {
    this.#clock = components.clock
    this.#random = components.random
    this.#log = components.log.child({ upstream: options.name })
    this.#options = options
    this.#http = new UpstreamHttp(components.clock, options)
    this.name = `upstream ${options.name}`
  }

  /** Name and URL, for people. */
  get label(): UpstreamHttp['label'] {
    return this.#http.label
  }

  /** What kind of server it turned out to be. */
  get upstreamKind(): UpstreamKind {
    return this.#upstreamKind
  }

  /** Why its models could not be listed the last time; undefined while it answers. */
  get failure(): OperationError | undefined {
    return this.#failure
  }

  async start(options: AbortOptions): Promise<void> {
    if (this.#scope !== undefined) return
    const scope = new TaskScope((task, error) => this.#log.error('task failed', { task, error }))
    this.#scope = scope
    this.#ending = new AbortController()
    this.#http.open()
    try {
      await this.refresh(options)
    } catch (error) {
      await this.stop()
      throw error
    }
    scope.spawn('refresh models', signal => this.#refreshForever(signal))
  }

  async stop(): Promise<void> {
    const scope = this.#scope
    this.#scope = undefined
    const message = `Upstream '${this.label.name}' is not in use any more`
    this.#ending.abort(new OperationError('draining', message, { origin: 'self', retryable: true }))
    await scope?.close()
    await this.#http.close()
  }

  models(): readonly EngineModel[] {
    return this.#models
  }

  load(): EngineLoad {
    const slots = this.#slots?.access.slots ?? this.#running
    return { running: Math.min(this.#running, slots), waiting: Math.max(0, this.#running - slots) }
  }

  /**
   * Asks for the models now. A failure is kept in `failure`, not thrown. @throws only the signal's
   * reason
   */
  async refresh(options: AbortOptions): Promise<void> {
    const release = await this.#refreshes.acquire(options)
    // Whoever waits before will see what is there by then.
    if (release === undefined) return
    try {
      await this.#refresh(options)
    } finally {
      release()
    }
  }

  async #refresh(options: AbortOptions): Promise<void> {
    const started = this.#whileStarted(options.signal)
    try {
      const { kind, models } = await listModels(this.#http, {
        signal: started.signal,
        known: this.#listed,
      })
      const slots = await this.#slotsOf(kind, models, started.signal)
      this.#take(kind, models, slots)
    } catch (error) {
      started.signal.throwIfAborted()
      if (!(error instanceof OperationError)) throw error
      if (this.#failure?.code !== error.code) {
        this.#log.warn('upstream lost', { url: this.label.url, code: error.code })
      }
      this.#failure = error
      this.#slotsUnavailable = undefined
    } finally {
      started[Symbol.dispose]()
    }
  }

  async #refreshForever(signal: AbortSignal): Promise<void> {
    const intervalMs = this.#options.refreshIntervalMs ?? defaultRefreshIntervalMs
    while (!signal.aborted) {
      await delay(this.#clock, this.#failure === undefined ? intervalMs : retryIntervalMs, signal)
      await this.refresh({ signal })
    }
  }

  /** Slots hold the state of one model: a server with several is left to itself. */
  async #slotsOf(
    kind: UpstreamKind,
    models: readonly ListedModel[],
    signal: AbortSignal,
  ): Promise<OpenSlots | undefined> {
    const { slots: options } = this.#options
    if (options === undefined || kind !== 'llama-server' || models.length !== 1) return undefined
    const isBack = this.#failure !== undefined
    if (!isBack && (await this.#slots?.isSameServer(signal))) return this.#slots
    if (this.#slotsUnavailable !== undefined) return undefined
    const onOtherServer = (): void =>
      this.#scope?.spawn('open slots', refreshSignal => this.refresh({ signal: refreshSignal }))
    const components = { http: this.#http, random: this.#random, log: this.#log, onOtherServer }
    const opened = await openSlots(components, options, signal)
    if (!('unavailable' in opened)) return opened
    const { unavailable, isPassing } = opened
    if (!isPassing) this.#slotsUnavailable = unavailable
    this.#log.warn('slots not usable', { url: this.label.url, reason: unavailable, isPassing })
    return undefined
  }

  /** Models keep their identity while nothing about them changes. */
  #take(kind: UpstreamKind, models: readonly ListedModel[], slots: OpenSlots | undefined): void {
    const isSame =
      kind === this.#upstreamKind &&
      slots === this.#slots &&
      JSON.stringify(models) === JSON.stringify(this.#listed)
    const isBack = this.#failure !== undefined
    this.#failure = undefined
    if (isSame && !isBack) return
    this.#log.info('upstream models listed', { url: this.label.url, kind, count: models.length })
    if (isSame) return
    this.#slots = slots
    this.#listed = models
    this.#upstreamKind = kind
    const names = new Set(models.map(model => model.name))
    for (const name of this.#speedMeters.keys()) {
      if (!names.has(name)) this.#speedMeters.delete(name)
    }
    this.#models = models.map(model => new UpstreamModel(this.#componentsOf(model), kind, model))
  }

  #componentsOf(model: ListedModel): UpstreamModelComponents {
    const speedMeter = this.#speedMeters.get(model.name) ?? new SpeedMeter(this.#clock)
    this.#speedMeters.set(model.name, speedMeter)
    return {
      slots: this.#slots,
      http: this.#http,
      habits: this.#habits,
      speedMeter,
      begin: signal => this.#begin(signal),
      onUsageMissing: model => this.#log.debug('usage estimated', { model }),
    }
  }

  /** Takes a place among the running requests; its signal also fires when the engine stops. */
  #begin(signal: AbortSignal): LinkedSignal {
    if (this.#running >= upstreamRequestsMax) {
      const message = `Upstream '${this.label.name}' has ${this.#running} requests running`
      throw new OperationError('engine_busy', message, {
        origin: 'engine',
        retryable: true,
        retryAfterMs: 1_000,
      })
    }
    const linked = this.#whileStarted(signal)
    this.#running += 1
    return {
      signal: linked.signal,
      [Symbol.dispose]: () => {
        this.#running -= 1
        linked[Symbol.dispose]()
      },
    }
  }

  #whileStarted(signal: AbortSignal): LinkedSignal {
    if (this.#ending.signal.aborted) throw this.#ending.signal.reason
    return linkSignal(this.#clock, [signal, this.#ending.signal])
  }
}
