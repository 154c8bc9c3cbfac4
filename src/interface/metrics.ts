import type { ErrorCode } from '../errors.ts'

/** Where an answer came from, as clients see it in `x-hyperspace-source`. */
export type Source = 'memory' | 'disk' | 'peer' | 'prefix' | 'routed' | 'engine' | 'upstream'
export type LookupOutcome = 'hit' | 'miss' | 'bypass'
export type ApiName =
  | 'chat_completions'
  | 'completions'
  | 'responses'
  | 'messages'
  | 'count_tokens'
  | 'embeddings'
  | 'ollama_chat'
  | 'ollama_generate'
  | 'other'

/**
 * What is counted. A closed list: labels are unions, never strings that a stranger supplies.
 * Counters add up: lookups = hits + misses + bypasses; requests = replies + errors.
 */
export interface Metrics {
  requestFinished(api: ApiName, status: number, seconds: number): void
  lookupFinished(outcome: LookupOutcome, seconds: number): void
  answerServed(
    source: Source,
    tokens: { input: number; output: number; saved: number },
    savedSeconds: number,
  ): void
  flightJoined(): void
  firstToken(seconds: number): void
  outputToken(seconds: number): void
  recordStored(bytes: number): void
  recordShed(reason: ShedReason): void
  operationFailed(code: ErrorCode): void
}

export type ShedReason = 'queue_full' | 'too_large' | 'store_failed' | 'worse_than_stored'

const nothing = (): void => undefined

/** Metrics that nobody reads: in tests, and where there is no node. */
export const silentMetrics: Metrics = {
  requestFinished: nothing,
  lookupFinished: nothing,
  answerServed: nothing,
  flightJoined: nothing,
  firstToken: nothing,
  outputToken: nothing,
  recordStored: nothing,
  recordShed: nothing,
  operationFailed: nothing,
}
