import { z } from 'zod'
import { requestInvalid } from '../../errors.ts'
import { type CompletionRequest, emptyRequest, type Tool } from '../../key/completion-request.ts'
import { choicesMax, topLogprobsMax } from '../../limits.ts'
import type { JsonObject } from '../../std/json.ts'
import {
  defined,
  fieldNames,
  integerIn,
  jsonObject,
  maybe,
  oneOf,
  parseBody,
  splitUnknown,
} from '../validate.ts'
import type { ParsedRequest, WireFormat } from '../wire-format.ts'
import { encodeReply, openStream } from './encode/chat.ts'
import { Breakpoints } from './parse/cache-hints.ts'
import { parseMessages } from './parse/chat-messages.ts'
import {
  ignoredFields,
  maxTokensOf,
  samplingFields,
  samplingOf,
  stopOf,
  streamFields,
  tokenLimit,
  unknownOf,
} from './parse/fields.ts'
import { parseResponseFormat } from './parse/response-format.ts'
import { functionTool, parseToolChoice, parseTools, type ToolSettings } from './parse/tools.ts'
import { Warnings } from './parse/warnings.ts'
import { chatVariant } from './variant.ts'

/** OpenAI's `/v1/chat/completions`. */
export const chatCompletions: WireFormat = {
  api: 'chat_completions',
  parse,
  encodeReply,
  openStream,
}

const neutralFields = z.looseObject({
  ...ignoredFields,
  ...streamFields,
  ...samplingFields,
  model: z.string().min(1),
  messages: z.array(jsonObject).min(1),
  n: maybe(integerIn(1, choicesMax)),
  max_tokens: tokenLimit,
  max_completion_tokens: tokenLimit,
  logprobs: maybe(z.boolean()),
  top_logprobs: maybe(integerIn(0, topLogprobsMax)),
  tools: maybe(z.array(jsonObject)),
  tool_choice: maybe(z.union([z.string(), jsonObject])),
  parallel_tool_calls: maybe(z.boolean()),
  functions: maybe(z.array(jsonObject)),
  function_call: maybe(z.union([oneOf(['auto', 'none']), z.looseObject({ name: z.string() })])),
  response_format: maybe(jsonObject),
  reasoning_effort: maybe(z.string()),
  chat_template_kwargs: maybe(jsonObject),
})
const neutralNames = fieldNames(neutralFields)

/** Checked here, then kept among the unknown fields: only upstreams can act on them. */
const bodySchema = neutralFields.extend({
  verbosity: maybe(oneOf(['low', 'medium', 'high'])),
  modalities: maybe(z.array(z.string())),
  audio: maybe(jsonObject),
  prediction: maybe(jsonObject),
  moderation: maybe(jsonObject),
  web_search_options: maybe(jsonObject),
})
type Body = z.infer<typeof bodySchema>

/** @throws request_invalid naming the field, and unsupported for what only OpenAI's servers do */
function parse(body: JsonObject): ParsedRequest {
  const fields = parseBody(bodySchema, body)
  const warnings = new Warnings()
  const breakpoints = new Breakpoints()
  const isLegacy = (fields.functions ?? []).length > 0
  const messages = parseMessages(fields.messages, warnings, breakpoints)
  const tools = isLegacy ? legacyTools(fields) : modernTools(fields, warnings, breakpoints)
  const request: CompletionRequest = {
    ...emptyRequest,
    kind: 'chat',
    model: fields.model,
    messages,
    ...tools,
    parallelToolCalls: fields.parallel_tool_calls ?? true,
    responseFormat: parseResponseFormat(fields.response_format, 'response_format', 'nested'),
    sampling: samplingOf(fields),
    stop: stopOf(fields.stop),
    ...defined({ seed: fields.seed }),
    ...maxTokensOf(fields.max_completion_tokens, fields.max_tokens),
    ...topLogprobsOf(fields),
    choiceCount: fields.n ?? 1,
    reasoning: defined({ effort: fields.reasoning_effort }),
    templateArgs: fields.chat_template_kwargs ?? {},
    ...breakpoints.hints(body, messages),
    unknown: unknownOf('openai', unknownFields(body)),
  }
  if (fields.web_search_options) warnings.hostedTool('web_search')
  const stream = fields.stream === true
  return {
    request,
    stream,
    variant: chatVariant({
      isUsageIncluded: stream && fields.stream_options?.include_usage === true,
      isLegacy,
    }),
    warnings: warnings.list(),
  }
}

function modernTools(fields: Body, warnings: Warnings, breakpoints: Breakpoints): ToolSettings {
  const tools = parseTools(fields.tools ?? [], 'nested', warnings, breakpoints)
  return parseToolChoice(fields.tool_choice, tools, 'nested')
}

/** `functions` and `function_call`, as they were before tools: one call per answer. */
function legacyTools(fields: Body): ToolSettings {
  if (fields.tools) {
    throw requestInvalid('functions', "'functions' must be left out where 'tools' is sent")
  }
  const tools: readonly Tool[] = (fields.functions ?? []).map((value, index) =>
    functionTool(value, `functions[${index}]`),
  )
  const choice = fields.function_call
  const modern =
    typeof choice === 'object' && choice !== null
      ? { type: 'function', function: { name: choice.name } }
      : choice
  return parseToolChoice(modern, tools, 'nested')
}

function topLogprobsOf(fields: Body): { topLogprobs?: number } {
  const top = fields.top_logprobs ?? undefined
  if (fields.logprobs === true) return { topLogprobs: top ?? 0 }
  if (top === undefined || top === 0) return {}
  throw requestInvalid('top_logprobs', "'top_logprobs' needs 'logprobs' to be true")
}

/** Text alone is what an absent `modalities` means. */
function unknownFields(body: JsonObject): JsonObject {
  const { modalities, ...rest } = splitUnknown(body, neutralNames)
  const isText = Array.isArray(modalities) && modalities.every(name => name === 'text')
  return modalities === undefined || isText ? rest : { ...rest, modalities }
}
