import type { ToolCall } from '../key/completion-request.ts'
import type { ModelId } from '../key/model-id.ts'

/**
 * What an engine yields while it generates. One grammar serves live streams, followers and replays:
 *
 *     stream  = start delta* finish*(one per choice) usage
 *     delta   = text | tool-call | tool-arguments
 *
 * Events of different choices may interleave; each choice's own events are in order. A stream that
 * ends without `usage` was cut off: it is an error for the client and is never stored.
 */
export type GenerationEvent =
  | StartEvent
  | TextEvent
  | ToolCallEvent
  | ToolArgumentsEvent
  | FinishEvent
  | { readonly type: 'usage'; readonly usage: Usage }

export interface StartEvent {
  readonly type: 'start'
  /** Tokens of the prompt, where the engine knows them before the end. */
  readonly promptTokens?: number
  /** Of these, how many were not computed for this answer. */
  readonly cachedTokens?: number
  /** Of the cached ones, how many came with the offered KV state (`PrefixUse.offer`). */
  readonly importedTokens?: number
  /** How long that took, from the last block on, in milliseconds, where the engine tells. */
  readonly importMs?: number
}

export type TextKind = 'text' | 'reasoning' | 'refusal'

export interface TextEvent {
  readonly type: 'text'
  /** 0-based choice. */
  readonly choice: number
  readonly kind: TextKind
  /** May be empty when only `logprobs` are told. */
  readonly text: string
  readonly logprobs?: readonly TokenLogprob[]
}

/** A tool call begins. Its arguments follow as `tool-arguments`. */
export interface ToolCallEvent {
  readonly type: 'tool-call'
  readonly choice: number
  /** 0-based ordinal of the call in its choice. */
  readonly call: number
  readonly id: string
  readonly name: string
}

export interface ToolArgumentsEvent {
  readonly type: 'tool-arguments'
  readonly choice: number
  readonly call: number
  /** The next piece of the arguments' JSON text. */
  readonly text: string
}

export type FinishReason = 'stop' | 'length' | 'tool_calls' | 'content_filter'

export interface FinishEvent {
  readonly type: 'finish'
  readonly choice: number
  readonly reason: FinishReason
  /** The stop string that ended it, when one did. */
  readonly stopSequence?: string
  /**
   * The choice's completion tokens, where the engine has tokens: every token that was sampled after
   * the prompt, in order, those of reasoning, tool calls and the stop string included, without the
   * token by which the model ended. Over all choices they are as many as the usage's.
   */
  readonly tokenIds?: readonly number[]
}

export interface TokenLogprob {
  readonly token: string
  /** UTF-8 bytes of the token; they may be part of a character. */
  readonly bytes: readonly number[]
  /** Natural logarithm of the probability, at temperature 1 before any filter. */
  readonly logprob: number
  readonly top: readonly {
    readonly token: string
    readonly bytes: readonly number[]
    readonly logprob: number
  }[]
}

export interface Usage {
  readonly promptTokens: number
  /** Of the prompt tokens, those that were not computed for this answer. */
  readonly cachedTokens: number
  /**
   * Of the prompt tokens, those whose KV state was put into the cache for later prompts. Absent:
   * none.
   */
  readonly cacheWriteTokens?: number
  readonly completionTokens: number
  /** Of the completion tokens, those spent on reasoning. */
  readonly reasoningTokens: number
}

/** A finished answer: what is stored, and what a non-streaming reply is made of. */
export interface Completion {
  readonly modelId: ModelId
  /** Seconds since 1970 at which it was computed. */
  readonly created: number
  readonly choices: readonly Choice[]
  readonly usage: Usage
}

export interface Choice {
  readonly parts: readonly ChoicePart[]
  readonly finish: FinishReason
  readonly stopSequence?: string
  readonly logprobs?: readonly TokenLogprob[]
  /** As in `FinishEvent`. */
  readonly tokenIds?: readonly number[]
}

/** In the order in which the model produced them. */
export type ChoicePart =
  | { readonly type: TextKind; readonly text: string }
  | ({ readonly type: 'tool-call' } & ToolCall)
