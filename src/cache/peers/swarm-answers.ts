import type { GenerationEvent } from '../../interface/generation.ts'
import { type LookupKey, limitedKey, lookupKey } from '../../key/response-key.ts'
import type { SwarmTag } from '../../key/scope.ts'
import type { Clock } from '../../std/clock.ts'
import { eventsOf } from '../events-of.ts'
import type { ResponseCache, ShareAnswer } from '../response-cache.ts'
import type { Certifier } from './certifier.ts'
import type { PeerAnswers } from './peer-answers.ts'
import { type Race, raceSources } from './race-sources.ts'
import type { Wanted } from './records/check-record.ts'
import { type PeerAnswer, patienceMs } from './records/record-reader.ts'
import type { SharedFlights } from './records/shared-flights.ts'
import type { SharedKeys } from './records/shared-keys.ts'
import {
  expectedMsOf,
  type FlightOptions,
  type SwarmFlight,
  type SwarmMiss,
  type Tell,
} from './swarm-flight.ts'

export interface SwarmAnswersComponents {
  readonly answers: PeerAnswers
  readonly shared: SharedKeys
  readonly flights: SharedFlights
  readonly certifier: Certifier
  readonly cache: ResponseCache
  readonly clock: Clock
}

export interface SwarmAnswersOptions {
  readonly swarm: SwarmTag | undefined
}

/** What a peer says of the cost decides how long we keep it: not longer than a minute's work. */
const costSecondsMax = 60

/** What a node does with requests of its swarm's scope (DESIGN §3.4 and §3.7). */
export class SwarmAnswers {
  readonly #parts: SwarmAnswersComponents
  readonly #options: SwarmAnswersOptions

  constructor(components: SwarmAnswersComponents, options: SwarmAnswersOptions) {
    this.#parts = components
    this.#options = options
  }

  /** Whether anybody can be asked. */
  get hasPeers(): boolean {
    return this.#parts.answers.headStartMs() > 0
  }

  /** One miss, for which peers and the engine race; or, for a fresh answer, only the engine. */
  flight(miss: SwarmMiss, { asksPeers, ...engine }: FlightOptions): SwarmFlight {
    const { key, request } = miss
    const { flights, certifier } = this.#parts
    let end: ReturnType<SharedFlights['begin']> = () => undefined
    const onStored = (lookup: LookupKey | undefined): void => {
      this.#offer(miss, lookup)
      end(lookup)
    }
    const generate = (signal: AbortSignal): AsyncIterable<GenerationEvent> => {
      const flightKey = lookupKey(limitedKey(key, request.maxTokens ?? 0))
      end = flights.begin(flightKey, expectedMsOf(miss))
      return engine.generate(signal)
    }
    return {
      run: (signal, tell) => {
        if (!asksPeers) return generate(signal)
        return this.#race(miss, { generate, onStored, tell }, signal)
      },
      giveUp: () => end(undefined),
      share: (completion, basis) => ({
        swarm: this.#options.swarm,
        certify: (lookup, expiresAt) =>
          certifier.certify(miss, completion, { lookup, expiresAt, basis }),
        onStored,
      }),
    }
  }

  /** What peers have, without an engine, in the time of a head start: for `only-if-cached`. */
  async *lookUp(miss: SwarmMiss, tell: Tell, signal: AbortSignal): AsyncGenerator<GenerationEvent> {
    const { answers } = this.#parts
    const deadlineMs = answers.headStartMs()
    const found = await answers.find(this.#wanted(miss), { signal, deadlineMs })
    if (found !== undefined) yield* this.#adopt(found, tell, lookup => this.#offer(miss, lookup))
  }

  /** Peers and the engine race for the answer; what a peer had is kept and offered onward. */
  async *#race(
    miss: SwarmMiss,
    how: Pick<Race<PeerAnswer>, 'generate'> &
      Pick<ShareAnswer, 'onStored'> & { readonly tell: Tell },
    signal: AbortSignal,
  ): AsyncGenerator<GenerationEvent, void, void> {
    const { answers, clock } = this.#parts
    const wanted = this.#wanted(miss)
    // Longer than the engine would take is not worth waiting, somewhat longer is: it computes once.
    const patienceMsMax = patienceMs(expectedMsOf(miss))
    const race: Race<PeerAnswer> = {
      search: (searchSignal, extend) => {
        const onInFlight = (leftMs: number): void => {
          if (leftMs <= patienceMsMax) extend(Math.min(patienceMs(leftMs), patienceMsMax))
        }
        return answers.find(wanted, { signal: searchSignal, onInFlight })
      },
      generate: how.generate,
      headStartMs: answers.headStartMs(),
    }
    for await (const leg of raceSources(race, clock, signal)) {
      if (leg.type === 'event') yield leg.event
      else yield* this.#adopt(leg.found, how.tell, how.onStored)
    }
  }

  #wanted({ key, model, request, contextTokens, maxAgeSeconds }: SwarmMiss): Wanted {
    const { ttlMs } = this.#parts.cache
    const maxAgeMs = maxAgeSeconds === undefined ? ttlMs : Math.min(ttlMs, maxAgeSeconds * 1_000)
    return { key, modelId: model.id, maxTokens: request.maxTokens, contextTokens, maxAgeMs }
  }

  /** Keeps what a peer had, and replays it. */
  *#adopt(
    { record }: PeerAnswer,
    tell: Tell,
    onStored: ShareAnswer['onStored'],
  ): Generator<GenerationEvent> {
    const { cache, clock } = this.#parts
    const { key, sealed, plainBytes, completion, maxTokens, receipt, receiptBytes } = record
    const answer = {
      sealed,
      plainBytes,
      completion,
      maxTokens,
      costSeconds: Math.min(record.costSeconds, costSecondsMax),
      storedAt: Math.min(clock.now(), receipt.issuedAt),
      expiresAt: receipt.expiresAt,
      receipt: receiptBytes,
      swarm: this.#options.swarm,
    }
    const entry = cache.adopt(key, answer, onStored)
    tell({ key, entry })
    yield* eventsOf(completion)
  }

  #offer({ key, request }: SwarmMiss, lookup: LookupKey | undefined): void {
    const { shared, answers } = this.#parts
    if (lookup !== undefined) shared.add([lookup])
    answers.forget({ key, maxTokens: request.maxTokens })
  }
}
