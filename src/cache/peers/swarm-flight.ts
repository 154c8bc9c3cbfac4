import type { EngineModel } from '../../interface/engine.ts'
import type { Completion, GenerationEvent } from '../../interface/generation.ts'
import type { CompletionRequest } from '../../key/completion-request.ts'
import type { PeerId } from '../../key/peer-id.ts'
import type { ResponseKey } from '../../key/response-key.ts'
import type { FlightOrigin } from '../flights.ts'
import type { ShareAnswer } from '../response-cache.ts'

/** A request of the swarm's scope that nobody here has an answer for. */
export interface SwarmMiss {
  readonly key: ResponseKey
  readonly request: CompletionRequest
  readonly model: EngineModel
  /** What the model's context holds, where that is what would cut an answer. */
  readonly contextTokens: number | undefined
  /** Oldest acceptable answer; undefined: as old as this node serves them. */
  readonly maxAgeSeconds: number | undefined
}

/** What an answer rests on besides the engine. */
export interface AnswerBasis {
  /**
   * Prompt tokens whose KV state came from peers, or was computed on such, without an audit: the
   * receipt says so.
   */
  readonly unauditedTokens: number
  /** Whose KV state it rests on, audited or not. */
  readonly issuers: readonly PeerId[]
  /** Where the engine keeps the prompt's state: scoring the answer begins from it. */
  readonly partition: string
  /**
   * Resolves when the engine has let go of that state, which it may export behind the answer's end:
   * whoever scores earlier finds it in use.
   */
  readonly settled: Promise<void>
}

/** How the engine is asked, and whether peers are. */
export interface FlightOptions {
  readonly asksPeers: boolean
  readonly generate: (signal: AbortSignal) => AsyncIterable<GenerationEvent>
}

export type Tell = (origin: FlightOrigin) => void

/** What comes of a miss. Whoever runs it also shares the engine's answer, or gives up. */
export interface SwarmFlight {
  /** The flight's events, from a peer (then `tell` was called) or the engine. */
  run(signal: AbortSignal, tell: Tell): AsyncIterable<GenerationEvent>
  /** What `ResponseCache.fill` needs to make the engine's answer one of the swarm. */
  share(completion: Completion, basis: AnswerBasis): ShareAnswer
  /** When nothing came of it that can be shared. */
  giveUp(): void
}

/** Until speeds are known: a few seconds. */
const expectedMsDefault = 5_000
/** Of an answer without a limit, and of one with a large limit. */
const usualTokens = 512
const usualTokensMax = 4_096

/** About how long the engine takes for an answer: what peers that wait for it are told. */
export function expectedMsOf({ model, request }: Pick<SwarmMiss, 'model' | 'request'>): number {
  const perSecond = model.speed.decodeTokensPerSecond
  if (perSecond === undefined || perSecond <= 0) return expectedMsDefault
  return (Math.min(request.maxTokens ?? usualTokens, usualTokensMax) / perSecond) * 1_000
}
