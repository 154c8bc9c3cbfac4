import type { Json, JsonObject } from '../std/json.ts'

/**
 * What a client asks for, whatever API it came through. The server's parsers make it; the canonical
 * form, the engines and the cache read it. Absent optional fields mean "the client did not say".
 */
export interface CompletionRequest {
  /** `chat` is rendered through the model's template; `text` is continued as it stands. */
  readonly kind: 'chat' | 'text'
  /** The name the client used. */
  readonly model: string
  /** For `chat`; empty for `text`. */
  readonly messages: readonly Message[]
  /** For `text`: a string or token ids. */
  readonly prompt?: string | readonly number[]
  readonly suffix?: string
  readonly tools: readonly Tool[]
  readonly toolChoice: ToolChoice
  readonly parallelToolCalls: boolean
  readonly responseFormat: ResponseFormat
  readonly sampling: Sampling
  readonly seed?: number
  readonly stop: readonly string[]
  /** Most tokens to generate. Absent: until the model ends or its context is full. */
  readonly maxTokens?: number
  /**
   * Log-probabilities of the chosen token and of so many alternatives (0: of the chosen one only).
   */
  readonly topLogprobs?: number
  /** Answers to generate (`n`). */
  readonly choiceCount: number
  readonly reasoning: ReasoningSettings
  /** Arguments for the chat template (`chat_template_kwargs`). */
  readonly templateArgs: JsonObject
  /**
   * Fields that we do not know, by API. They are part of the key; `chat` and `text` ones reach the
   * upstream.
   */
  readonly unknown: UnknownFields
  /** What the client says about caching its prompt. No part of the key: it changes no text. */
  readonly cache?: CacheHints
}

/** `cache_control`, `prompt_cache_key`, `prompt_cache_breakpoint` and their like, made neutral. */
export interface CacheHints {
  /** Where reusable prefixes end, in the order of the prompt. */
  readonly marks: readonly CacheMark[]
  /** Whether the client wants its prompt cached at once, wherever it ends. */
  readonly isMarked: boolean
  /** The client asked to be told why its prompt was not found in the cache. */
  readonly wantsDiagnostics?: boolean
  /** How long it should stay cached at least, where the client said. */
  readonly keepSeconds?: number
}

/** The end of all tools, or of a part of a message (0-based); absent part: the whole message. */
export type CacheMark =
  | { readonly after: 'tools' }
  | { readonly after: 'message'; readonly message: number; readonly part?: number }

export interface UnknownFields {
  readonly api: 'openai' | 'responses' | 'anthropic' | 'ollama'
  readonly fields: JsonObject
}

export type Role = 'system' | 'developer' | 'user' | 'assistant' | 'tool'

export interface Message {
  readonly role: Role
  readonly content: readonly ContentPart[]
  readonly name?: string
  /** For `assistant`: calls it made. */
  readonly toolCalls?: readonly ToolCall[]
  /** For `tool`: which call this answers. */
  readonly toolCallId?: string
  /** For `assistant`: the reasoning text that came before the answer. */
  readonly reasoning?: string
}

export type ContentPart =
  | { readonly type: 'text'; readonly text: string }
  /** `url` may be a data: URL. */
  | { readonly type: 'image'; readonly url: string; readonly detail?: string }
  /**
   * Audio, files, documents …: kept as the client sent it, passed to upstreams, refused by the
   * embedded engine.
   */
  | { readonly type: 'other'; readonly value: JsonObject }

export interface ToolCall {
  readonly id: string
  readonly name: string
  /** JSON text exactly as the model wrote it. */
  readonly arguments: string
}

export type Tool =
  | {
      readonly type: 'function'
      readonly name: string
      readonly description?: string
      /** JSON schema of the arguments. */
      readonly parameters?: JsonObject
      readonly strict?: boolean
    }
  /**
   * Tools a vendor runs itself (web search …): kept in the key and passed on, never rendered here.
   */
  | { readonly type: 'other'; readonly value: JsonObject }

export type ToolChoice =
  | { readonly type: 'auto' }
  | { readonly type: 'none' }
  | { readonly type: 'required' }
  | { readonly type: 'function'; readonly name: string }

export type ResponseFormat =
  | { readonly type: 'text' }
  | { readonly type: 'json_object' }
  | {
      readonly type: 'json_schema'
      readonly name?: string
      readonly schema: JsonObject
      readonly strict?: boolean
    }

export interface Sampling {
  readonly temperature?: number
  readonly topP?: number
  readonly topK?: number
  readonly minP?: number
  readonly frequencyPenalty?: number
  readonly presencePenalty?: number
  readonly repetitionPenalty?: number
  /** Added to the logit of a token id (keys are decimal). */
  readonly logitBias?: { readonly [tokenId: string]: number }
}

export interface ReasoningSettings {
  readonly enabled?: boolean
  /** `none | minimal | low | medium | high | …`: the model's own words. */
  readonly effort?: string
  readonly budgetTokens?: number
  /** Other reasoning settings of the API (`summary` …). */
  readonly other?: { readonly [name: string]: Json }
}

/** The text of a message: its text parts joined by a line break, as llama-server joins them. */
export function textOf(content: readonly ContentPart[]): string {
  return content
    .filter(part => part.type === 'text')
    .map(part => part.text)
    .join('\n')
}

/** A request with every optional field at "the client did not say". Parsers spread it. */
export const emptyRequest: Omit<CompletionRequest, 'model' | 'kind' | 'unknown'> = {
  messages: [],
  tools: [],
  toolChoice: { type: 'auto' },
  parallelToolCalls: true,
  responseFormat: { type: 'text' },
  sampling: {},
  stop: [],
  choiceCount: 1,
  reasoning: {},
  templateArgs: {},
}
