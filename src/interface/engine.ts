import type { OperationError } from '../errors.ts'
import type { CompletionRequest } from '../key/completion-request.ts'
import type { ModelId } from '../key/model-id.ts'
import type { Startable } from '../std/lifecycle.ts'
import type { AbortOptions } from '../std/signal.ts'
import type { GenerationEvent } from './generation.ts'
import type { PrefixUse, StateAccess } from './kv-state.ts'

/**
 * What runs models. Three implementations: `llama` (embedded llama.cpp), `upstream` (any
 * OpenAI-compatible server) and `fake` (deterministic, for tests and the simulator).
 * `engine.compliance.ts` is the contract in code.
 *
 * An engine is started before use; `models()` may change while it runs (an upstream loads and drops
 * models). All failures are `OperationError`s of origin `engine` or `upstream`, or `client` where
 * the request cannot be run.
 */
export interface Engine extends Startable {
  readonly kind: 'llama' | 'upstream' | 'fake'
  /** What it serves now. Cheap: no I/O. */
  models(): readonly EngineModel[]
  /** Requests running and waiting now. */
  load(): EngineLoad
  /** Why its models could not be listed (an upstream that is down); absent while all is well. */
  readonly failure?: OperationError | undefined
}

export interface EngineLoad {
  readonly running: number
  readonly waiting: number
}

/** One model as an engine serves it. */
export interface EngineModel {
  readonly id: ModelId
  /** The name clients use, and other names that mean the same. */
  readonly name: string
  readonly aliases: readonly string[]
  /** Most tokens of prompt and completion together; undefined where an upstream does not tell. */
  readonly contextTokens: number | undefined
  /** Whether `chat`, `text` and `embed` can be asked of it. */
  readonly capabilities: ModelCapabilities
  /**
   * Model id + engine build + backend and hardware kind + flash attention + KV types, as one line.
   * Equality is the precondition of sharing KV state and of tight audits. `upstream` where the
   * engine cannot know.
   */
  readonly numericClass: string
  /** Measured, exponentially weighted; undefined until measured. */
  readonly speed: {
    readonly prefillTokensPerSecond?: number
    readonly decodeTokensPerSecond?: number
  }
  /** For people: where it comes from (`embedded`, an upstream's URL), size, quantisation. */
  readonly details: {
    readonly origin: string
    readonly bytes?: number
    readonly quantization?: string
    readonly parameters?: string
  }

  /**
   * Answers a request. The first event may take as long as the prompt needs.
   *
   * @throws context_length_exceeded with both numbers, when the prompt does not fit
   * @throws engine_busy with `retryAfterMs`, when the queue is full
   * @throws unsupported naming the field, for content or formats this model cannot take
   */
  generate(request: CompletionRequest, options: GenerateOptions): AsyncIterable<GenerationEvent>
  /**
   * Tokens of the prompt that `generate` would prefill. Undefined result where the engine cannot
   * tell.
   */
  countTokens(request: CompletionRequest, options: AbortOptions): Promise<number | undefined>
  /**
   * One vector per input, and the tokens they cost. @throws unsupported, where the model gives no
   * embeddings
   */
  embed(inputs: readonly EmbeddingInput[], options: EmbedOptions): Promise<Embeddings>
  /** Token-level access, where the engine has it (embedded and fake engines). */
  readonly tokens: TokenModel | undefined
  /**
   * What prefix caching needs of it, where an engine has that and no more: a llama-server whose
   * slots can be saved. Others have it in `tokens`.
   */
  readonly slots?: PromptAccess | undefined
}

export interface ModelCapabilities {
  readonly chat: boolean
  readonly text: boolean
  readonly embeddings: boolean
  /** Whether the template treats `developer` messages differently from `system` ones. */
  readonly developerRole: boolean
}

export interface GenerateOptions extends AbortOptions {
  /**
   * 64-bit seed for the sampler where the client gave none: derived from the response key, so that
   * an audit can replay the draw. Choice i of a request uses seed + i.
   */
  readonly seed: bigint
  /**
   * Resident state is reused among requests of one partition only, so that one tenant's speed does
   * not tell of another's prompts. @default '' (the engine's own)
   */
  readonly partition?: string
  /** KV state to begin from, and what of it is wanted afterwards. */
  readonly prefix?: PrefixUse
}

export type EmbeddingInput = string | readonly number[]
export interface EmbedOptions extends AbortOptions {
  readonly dimensions?: number
}
export interface Embeddings {
  readonly vectors: readonly Float32Array[]
  readonly promptTokens: number
}

/**
 * Token-level access to a model: what prefix caching, audits and KV transfer are built on.
 * Positions are 0-based from the start of the prompt; `tokenIds` are u32.
 */
export interface TokenModel {
  readonly vocabularySize: number
  /** Text to token ids; special tokens in the text are recognised only if `special`. */
  tokenize(text: string, options: { readonly special: boolean }): Promise<readonly number[]>
  /** Token ids to text; bytes that are no UTF-8 become U+FFFD. */
  detokenize(tokenIds: readonly number[]): Promise<string>
  /**
   * Renders messages and tools through the model's chat template, up to where the answer begins.
   */
  renderChat(request: CompletionRequest): Promise<string>
  /** The tokens that `generate` would prefill for this request. @throws request_invalid */
  prompt(request: CompletionRequest, options: AbortOptions): Promise<PromptTokens>
  /**
   * Continues `tokenIds`: the token-level twin of `generate`.
   */
  generateTokens(
    tokenIds: readonly number[],
    options: TokenGenerateOptions,
  ): AsyncIterable<GeneratedToken>
  /**
   * Teacher-forced scoring: one prefill pass over `tokenIds`; entry i is what the model thought of
   * tokenIds[from + i] given all before it. 0 < from <= tokenIds.length.
   */
  score(tokenIds: readonly number[], options: ScoreOptions): Promise<readonly TokenScore[]>
  /** KV state transfer, where the model's memory can be cut at a token; otherwise why not. */
  readonly state: StateAccess | { readonly unavailable: string }
}

export type PromptAccess = Pick<TokenModel, 'prompt' | 'state'>

/** A request as the model sees it. */
export interface PromptTokens {
  readonly tokenIds: readonly number[]
  /**
   * Leading tokens that tools and system text alone decide, where the template puts them first:
   * what all conversations of one application share. 0 where there are none.
   */
  readonly headTokens: number
  /** For each of the request's `cache.marks`, how many leading tokens end with the marked part. */
  readonly markTokens: readonly number[]
}

export interface TokenGenerateOptions extends AbortOptions {
  /** As `GenerateOptions.partition`. @default '' (the engine's own) */
  readonly partition?: string
  readonly sampling: CompletionRequest['sampling']
  readonly seed: bigint
  readonly maxTokens: number
  readonly stopTokens?: readonly number[]
  /** Alternatives to report per token; undefined: no log-probabilities. */
  readonly topLogprobs?: number
}

export interface GeneratedToken {
  readonly tokenId: number
  readonly logprob?: number
  readonly top?: readonly { readonly tokenId: number; readonly logprob: number }[]
}

export interface ScoreOptions extends AbortOptions {
  /**
   * As `GenerateOptions.partition`: in that of the generation whose answer is scored, the prompt is
   * still there, and only the answer is computed. @default '' (the engine's own)
   */
  readonly partition?: string
  readonly from: number
  readonly topLogprobs: number
}

export interface TokenScore {
  readonly tokenId: number
  /** Natural log-probability of `tokenId` at temperature 1. */
  readonly logprob: number
  /** What greedy decoding would have chosen, and its log-probability. */
  readonly best: { readonly tokenId: number; readonly logprob: number }
  readonly top: readonly { readonly tokenId: number; readonly logprob: number }[]
}
