import { z } from 'zod'
import {
  type CompletionRequest,
  emptyRequest,
  type Message,
  type ReasoningSettings,
  type ResponseFormat,
} from '../../key/completion-request.ts'
import { stopStringsMax } from '../../limits.ts'
import type { JsonObject } from '../../std/json.ts'
import { stopOf, unknownOf } from '../openai/parse/fields.ts'
import { Warnings } from '../openai/parse/warnings.ts'
import {
  anyJson,
  defined,
  fieldNames,
  integerIn,
  jsonObject,
  maybe,
  numberIn,
  oneOf,
  parseAt,
  parseBody,
  refuse,
  splitUnknown,
} from '../validate.ts'
import type { ParsedRequest } from '../wire-format.ts'
import { Breakpoints } from './cache-control.ts'
import { thinkingOmitted } from './encode-reply.ts'
import {
  type BlockContent,
  blockContent,
  parseAssistantTurn,
  parseSystem,
  parseUserTurn,
} from './parse-content.ts'
import { parseToolChoice, parseTools } from './parse-tools.ts'

const anyInteger = Number.MAX_SAFE_INTEGER

const bodySchema = z.looseObject({
  model: z.string().min(1),
  messages: z
    .array(z.looseObject({ role: oneOf(['user', 'assistant', 'system']), content: blockContent }))
    .min(1),
  system: maybe(blockContent),
  max_tokens: maybe(integerIn(1, anyInteger)),
  tools: maybe(z.array(jsonObject)),
  tool_choice: maybe(jsonObject),
  stop_sequences: maybe(z.array(z.string()).max(stopStringsMax)),
  stream: maybe(z.boolean()),
  temperature: maybe(numberIn(0, 2)),
  top_p: maybe(numberIn(0, 1)),
  top_k: maybe(integerIn(0, anyInteger)),
  thinking: maybe(jsonObject),
  output_config: maybe(jsonObject),
  // Who asks, how it is billed and routed, and what is said about it: nothing of that reaches the
  // model. `cache_control` and `diagnostics` are read by `Breakpoints`.
  metadata: anyJson,
  service_tier: anyJson,
  speed: anyJson,
  inference_geo: anyJson,
  user_profile_id: anyJson,
  workspace_id: anyJson,
  cache_control: anyJson,
  diagnostics: anyJson,
})
const bodyFields = fieldNames(bodySchema)
type Body = z.infer<typeof bodySchema>

/** @throws request_invalid naming the field, what is allowed and the type of what was sent */
export function parseMessages(body: JsonObject): ParsedRequest {
  const fields = parseBody(bodySchema, body)
  if (typeof fields.max_tokens !== 'number') {
    refuse('max_tokens', 'an integer of 1 or more', undefined)
  }
  return parseFields(fields, body)
}

/** As `parseMessages`, for `/v1/messages/count_tokens`, which has no `max_tokens`. */
export function parseCountTokens(body: JsonObject): CompletionRequest {
  return parseFields(parseBody(bodySchema, body), body).request
}

function parseFields(fields: Body, body: JsonObject): ParsedRequest {
  const warnings = new Warnings()
  const breakpoints = new Breakpoints()
  const tools = parseTools(fields.tools ?? [], warnings, breakpoints)
  const messages = [
    ...parseSystem(fields.system ?? [], 'system', breakpoints),
    ...fields.messages.flatMap(({ role, content }, index) =>
      parseTurn[role](content, `messages[${index}].content`, breakpoints),
    ),
  ]
  const thinking = parseThinking(fields.thinking ?? {})
  const output = parseOutputConfig(fields.output_config ?? {})
  const request: CompletionRequest = {
    ...emptyRequest,
    kind: 'chat',
    model: fields.model,
    messages,
    tools,
    ...(fields.tool_choice ? parseToolChoice(fields.tool_choice, tools) : {}),
    responseFormat: output.format,
    sampling: defined({
      temperature: fields.temperature,
      topP: fields.top_p,
      topK: fields.top_k,
    }),
    stop: stopOf(fields.stop_sequences),
    ...defined({ maxTokens: fields.max_tokens }),
    reasoning: { ...thinking.reasoning, ...defined({ effort: output.effort }) },
    ...breakpoints.hints(body, messages),
    unknown: unknownOf('anthropic', {
      ...splitUnknown(body, bodyFields),
      ...nonEmpty('thinking', thinking.unknown),
      ...nonEmpty('output_config', output.unknown),
    }),
  }
  return {
    request,
    stream: fields.stream === true,
    variant: thinking.isOmitted ? thinkingOmitted : '',
    warnings: warnings.list(),
  }
}

type ParseTurn = (
  content: BlockContent,
  path: string,
  breakpoints: Breakpoints,
) => readonly Message[]

const parseTurn: { readonly [role in 'user' | 'assistant' | 'system']: ParseTurn } = {
  system: parseSystem,
  user: parseUserTurn,
  assistant: (content, path, breakpoints) => [parseAssistantTurn(content, path, breakpoints)],
}

const thinkingSchema = z.looseObject({
  type: maybe(oneOf(['enabled', 'disabled', 'adaptive', 'between_tools'])),
  budget_tokens: maybe(integerIn(0, anyInteger)),
  display: maybe(z.string()),
})
const thinkingFields = fieldNames(thinkingSchema)

function parseThinking(value: JsonObject): {
  readonly reasoning: ReasoningSettings
  readonly isOmitted: boolean
  readonly unknown: JsonObject
} {
  const { type, budget_tokens, display } = parseAt(thinkingSchema, value, 'thinking')
  return {
    reasoning: {
      // `adaptive` leaves it to the model, which is what a model does that nobody told anything.
      ...(type === 'enabled' ? { enabled: true } : {}),
      ...(type === 'disabled' ? { enabled: false } : {}),
      ...(type === 'between_tools' ? { other: { thinking: type } } : {}),
      ...defined({ budgetTokens: budget_tokens }),
    },
    isOmitted: display === 'omitted',
    unknown: splitUnknown(value, thinkingFields),
  }
}

const outputSchema = z.looseObject({
  effort: maybe(z.string()),
  format: maybe(z.looseObject({ type: oneOf(['json_schema']), schema: jsonObject })),
})
const outputFields = fieldNames(outputSchema)

function parseOutputConfig(value: JsonObject): {
  readonly effort: string | null | undefined
  readonly format: ResponseFormat
  readonly unknown: JsonObject
} {
  const { effort, format } = parseAt(outputSchema, value, 'output_config')
  return {
    effort,
    format: format ? { type: 'json_schema', schema: format.schema } : { type: 'text' },
    unknown: splitUnknown(value, outputFields),
  }
}

function nonEmpty(name: string, fields: JsonObject): JsonObject {
  return Object.keys(fields).length === 0 ? {} : { [name]: fields }
}
