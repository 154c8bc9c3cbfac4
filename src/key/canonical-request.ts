import canonicalize from 'canonicalize'
import { requestInvalid } from '../errors.ts'
import { isJsonObject, type Json, type JsonObject } from '../std/json.ts'
import type {
  CompletionRequest,
  ContentPart,
  Message,
  ReasoningSettings,
  ResponseFormat,
  Sampling,
  Tool,
} from './completion-request.ts'
import type { ModelId } from './model-id.ts'

/**
 * The one form of all requests that mean the same (spec/keys.md §2): what the response key is a
 * hash of. Which fields count is written here and nowhere else. `maxTokens` does not count: it is a
 * condition that an entry must meet (docs/decisions/0002).
 */
export interface CanonicalRequest {
  /** As JSON, for people (`cache explain`) and field digests. */
  readonly fields: JsonObject
  /** RFC 8785 bytes in UTF-8. */
  readonly bytes: Uint8Array
}

export interface CanonicalOptions {
  readonly modelId: ModelId
  /**
   * Whether the model's template treats `developer` messages differently; if not they hash as
   * `system`.
   */
  readonly developerRole: boolean
  /** Which draw of a sampled answer is asked for, from 0. */
  readonly sample: number
}

/** @throws request_invalid for lone surrogates, NaN and integers beyond 2^53, naming the field */
export function canonicalRequest(
  request: CompletionRequest,
  options: CanonicalOptions,
): CanonicalRequest {
  const fields = canonicalFields(request, options)
  for (const [name, value] of Object.entries(fields)) assertExact(value, name)
  return { fields, bytes: new TextEncoder().encode(encodeJson(fields)) }
}

function canonicalFields(request: CompletionRequest, options: CanonicalOptions): JsonObject {
  const isChat = request.kind === 'chat'
  return {
    v: 1,
    kind: request.kind,
    model: options.modelId,
    sample: options.sample,
    ...(isChat
      ? { messages: canonicalMessages(request.messages, options.developerRole) }
      : { prompt: request.prompt ?? '', suffix: request.suffix ?? null }),
    tools: request.tools.map(canonicalTool),
    tool_choice: canonicalToolChoice(request),
    parallel_tool_calls: request.tools.length === 0 || request.parallelToolCalls,
    response_format: canonicalResponseFormat(request.responseFormat),
    sampling: canonicalSampling(request.sampling),
    seed: request.seed ?? null,
    stop: [...request.stop],
    n: request.choiceCount,
    top_logprobs: request.topLogprobs ?? null,
    reasoning: canonicalReasoning(request.reasoning),
    template_args: request.templateArgs,
    ...(Object.keys(request.unknown.fields).length === 0
      ? {}
      : { unknown: { api: request.unknown.api, fields: request.unknown.fields } }),
  }
}

function canonicalMessages(messages: readonly Message[], developerRole: boolean): Json {
  const callOrdinals = new Map<string, string>()
  // Call ids only link a result to its call, and clients and servers draw them at random: numbered
  // by first appearance, a replayed conversation keeps its key.
  const ordinal = (id: string): string => {
    const known = callOrdinals.get(id) ?? String(callOrdinals.size)
    callOrdinals.set(id, known)
    return known
  }
  return messages.map(message => ({
    role: message.role === 'developer' && !developerRole ? 'system' : message.role,
    content: canonicalContent(message.content),
    ...(message.name === undefined ? {} : { name: message.name }),
    ...(message.toolCalls === undefined || message.toolCalls.length === 0
      ? {}
      : {
          tool_calls: message.toolCalls.map(call => ({
            id: ordinal(call.id),
            name: call.name,
            arguments: canonicalArguments(call.arguments),
          })),
        }),
    ...(message.toolCallId === undefined ? {} : { tool_call_id: ordinal(message.toolCallId) }),
    ...(message.reasoning === undefined ? {} : { reasoning: message.reasoning }),
  }))
}

/**
 * A call's arguments as RFC 8785 text where they are one JSON object: some APIs carry the model's
 * own text, others the parsed object, and both mean the same call.
 */
function canonicalArguments(text: string): string {
  try {
    const value: unknown = JSON.parse(text)
    if (!isJsonObject(value)) return text
    assertExact(value, 'arguments')
    return encodeJson(value)
  } catch {
    // No JSON, or not exact: then the text itself is what was called with.
    return text
  }
}

function canonicalContent(content: readonly ContentPart[]): Json {
  const [first] = content
  if (first === undefined) return ''
  if (content.length === 1 && first.type === 'text') return first.text
  return content.map(part => {
    if (part.type === 'text') return { type: 'text', text: part.text }
    if (part.type === 'other') return { type: 'other', value: part.value }
    return { type: 'image', url: part.url, detail: part.detail ?? 'auto' }
  })
}

function canonicalTool(tool: Tool): Json {
  if (tool.type === 'other') return { type: 'other', value: tool.value }
  return {
    type: 'function',
    name: tool.name,
    description: tool.description ?? '',
    parameters: tool.parameters ?? {},
    strict: tool.strict ?? false,
  }
}

function canonicalToolChoice(request: CompletionRequest): Json {
  if (request.tools.length === 0) return 'none'
  const choice = request.toolChoice
  return choice.type === 'function' ? { function: choice.name } : choice.type
}

function canonicalResponseFormat(format: ResponseFormat): Json {
  if (format.type !== 'json_schema') return { type: format.type }
  return {
    type: 'json_schema',
    name: format.name ?? '',
    schema: format.schema,
    strict: format.strict ?? false,
  }
}

/** OpenAI's documented defaults where there are some; null means "the engine's own default". */
function canonicalSampling(sampling: Sampling): Json {
  return {
    temperature: sampling.temperature ?? 1,
    top_p: sampling.topP ?? 1,
    top_k: sampling.topK ?? null,
    min_p: sampling.minP ?? null,
    frequency_penalty: sampling.frequencyPenalty ?? 0,
    presence_penalty: sampling.presencePenalty ?? 0,
    repetition_penalty: sampling.repetitionPenalty ?? null,
    logit_bias: sampling.logitBias ?? {},
  }
}

function canonicalReasoning(reasoning: ReasoningSettings): Json {
  return {
    enabled: reasoning.enabled ?? null,
    effort: reasoning.effort ?? null,
    budget_tokens: reasoning.budgetTokens ?? null,
    other: reasoning.other ?? {},
  }
}

/** JSON.parse rounds integers beyond 2^53, so two different seeds would silently share one key. */
function assertExact(value: Json, path: string): void {
  if (typeof value === 'number') {
    if (Number.isInteger(value) ? Number.isSafeInteger(value) : Number.isFinite(value)) return
    throw requestInvalid(path, `'${path}' is not a number that JSON carries exactly (beyond 2^53)`)
  }
  if (typeof value === 'string') {
    if (value.isWellFormed()) return
    throw requestInvalid(path, `'${path}' holds a lone surrogate, which is no Unicode text`)
  }
  if (typeof value !== 'object' || value === null) return
  if (Array.isArray(value)) {
    for (const [index, item] of value.entries()) assertExact(item, `${path}[${index}]`)
    return
  }
  for (const [name, item] of Object.entries(value)) {
    if (!name.isWellFormed()) {
      throw requestInvalid(path, `'${path}' has a property name with a lone surrogate`)
    }
    assertExact(item, `${path}.${name}`)
  }
}

/** RFC 8785 text of a JSON value that `assertExact` has passed. */
export function encodeJson(value: Json): string {
  const text = canonicalize(value)
  if (text === undefined) throw new TypeError('Only JSON values have a canonical form')
  return text
}
