import type { ErrorCode, Origin } from '../../../errors.ts'
import type {
  EmbeddingInput,
  Embeddings,
  EmbedOptions,
  EngineModel,
  GeneratedToken,
  GenerateOptions,
  PromptTokens,
  ScoreOptions,
  TokenGenerateOptions,
  TokenScore,
} from '../../../interface/engine.ts'
import type { GenerationEvent } from '../../../interface/generation.ts'
import type { LogFields } from '../../../interface/log.ts'
import type { CompletionRequest } from '../../../key/completion-request.ts'
import type { StateLayout } from '../../../key/state-layout.ts'
import { assert } from '../../../std/assert.ts'
import type { LlamaModelOptions } from '../llama-engine.ts'
import type { NativeStateOptions, Recomputation, StateFile } from '../state/native-state.ts'
import type { ResidentChange } from './state/resident-mirror.ts'

/**
 * What the node's process and the engine's say to each other: structured clones over the channel of
 * `child_process.fork`. Both ends are this program in one version, so nothing is checked again.
 */
export type ToChild =
  /** First, and once. Answered by `loaded` or `load failed`. */
  | { readonly type: 'load'; readonly models: readonly LlamaModelOptions[] }
  /** Answered by `done` or `failed`; before it any number of `items` for calls that stream. */
  | { readonly type: 'call'; readonly id: number; readonly model: number; readonly call: Call }
  /** The call ends soon, and is still answered. */
  | { readonly type: 'cancel'; readonly id: number }
  /** So many items were taken: as many more may be sent. */
  | { readonly type: 'more'; readonly id: number; readonly count: number }
  /** Answered by `pong` at once. */
  | { readonly type: 'ping' }
  | { readonly type: 'stop' }

export type FromChild =
  | { readonly type: 'loaded'; readonly models: readonly LoadedFacts[] }
  | { readonly type: 'load failed'; readonly error: ErrorMessage }
  | { readonly type: 'pong' }
  | { readonly type: 'items'; readonly id: number; readonly items: Items }
  | { readonly type: 'done'; readonly id: number; readonly result: Result }
  | { readonly type: 'failed'; readonly id: number; readonly error: ErrorMessage }
  | { readonly type: 'speed'; readonly model: number; readonly speed: EngineModel['speed'] }
  | { readonly type: 'resident'; readonly model: number; readonly change: ResidentChange }
  | {
      readonly type: 'log'
      readonly level: 'error' | 'warn' | 'info' | 'debug'
      readonly event: string
      readonly fields: LogFields
    }

/** What does not change about a model while it is loaded. */
export interface LoadedFacts
  extends Pick<
    EngineModel,
    'id' | 'name' | 'aliases' | 'contextTokens' | 'capabilities' | 'numericClass' | 'details'
  > {
  /** Undefined for models without token-level access. */
  readonly tokens:
    | {
        readonly vocabularySize: number
        readonly state: NativeStateFacts | { readonly unavailable: string }
      }
    | undefined
}

export interface NativeStateFacts {
  readonly layout: StateLayout
  /** Sequences of the context: every state file names as many. */
  readonly sequences: number
}

export type Call = StreamCall | ValueCall

export type StreamCall =
  | {
      readonly method: 'generate'
      readonly request: CompletionRequest
      readonly options: Pick<GenerateOptions, 'seed' | 'partition'> & NativeStateOptions
    }
  | {
      readonly method: 'generateTokens'
      readonly tokenIds: readonly number[]
      readonly options: Omit<TokenGenerateOptions, 'signal'>
    }

export type ValueCall =
  | { readonly method: 'countTokens'; readonly request: CompletionRequest }
  | {
      readonly method: 'embed'
      readonly inputs: readonly EmbeddingInput[]
      readonly options: Omit<EmbedOptions, 'signal'>
    }
  | {
      readonly method: 'tokenize'
      readonly text: string
      readonly options: { readonly special: boolean }
    }
  | { readonly method: 'detokenize'; readonly tokenIds: readonly number[] }
  | { readonly method: 'renderChat'; readonly request: CompletionRequest }
  | { readonly method: 'prompt'; readonly request: CompletionRequest }
  | {
      readonly method: 'score'
      readonly tokenIds: readonly number[]
      readonly options: Omit<ScoreOptions, 'signal'>
    }
  | { readonly method: 'saveState'; readonly file: StateFile; readonly partition: string }
  | { readonly method: 'recompute'; readonly what: Recomputation }

/** Items of a call that streams, in order. */
export type Items =
  | { readonly method: 'generate'; readonly items: readonly GenerationEvent[] }
  | { readonly method: 'generateTokens'; readonly items: readonly GeneratedToken[] }

export type Result =
  | { readonly method: 'generate' | 'generateTokens' | 'recompute' }
  | { readonly method: 'countTokens'; readonly value: number | undefined }
  | { readonly method: 'embed'; readonly value: Embeddings }
  | { readonly method: 'tokenize'; readonly value: readonly number[] }
  | { readonly method: 'detokenize'; readonly value: string }
  | { readonly method: 'renderChat'; readonly value: string }
  | { readonly method: 'prompt'; readonly value: PromptTokens }
  | { readonly method: 'score'; readonly value: readonly TokenScore[] }
  | { readonly method: 'saveState'; readonly value: boolean }

/** An error that crosses the border; see error-message.ts. */
export interface ErrorMessage {
  readonly code: ErrorCode
  readonly message: string
  readonly origin: Origin
  readonly retryable: boolean
  readonly field: string | undefined
  readonly retryAfterMs: number | undefined
  /** For the log: stacks of the error and of what caused it. */
  readonly stack: string
}

/** The result of a call by its method: the engine's process answers what it was asked. */
export function resultOf<Method extends Result['method']>(
  result: Result,
  method: Method,
): Extract<Result, { readonly method: Method }> {
  assert(isResultOf(result, method), 'A call is answered by a result of its own method')
  return result
}

function isResultOf<Method extends Result['method']>(
  result: Result,
  method: Method,
): result is Extract<Result, { readonly method: Method }> {
  return result.method === method
}
