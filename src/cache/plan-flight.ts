import { OperationError } from '../errors.ts'
import type { Metrics } from '../interface/metrics.ts'
import type { CanonicalRequest } from '../key/canonical-request.ts'
import type { CompletionRequest } from '../key/completion-request.ts'
import { fieldDigests, type ResponseKey } from '../key/response-key.ts'
import type { Scope } from '../key/scope.ts'
import type { Clock } from '../std/clock.ts'
import { CompletionCollector } from './collect.ts'
import type { FlightPlan } from './flights.ts'
import type { ServedModel } from './model-table.ts'
import type { SwarmAnswers } from './peers/swarm-answers.ts'
import type { SwarmMiss } from './peers/swarm-flight.ts'
import { answerGeneration, type PromptPlanner } from './prefix/answer-generation.ts'
import type { ResponseCache } from './response-cache.ts'

export interface FlightComponents {
  readonly cache: ResponseCache
  readonly clock: Clock
  readonly metrics: Metrics
  /** KV state of prompts that were computed before; absent: not kept (`--no-kv`). */
  readonly prefix?: PromptPlanner | undefined
}

/** A miss that is to be answered. */
export interface Generation {
  readonly served: ServedModel
  readonly request: CompletionRequest
  readonly scope: Scope
  readonly key: ResponseKey
  /** Oldest answer of a peer that will do; undefined: as old as this node serves them. */
  readonly maxAgeSeconds: number | undefined
  /** Absent: the answer is not to be kept. */
  readonly fill?: { readonly canonical: CanonicalRequest; readonly nodeSecret: Uint8Array }
  /** Absent: the answer stays here. */
  readonly swarm?: SwarmAnswers
  /** Whether what peers have will do: their answers, and their KV state. @default false */
  readonly asksPeers?: boolean
  /** Whether nothing of the prompt is to be kept either (no-store). @default false */
  readonly isPrivate?: boolean
}

/** Peers and the engine, or the engine alone; then the answer is kept. */
export function planGeneration(
  { clock, cache, metrics, prefix }: FlightComponents,
  generation: Generation,
): FlightPlan {
  const { served, request, scope, key, fill, swarm } = generation
  const { asksPeers = false, isPrivate = false } = generation
  const { model } = served
  const keeps = !isPrivate
  const engine = answerGeneration(prefix, { served, request, scope, key, asksPeers, keeps })
  const { generate } = engine
  const flight = swarm?.flight(missOf(generation), { asksPeers, generate })
  const collector = new CompletionCollector()
  const startMs = clock.monotonicMs()
  let lastTokenMs: number | undefined
  let isFromPeer = false
  const created = Math.floor(clock.now() / 1_000)
  return {
    created,
    prefix: () => (isFromPeer ? undefined : engine.report()),
    run: (signal, tell) => {
      if (flight === undefined) return generate(signal)
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
      const basis = engine.basis()
      const isWrong = (): boolean => basis.issuers.some(issuer => prefix?.refuses(issuer) === true)
      if (isWrong()) return flight?.giveUp()
      const share = flight?.share(completion, basis)
      const filled = cache.fill(key, {
        completion,
        maxTokens: request.maxTokens,
        costSeconds: (clock.monotonicMs() - startMs) / 1_000,
        fieldDigests: fieldDigests(fill.canonical.fields, fill.nodeSecret),
        isWrong,
        ...(share === undefined ? {} : { share }),
      })
      prefix?.noteAnswer(filled, basis.issuers)
    },
    onFailed: () => {
      // What a peer had is being stored, whoever has gone away meanwhile.
      if (!isFromPeer) flight?.giveUp()
    },
  }
}

/** `only-if-cached` in a swarm: what peers have is cached too, but no engine is started. */
export function planLookUp(
  { clock }: FlightComponents,
  generation: Generation,
  reason: string,
): FlightPlan {
  let isFound = false
  return {
    created: Math.floor(clock.now() / 1_000),
    run: (signal, tell) => {
      if (generation.swarm === undefined) throw onlyCached(reason)
      return generation.swarm.lookUp(
        missOf(generation),
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

function missOf({ served, request, key, maxAgeSeconds }: Generation): SwarmMiss {
  return { key, request, model: served.model, contextTokens: ownContextOf(served), maxAgeSeconds }
}

export function onlyCached(reason: string): OperationError {
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

/** What an upstream says of its context is not always what cuts its answers. */
export function ownContextOf({ engine, model }: ServedModel): number | undefined {
  return engine.kind === 'upstream' ? undefined : model.contextTokens
}
