import { OperationError } from '../errors.ts'
import type { EngineModel } from '../interface/engine.ts'
import type { Metrics, Source } from '../interface/metrics.ts'
import type { Tier } from '../interface/store.ts'
import { type CanonicalRequest, canonicalRequest } from '../key/canonical-request.ts'
import type { CompletionRequest } from '../key/completion-request.ts'
import { fieldDigests, type ResponseKey, responseKey, seedOf } from '../key/response-key.ts'
import type { Scope } from '../key/scope.ts'
import type { Clock } from '../std/clock.ts'
import { CompletionCollector } from './collect.ts'
import type { FlightPlan, Flights, Follower } from './flights.ts'
import type { ModelTable, ServedModel } from './model-table.ts'
import type { SwarmAnswers } from './peers/swarm-answers.ts'
import type { SwarmMiss } from './peers/swarm-flight.ts'
import type { Entry, Lookup, ResponseCache } from './response-cache.ts'

export interface ServeComponents {
  readonly models: ModelTable
  readonly cache: ResponseCache
  readonly flights: Flights
  readonly clock: Clock
  readonly metrics: Metrics
  /** The swarm that a scope belongs to; none for a local scope, and while the node is in none. */
  readonly swarm?: (scope: Scope) => SwarmAnswers | undefined
}

export interface ServeOptions {
  /** Salts the digests by which `cache explain` compares requests. */
  readonly nodeSecret: Uint8Array
  /**
   * What to do with answers that are drawn at random: real clients send no temperature, so the
   * default is to cache.
   */
  readonly sampled: 'cache' | 'skip'
}

export interface ServeRequest {
  readonly request: CompletionRequest
  readonly scope: Scope
  readonly sample: number
  readonly control: CacheControl
}

/**
 * What `Cache-Control` of the request asks for (RFC 9111 §5.2.1, as far as it makes sense here).
 */
export interface CacheControl {
  readonly noStore: boolean
  readonly noCache: boolean
  readonly onlyIfCached: boolean
  readonly maxAgeSeconds?: number
}

export type Served =
  | {
      readonly outcome: 'hit'
      readonly source: Tier | 'peer'
      readonly key: ResponseKey
      readonly entry: Entry
      readonly phases: readonly Phase[]
    }
  | {
      readonly outcome: 'miss' | 'collapsed' | 'bypass'
      readonly source: Source
      readonly key: ResponseKey
      /** Why it was no hit, for people. */
      readonly reason: string
      /** Whether the answer will be kept, as far as one can tell before it exists. */
      readonly stores: boolean
      readonly model: EngineModel
      readonly follower: Follower
      readonly phases: readonly Phase[]
    }

/** One step of a request, for `server-timing`. */
export interface Phase {
  readonly name: 'canonicalise' | 'lookup'
  readonly ms: number
}

/**
 * The request, on one page (DESIGN §3): canonicalise → look up → join a flight → generate → fill.
 *
 * @throws model_not_found, request_invalid, cache_miss (only-if-cached), engine_busy. Whatever the
 * engine throws comes
 *   out of the follower's events.
 */
export function serveRequest(
  parts: ServeComponents,
  ask: ServeRequest,
  options: ServeOptions,
): Served {
  const { cache, flights, clock, metrics } = parts
  const startMs = clock.monotonicMs()

  // 1. Canonicalise: one key for all requests that mean the same.
  const served = parts.models.resolve(ask.request.model)
  const canonical = canonicalRequest(ask.request, {
    modelId: served.model.id,
    developerRole: served.model.capabilities.developerRole,
    sample: ask.sample,
  })
  const key = responseKey(ask.scope, canonical)
  const { maxTokens } = ask.request
  const keyedMs = clock.monotonicMs()
  const phases = [{ name: 'canonicalise', ms: keyedMs - startMs } as const]

  const bypass = bypassReason(ask, options)
  if (bypass !== undefined) {
    metrics.lookupFinished('bypass', 0)
    // Whoever asks for what is there, and only for that, does not want it computed.
    if (ask.control.onlyIfCached) throw onlyCached(bypass)
    const follower = flights.startAlone(planGeneration(parts, { served, ask, key }))
    return {
      ...missOf(served, key, follower, phases),
      outcome: 'bypass',
      reason: bypass,
      stores: false,
    }
  }

  // 2. Look up: memory → disk.
  const lookup = lookUp(cache, { served, ask, key })
  const lookupMs = clock.monotonicMs() - keyedMs
  const timed = [...phases, { name: 'lookup', ms: lookupMs } as const]
  metrics.lookupFinished(lookup.outcome, lookupMs / 1_000)
  if (lookup.outcome === 'hit') {
    const { tier, entry } = lookup
    return { outcome: 'hit', source: tier, key: lookup.key, entry, phases: timed }
  }
  const swarm = parts.swarm?.(ask.scope)
  const { onlyIfCached, noCache } = ask.control
  if (onlyIfCached && (noCache || !swarm?.hasPeers)) throw onlyCached(lookup.reason)

  // 3. Single flight: whoever asks the same while it is being answered attaches to the same stream.
  const condition = swarm === undefined ? '' : conditionOf(ask.control)
  const flightId = `${key}/${maxTokens ?? ''}${condition}`
  const joined = flights.join(flightId)
  if (joined !== undefined) {
    metrics.flightJoined()
    const reason = 'the same request is being answered now'
    return { ...missOf(served, key, joined, timed), outcome: 'collapsed', reason, stores: true }
  }

  // 4. Peers and the engine race for it, streaming to every follower; then fill.
  const fill = { canonical, nodeSecret: options.nodeSecret }
  const generation = { served, ask, key, fill, ...(swarm && { swarm, asksPeers: !noCache }) }
  const plan = onlyIfCached
    ? planLookUp(parts, generation, lookup.reason)
    : planGeneration(parts, generation)
  const follower = flights.start(flightId, plan)
  const { reason } = lookup
  return { ...missOf(served, key, follower, timed), outcome: 'miss', reason, stores: true }
}

function lookUp(
  cache: ResponseCache,
  { served, ask, key }: Pick<Generation, 'served' | 'ask' | 'key'>,
): Lookup {
  const { noCache, maxAgeSeconds } = ask.control
  if (noCache) {
    return { outcome: 'miss', reason: 'the client asked for a fresh answer (no-cache)' }
  }
  const { maxTokens } = ask.request
  return cache.find(key, { maxTokens, maxAgeSeconds, contextTokens: ownContextOf(served) })
}

function missOf(
  { engine, model }: ServedModel,
  key: ResponseKey,
  follower: Follower,
  phases: readonly Phase[],
): Pick<
  Extract<Served, { follower: Follower }>,
  'source' | 'key' | 'model' | 'follower' | 'phases'
> {
  const source = engine.kind === 'upstream' ? 'upstream' : 'engine'
  return { source, key, model, follower, phases }
}

/**
 * Whoever limits an answer's age must not get an older one that a peer has, so that in a swarm only
 * equal conditions share a flight.
 */
function conditionOf({ noCache, onlyIfCached, maxAgeSeconds }: CacheControl): string {
  return `/${noCache ? 'fresh' : ''}${onlyIfCached ? 'cached' : ''}/${maxAgeSeconds ?? ''}`
}

/** What an upstream says of its context is not always what cuts its answers. */
function ownContextOf({ engine, model }: ServedModel): number | undefined {
  return engine.kind === 'upstream' ? undefined : model.contextTokens
}

function bypassReason(ask: ServeRequest, options: ServeOptions): string | undefined {
  if (ask.control.noStore) return 'the client asked not to store (no-store)'
  if (options.sampled === 'skip' && ask.request.sampling.temperature !== 0) {
    return 'sampled answers are not cached here (--sampled skip)'
  }
  return undefined
}

interface Generation {
  readonly served: ServedModel
  readonly ask: ServeRequest
  readonly key: ResponseKey
  /** Absent: the answer is not to be kept. */
  readonly fill?: { readonly canonical: CanonicalRequest; readonly nodeSecret: Uint8Array }
  /** Absent: the answer stays here. */
  readonly swarm?: SwarmAnswers
  /** Whether an answer that a peer has will do. */
  readonly asksPeers?: boolean
}

function planGeneration(
  { clock, cache, metrics }: ServeComponents,
  { served, ask, key, fill, swarm, asksPeers = false }: Generation,
): FlightPlan {
  const { model } = served
  const { request } = ask
  const flight = swarm?.flight(missIn({ served, ask, key }), { asksPeers })
  const collector = new CompletionCollector()
  const startMs = clock.monotonicMs()
  let lastTokenMs: number | undefined
  let isFromPeer = false
  const created = Math.floor(clock.now() / 1_000)
  return {
    created,
    run: (signal, tell) => {
      if (flight === undefined) return model.generate(request, { signal, seed: seedOf(key) })
      return flight.run(signal, origin => {
        isFromPeer = true
        tell(origin)
      })
    },
    onEvent: event => {
      if (isFromPeer) return
      collector.add(event)
      if (event.type !== 'text' && event.type !== 'tool-arguments') return
      const nowMs = clock.monotonicMs()
      if (lastTokenMs === undefined) metrics.firstToken((nowMs - startMs) / 1_000)
      else metrics.outputToken((nowMs - lastTokenMs) / 1_000)
      lastTokenMs = nowMs
    },
    onComplete: () => {
      // It is kept already, and its flight ends when it is stored.
      if (isFromPeer) return
      const completion = collector.result(model.id, created)
      if (completion === undefined) throw cutOff()
      const isFiltered = completion.choices.some(choice => choice.finish === 'content_filter')
      if (fill === undefined || isFiltered) return flight?.giveUp()
      const share = flight?.share(completion)
      cache.fill(key, {
        completion,
        maxTokens: request.maxTokens,
        costSeconds: (clock.monotonicMs() - startMs) / 1_000,
        fieldDigests: fieldDigests(fill.canonical.fields, fill.nodeSecret),
        ...(share === undefined ? {} : { share }),
      })
    },
    onFailed: () => {
      // What a peer had is being stored, whoever has gone away meanwhile.
      if (!isFromPeer) flight?.giveUp()
    },
  }
}

/** `only-if-cached` in a swarm: what peers have is cached too, but no engine is started. */
function planLookUp(
  { clock }: ServeComponents,
  { served, ask, key, swarm }: Generation,
  reason: string,
): FlightPlan {
  let isFound = false
  return {
    created: Math.floor(clock.now() / 1_000),
    run: (signal, tell) => {
      if (swarm === undefined) throw onlyCached(reason)
      return swarm.lookUp(
        missIn({ served, ask, key }),
        origin => {
          isFound = true
          tell(origin)
        },
        signal,
      )
    },
    onEvent: () => undefined,
    onComplete: () => {
      if (!isFound) throw onlyCached(`${reason}, and no peer has one`)
    },
  }
}

function missIn({ served, ask, key }: Pick<Generation, 'served' | 'ask' | 'key'>): SwarmMiss {
  const { request, control } = ask
  const { maxAgeSeconds } = control
  const contextTokens = ownContextOf(served)
  return { key, request, model: served.model, contextTokens, maxAgeSeconds }
}

function onlyCached(reason: string): OperationError {
  return new OperationError('cache_miss', `Not in the cache (only-if-cached): ${reason}`, {
    origin: 'client',
  })
}

function cutOff(): OperationError {
  return new OperationError('engine_failed', 'The engine ended before the answer was complete', {
    origin: 'engine',
    retryable: true,
  })
}
