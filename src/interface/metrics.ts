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
  /** `spared`: of a reply's prompt tokens, those that were not prefilled for it. */
  answerServed(source: Source, tokens: ServedTokens, savedSeconds: number): void
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
  /** What a plan said of a request's time to its first token, and what it was. */
  ttftPredicted(predictedSeconds: number, actualSeconds: number): void
  blocksCounted(event: BlockEvent, count: number): void
  /** Blocks of KV state that were not kept. */
  blocksShed(reason: ShedReason, count: number): void
}

export interface ServedTokens {
  readonly input: number
  readonly output: number
  readonly saved: number
  /**
   * Where the state of the prompt came from, for the first reply made of a generation. Absent: no
   * prompt was computed for this reply, since its whole answer was there.
   */
  readonly spared?: SparedTokens
}

/**
 * Prompt tokens that need not be computed, by where their KV state was: the input tokens less these
 * are those that were computed.
 */
export interface SparedTokens {
  readonly resident: number
  readonly memory: number
  readonly disk: number
  readonly peer: number
}

export const sparedNone: SparedTokens = { resident: 0, memory: 0, disk: 0, peer: 0 }

/**
 * What happens to blocks of KV state. `evicted`: dropped from the disk tier; `abandoned`: not
 * fetched to the end, since it took too long; `invalid`: they did not open, or were others.
 */
export type BlockEvent =
  | 'stored'
  | 'evicted'
  | 'fetched'
  | 'abandoned'
  | 'invalid'
  | 'offered-to-swarm'
  | 'dropped-after-audit'
  | 'audit-agree'
  | 'audit-disagree'
  | 'audit-inconclusive'
  | 'audit-shed'

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

/**
 * What is counted of KV blocks that travel in the swarm (cache/blocks): a part of `Metrics` of its
 * own, so that whoever counts nothing else can be small.
 */
export interface BlockMetrics {
  blockPlacementFinished(outcome: PlacementOutcome): void
  /** A shard was asked for; bytes that came of it, used or not. */
  shardReceived(result: ShardResult, bytes: number): void
  shardServed(bytes: number): void
}

/**
 * `known`: the swarm has it already. `alone`: there is nobody to place it on. `refused`: fewer
 * peers than are needed would hold it. `shed`: too much waits.
 */
export type PlacementOutcome =
  | 'placed'
  | 'known'
  | 'repaired'
  | 'alone'
  | 'refused'
  | 'failed'
  | 'shed'

/** `missing`: the peer has it no more. `wrong`: not what the manifest says. */
export type ShardResult = 'valid' | 'missing' | 'wrong' | 'failed' | 'cancelled'

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
  ttftPredicted: nothing,
  blocksCounted: nothing,
  blocksShed: nothing,
}

export const silentBlockMetrics: BlockMetrics = {
  blockPlacementFinished: nothing,
  shardReceived: nothing,
  shardServed: nothing,
}
