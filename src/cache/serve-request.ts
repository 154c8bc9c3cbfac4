import type { EngineModel } from '../interface/engine.ts'
import type { Source } from '../interface/metrics.ts'
import type { Tier } from '../interface/store.ts'
import { canonicalRequest } from '../key/canonical-request.ts'
import type { CompletionRequest } from '../key/completion-request.ts'
import { type ResponseKey, responseKey } from '../key/response-key.ts'
import type { Scope } from '../key/scope.ts'
import type { Flights, Follower } from './flights.ts'
import type { ModelTable, ServedModel } from './model-table.ts'
import type { SwarmAnswers } from './peers/swarm-answers.ts'
import {
  type FlightComponents,
  type Generation,
  onlyCached,
  ownContextOf,
  planGeneration,
  planLookUp,
} from './plan-flight.ts'
import type { Entry, Lookup, ResponseCache } from './response-cache.ts'

export interface ServeComponents extends FlightComponents {
  readonly models: ModelTable
  readonly flights: Flights
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
 * The request, on one page (DESIGN §3): canonicalise → look up → join a flight → peers, or plan and
 * generate → fill.
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
  const { maxAgeSeconds, noStore: isPrivate, noCache, onlyIfCached } = ask.control
  const asked = { served, request: ask.request, scope: ask.scope, key, maxAgeSeconds }
  const keyedMs = clock.monotonicMs()
  const phases = [{ name: 'canonicalise', ms: keyedMs - startMs } as const]

  const bypass = bypassReason(ask, options)
  if (bypass !== undefined) {
    metrics.lookupFinished('bypass', 0)
    // Whoever asks for what is there, and only for that, does not want it computed.
    if (onlyIfCached) throw onlyCached(bypass)
    // Peers are not told of a private prompt; KV state of others will do for any other answer.
    const alone = { ...asked, isPrivate, asksPeers: !isPrivate && !noCache }
    const follower = flights.startAlone(planGeneration(parts, alone))
    return {
      ...missOf(served, key, follower, phases),
      outcome: 'bypass',
      reason: bypass,
      stores: false,
    }
  }

  // 2. Look up: memory → disk.
  const lookup = lookUp(cache, asked, ask.control)
  const lookupMs = clock.monotonicMs() - keyedMs
  const timed = [...phases, { name: 'lookup', ms: lookupMs } as const]
  metrics.lookupFinished(lookup.outcome, lookupMs / 1_000)
  if (lookup.outcome === 'hit') {
    const { tier, entry } = lookup
    return { outcome: 'hit', source: tier, key: lookup.key, entry, phases: timed }
  }
  const swarm = parts.swarm?.(ask.scope)
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
  const generation = { ...asked, fill, ...(swarm && { swarm, asksPeers: !noCache }) }
  const plan = onlyIfCached
    ? planLookUp(parts, generation, lookup.reason)
    : planGeneration(parts, generation)
  const follower = flights.start(flightId, plan)
  const { reason } = lookup
  return { ...missOf(served, key, follower, timed), outcome: 'miss', reason, stores: true }
}

function lookUp(
  cache: ResponseCache,
  { served, request, key, maxAgeSeconds }: Generation,
  { noCache }: CacheControl,
): Lookup {
  if (noCache) {
    return { outcome: 'miss', reason: 'the client asked for a fresh answer (no-cache)' }
  }
  const { maxTokens } = request
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

function bypassReason(ask: ServeRequest, options: ServeOptions): string | undefined {
  if (ask.control.noStore) return 'the client asked not to store (no-store)'
  if (options.sampled === 'skip' && ask.request.sampling.temperature !== 0) {
    return 'sampled answers are not cached here (--sampled skip)'
  }
  return undefined
}
