import { OperationError } from '../../../errors.ts'
import type {
  CompletionRequest,
  ContentPart,
  Message,
  ResponseFormat,
  Sampling,
  Tool,
} from '../../../key/completion-request.ts'
import type { Json, JsonObject } from '../../../std/json.ts'
import type { Dialect } from './dialect.ts'

export interface EncodeOptions {
  /** The model's name at the upstream. */
  readonly model: string
  readonly dialect: Dialect
  /** Whether usage is asked for; some servers refuse the field. */
  readonly withStreamOptions: boolean
  readonly slot?: SlotChoice | undefined
}

/**
 * The slot of a llama-server that is to answer, beginning from what it holds; or any, beginning
 * from nothing.
 */
export type SlotChoice = number | 'any'

/** Below the API's base. */
export interface EncodedRequest {
  readonly path: '/chat/completions' | '/completions'
  readonly body: JsonObject
}

/**
 * The upstream's form of a request. It always streams: that is how aborts, idle time-outs and live
 * followers work. Unknown fields of an OpenAI client go along untouched; those of other APIs mean
 * nothing there.
 *
 * @throws unsupported naming the field, for content that has no form in this API
 */
export function encodeRequest(request: CompletionRequest, options: EncodeOptions): EncodedRequest {
  const common = commonFields(request, options)
  if (request.kind === 'text') {
    const body = { ...common, prompt: request.prompt ?? '', ...textFields(request) }
    return { path: '/completions', body: dropUndefined(body) }
  }
  const body = {
    ...common,
    messages: encodeMessages(request, options.dialect),
    ...toolFields(request),
    ...reasoningFields(request, options.dialect),
    response_format: encodeResponseFormat(request.responseFormat),
    logprobs: request.topLogprobs === undefined ? undefined : true,
    top_logprobs: request.topLogprobs,
    [options.dialect.maxTokensField]: request.maxTokens,
  }
  return { path: '/chat/completions', body: dropUndefined(body) }
}

/**
 * The messages as this API writes them: also what llama-server's and vLLM's token counters take.
 */
export function encodeMessages(
  request: CompletionRequest,
  dialect: Dialect,
): readonly JsonObject[] {
  const isOpenAi = request.unknown.api === 'openai'
  return request.messages.map((message, index) =>
    encodeMessage(message, { field: `messages[${index}].content`, isOpenAi, dialect }),
  )
}

export function encodeTools(request: CompletionRequest): readonly JsonObject[] {
  return request.tools.flatMap(tool => {
    if (tool.type === 'function') return [encodeFunction(tool)]
    // A vendor's own tools exist at this vendor's API only; the client has been told so by the
    // server.
    return request.unknown.api === 'openai' ? [tool.value] : []
  })
}

type Fields = { readonly [name: string]: Json | undefined }

function commonFields(request: CompletionRequest, options: EncodeOptions): Fields {
  return {
    ...(request.unknown.api === 'openai' ? request.unknown.fields : {}),
    model: options.model,
    stream: true,
    stream_options: options.withStreamOptions ? { include_usage: true } : undefined,
    ...samplingFields(request.sampling),
    seed: request.seed,
    ...slotFields(options.slot),
    stop: request.stop.length === 0 ? undefined : request.stop,
    n: request.choiceCount === 1 ? undefined : request.choiceCount,
  }
}

/** What the client itself says of slots holds only where nobody here decides. */
function slotFields(slot: SlotChoice | undefined): Fields {
  if (slot === undefined) return {}
  const isAny = slot === 'any'
  return { id_slot: isAny ? undefined : slot, cache_prompt: !isAny, n_cache_reuse: undefined }
}

function textFields(request: CompletionRequest): Fields {
  return {
    suffix: request.suffix,
    max_tokens: request.maxTokens,
    logprobs: request.topLogprobs,
  }
}

function samplingFields(sampling: Sampling): Fields {
  return {
    temperature: sampling.temperature,
    top_p: sampling.topP,
    top_k: sampling.topK,
    min_p: sampling.minP,
    frequency_penalty: sampling.frequencyPenalty,
    presence_penalty: sampling.presencePenalty,
    repetition_penalty: sampling.repetitionPenalty,
    logit_bias: sampling.logitBias,
  }
}

function toolFields(request: CompletionRequest): Fields {
  const tools = encodeTools(request)
  if (tools.length === 0) return {}
  const choice = request.toolChoice
  const named = {
    type: 'function',
    function: { name: choice.type === 'function' ? choice.name : '' },
  }
  return {
    tools,
    tool_choice:
      choice.type === 'auto' ? undefined : choice.type === 'function' ? named : choice.type,
    parallel_tool_calls: request.parallelToolCalls ? undefined : false,
  }
}

function reasoningFields(request: CompletionRequest, dialect: Dialect): Fields {
  const { enabled, effort } = request.reasoning
  const isTemplate = dialect.reasoningSwitch === 'template' && enabled !== undefined
  // What the client says to the template itself wins over what follows from its reasoning settings.
  const templateArgs = {
    ...(isTemplate ? { enable_thinking: enabled } : {}),
    ...request.templateArgs,
  }
  const isOff = dialect.reasoningSwitch === 'effort' && enabled === false
  return {
    reasoning_effort: effort ?? (isOff ? 'none' : undefined),
    chat_template_kwargs: Object.keys(templateArgs).length === 0 ? undefined : templateArgs,
  }
}

function encodeResponseFormat(format: ResponseFormat): JsonObject | undefined {
  if (format.type === 'text') return undefined
  if (format.type === 'json_object') return { type: 'json_object' }
  const { name, schema, strict } = format
  const json_schema = dropUndefined({ name: name ?? 'response', schema, strict })
  return { type: 'json_schema', json_schema }
}

function encodeFunction(tool: Extract<Tool, { type: 'function' }>): JsonObject {
  const { name, description, parameters, strict } = tool
  const definition = dropUndefined({ name, description, parameters, strict })
  return { type: 'function', function: definition }
}

interface MessageContext {
  readonly field: string
  readonly isOpenAi: boolean
  readonly dialect: Dialect
}

function encodeMessage(message: Message, context: MessageContext): JsonObject {
  const calls = message.toolCalls ?? []
  const hasCallsOnly = calls.length > 0 && message.content.length === 0
  const { reasoningField } = context.dialect
  return dropUndefined({
    // The canonical form takes both roles for one where `developerRole` is false, so they are sent
    // as one.
    role: message.role === 'developer' ? 'system' : message.role,
    content: hasCallsOnly ? null : encodeContent(message.content, context),
    name: message.name,
    tool_calls: calls.length === 0 ? undefined : calls.map(encodeCall),
    tool_call_id: message.toolCallId,
    ...(reasoningField === undefined ? {} : { [reasoningField]: message.reasoning }),
  })
}

function encodeCall(call: NonNullable<Message['toolCalls']>[number]): JsonObject {
  return {
    id: call.id,
    type: 'function',
    function: { name: call.name, arguments: call.arguments },
  }
}

function encodeContent(content: readonly ContentPart[], context: MessageContext): Json {
  const [first] = content
  if (first === undefined) return ''
  if (content.length === 1 && first.type === 'text') return first.text
  return content.map((part, index) => {
    if (part.type === 'text') return { type: 'text', text: part.text }
    if (part.type === 'image') {
      return { type: 'image_url', image_url: dropUndefined({ url: part.url, detail: part.detail }) }
    }
    if (context.isOpenAi) return part.value
    const field = `${context.field}[${index}]`
    const message = `'${field}' has no form in the OpenAI API that this model's upstream speaks`
    throw new OperationError('unsupported', message, { origin: 'client', field })
  })
}

function dropUndefined(fields: Fields): JsonObject {
  const present: { [name: string]: Json } = {}
  for (const [name, value] of Object.entries(fields)) if (value !== undefined) present[name] = value
  return present
}
