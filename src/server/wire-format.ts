import type { CacheDiagnosis } from '../cache/cache-diagnosis.ts'
import type { OperationError } from '../errors.ts'
import type { Completion, GenerationEvent } from '../interface/generation.ts'
import type { ApiName } from '../interface/metrics.ts'
import type { CompletionRequest } from '../key/completion-request.ts'
import type { JsonObject } from '../std/json.ts'

/**
 * One client API, as pure functions between its bytes and our neutral request, events and
 * completion. Live streams, followers and replays of stored answers all go through the same
 * encoders: that is why a hit keeps tool calls, reasoning, log-probabilities and usage, whoever
 * asked first and in which form.
 */
export interface WireFormat {
  readonly api: ApiName
  /**
   * Checks the body and says what it asks for.
   * @throws request_invalid naming the field, the type of its value and what is allowed
   */
  parse(body: JsonObject): ParsedRequest
  /** The body of a non-streaming reply. */
  encodeReply(completion: Completion, context: ReplyContext): string
  openStream(context: ReplyContext): StreamEncoder
}

export interface ParsedRequest {
  readonly request: CompletionRequest
  readonly stream: boolean
  /**
   * Everything else in the body that changes the reply's bytes without being part of the key
   * (`include_usage`, `echo` …): two requests with equal key, model name, stream flag and variant
   * get equal bytes.
   */
  readonly variant: string
  /**
   * What the client should know, sent as `x-hyperspace-warning`: for example tools that cannot be
   * run here.
   */
  readonly warnings: readonly string[]
}

export interface ReplyContext {
  /**
   * 24 hex digits: of the response key where there is one, so that a replay has the id of the
   * original.
   */
  readonly id: string
  /** Seconds since 1970 at which the answer was (or is being) computed. */
  readonly created: number
  readonly parsed: ParsedRequest
  /**
   * Whether the answer comes from the response cache, here or on a peer: then all prompt tokens
   * are reported as cached. Of a live reply it is known from the first event on.
   */
  readonly isHit: boolean
  /**
   * Why the answer is being computed, given how many tokens of its prompt were not; absent on a
   * hit. For replies whose client asked for diagnostics.
   */
  readonly diagnose?: (cachedTokens: number) => CacheDiagnosis
}

/** Turns events into the bytes of one streamed reply. Stateful: one per reply. */
export interface StreamEncoder {
  readonly contentType: 'text/event-stream; charset=utf-8' | 'application/x-ndjson'
  /** Text to write for this event; may be empty. Called in order, from `start` to `usage`. */
  encode(event: GenerationEvent): string
  /** What closes a complete stream (`data: [DONE]` …). */
  end(): string
  /** What tells the client that the stream broke off, in the API's own way. */
  fail(error: OperationError, requestId: string): string
  /**
   * A comment or ping that keeps proxies from cutting an idle stream; empty where the API has none.
   */
  keepAlive(): string
}

/** The API's own error body. */
export type ErrorEncoder = (error: OperationError, status: number, requestId: string) => string
