import type { ErrorCode } from '../errors.ts'
import type { ReceiptFault } from '../wire/receipt.ts'

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
 * Counters add up: lookups = hits + misses + bypasses; requests = replies + errors. A look-up is
 * one in this node's own cache: an answer that a peer had is a miss here and a hit among the
 * look-ups on peers, which are at most as many as the misses.
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
  peerLookupFinished(outcome: PeerLookupOutcome, seconds: number): void
  /** A record that a peer sent was checked. */
  peerRecordChecked(result: RecordCheckResult): void
  peerAnswerReceived(bytes: number): void
  peerAnswerServed(bytes: number): void
}

/**
 * `overtaken`: the engine was faster, or nobody waits any more. `skipped`: nobody was asked, since
 * nobody is connected or nobody had it a moment ago.
 */
export type PeerLookupOutcome = 'hit' | 'miss' | 'overtaken' | 'skipped'

/** `valid`, or what is wrong with the record, or with its receipt. */
export type RecordCheckResult =
  | 'valid'
  /** A right answer to somebody else: too old, too long or cut elsewhere. */
  | 'unfit'
  | 'unreadable'
  | 'no-receipt'
  | ReceiptFault

export type ShedReason = 'queue_full' | 'too_large' | 'store_failed'

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
  peerLookupFinished: nothing,
  peerRecordChecked: nothing,
  peerAnswerReceived: nothing,
  peerAnswerServed: nothing,
}
