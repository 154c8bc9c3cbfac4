import type { Completion, FinishReason } from '../../../interface/generation.ts'
import { type CompletionRequest, type Tool, textOf } from '../../../key/completion-request.ts'
import type { Json, JsonObject } from '../../../std/json.ts'
import { responseDiagnostics } from '../../prompt-cache/diagnostics.ts'
import type { ReplyContext } from '../../wire-format.ts'
import { type ResponsesVariant, readResponsesVariant } from '../variant.ts'
import { incompleteReason, outputItems } from './response-items.ts'
import { responseUsage } from './usage.ts'

/** A finished `response` object. The API has one choice. */
export function encodeReply(completion: Completion, context: ReplyContext): string {
  const [choice] = completion.choices
  return new ResponseShell(context).encode({
    ...finishFields(choice?.finish ?? 'stop', context.created),
    output: choice === undefined ? [] : outputItems(choice, context.id),
    usage: responseUsage(completion.usage, context.isHit),
    ...responseDiagnostics(context, completion.usage.cachedTokens),
  })
}

/** The fields of a `response` that change while it is made. */
export interface ResponseState {
  readonly status: 'in_progress' | 'completed' | 'incomplete' | 'failed'
  readonly completed_at: number | null
  readonly incomplete_details: JsonObject | null
  readonly error: JsonObject | null
  readonly output: readonly JsonObject[]
  readonly usage: JsonObject | null
  readonly prompt_cache_diagnostics?: JsonObject
}

export const startedState: ResponseState = {
  status: 'in_progress',
  completed_at: null,
  incomplete_details: null,
  error: null,
  output: [],
  usage: null,
}

/** How an answer ended: complete, or cut short and why. */
export function finishFields(
  finish: FinishReason,
  created: number,
): Omit<ResponseState, 'output' | 'usage'> {
  const reason = incompleteReason(finish)
  return reason === undefined
    ? { status: 'completed', completed_at: created, incomplete_details: null, error: null }
    : { status: 'incomplete', completed_at: null, incomplete_details: { reason }, error: null }
}

/**
 * The `response` object around what changes. What repeats the request is made into JSON once: an
 * agent's tools are tens of KB, and a stream tells them three times.
 */
export class ResponseShell {
  readonly #open: string

  constructor(context: ReplyContext) {
    const { request, variant } = context.parsed
    const fields: JsonObject = {
      id: `resp_${context.id}`,
      object: 'response',
      created_at: context.created,
      model: request.model,
      ...requestEcho(request, readResponsesVariant(variant)),
    }
    this.#open = JSON.stringify(fields).slice(0, -1)
  }

  encode(state: ResponseState): string {
    return `${this.#open},${JSON.stringify(state).slice(1)}`
  }
}

/**
 * The settings that were used. Equal keys must give equal bytes, so absent ones are told as their
 * defaults.
 */
function requestEcho(request: CompletionRequest, variant: ResponsesVariant): JsonObject {
  const hasTools = request.tools.length > 0
  const [first] = request.messages
  return {
    background: false,
    instructions: variant.hasInstructions && first ? textOf(first.content) : null,
    max_output_tokens: variant.maxTokens,
    max_tool_calls: null,
    metadata: variant.metadata,
    parallel_tool_calls: !hasTools || request.parallelToolCalls,
    previous_response_id: null,
    prompt_cache_key: null,
    reasoning: {
      effort: request.reasoning.effort ?? null,
      summary: request.reasoning.other?.['summary'] ?? null,
    },
    safety_identifier: null,
    service_tier: 'default',
    store: false,
    temperature: request.sampling.temperature ?? 1,
    text: { format: formatEcho(request), verbosity: 'medium' },
    tool_choice: hasTools ? choiceEcho(request) : 'auto',
    tools: request.tools.map(toolEcho),
    top_logprobs: request.topLogprobs ?? 0,
    top_p: request.sampling.topP ?? 1,
    truncation: 'disabled',
    user: null,
  }
}

function formatEcho({ responseFormat: format }: CompletionRequest): Json {
  if (format.type !== 'json_schema') return { type: format.type }
  const { name, schema, strict } = format
  return { type: 'json_schema', name: name ?? '', schema, strict: strict ?? false }
}

function choiceEcho({ toolChoice: choice }: CompletionRequest): Json {
  return choice.type === 'function' ? { type: 'function', name: choice.name } : choice.type
}

function toolEcho(tool: Tool): JsonObject {
  if (tool.type === 'other') return tool.value
  return {
    type: 'function',
    name: tool.name,
    description: tool.description ?? '',
    parameters: tool.parameters ?? {},
    strict: tool.strict ?? false,
  }
}
