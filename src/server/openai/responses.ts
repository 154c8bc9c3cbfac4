import { z } from 'zod'
import {
  type CompletionRequest,
  emptyRequest,
  type Message,
  type ReasoningSettings,
} from '../../key/completion-request.ts'
import { topLogprobsMax } from '../../limits.ts'
import { isJsonObject, type JsonObject } from '../../std/json.ts'
import {
  anyJson,
  defined,
  fieldNames,
  integerIn,
  jsonObject,
  maybe,
  oneOf,
  parseAt,
  parseBody,
  splitUnknown,
} from '../validate.ts'
import type { ParsedRequest, WireFormat } from '../wire-format.ts'
import { encodeReply } from './encode/responses.ts'
import { openStream } from './encode/responses-stream.ts'
import { Breakpoints } from './parse/cache-hints.ts'
import {
  anyInteger,
  ignoredFields,
  maxTokensOf,
  samplingFields,
  samplingOf,
  stopOf,
  tokenLimit,
  unknownOf,
  unsupported,
} from './parse/fields.ts'
import { parseResponseFormat } from './parse/response-format.ts'
import { type InputNotes, parseInput } from './parse/responses-input.ts'
import { parseToolChoice, parseTools } from './parse/tools.ts'
import { Warnings } from './parse/warnings.ts'
import { responsesVariant } from './variant.ts'

/**
 * OpenAI's `/v1/responses`, stateless: nothing is stored under a response's id, so each request
 * tells everything.
 */
export const responses: WireFormat = { api: 'responses', parse, encodeReply, openStream }

const reasoningSchema = z.looseObject({
  effort: maybe(z.string()),
  summary: maybe(z.string()),
  generate_summary: maybe(z.string()),
})
const reasoningNames = fieldNames(reasoningSchema)
const textSchema = z.looseObject({
  format: maybe(jsonObject),
  verbosity: maybe(oneOf(['low', 'medium', 'high'])),
})
/** Verbosity has no neutral form. */
const textNames: ReadonlySet<string> = new Set(['format'])

const neutralFields = z.looseObject({
  ...ignoredFields,
  // OpenAI has none of these here but temperature and top_p; local engines take them.
  ...samplingFields,
  chat_template_kwargs: maybe(jsonObject),
  model: z.string().min(1),
  input: z.union([z.string(), z.array(jsonObject).min(1)]),
  instructions: maybe(z.string()),
  max_output_tokens: tokenLimit,
  tools: maybe(z.array(jsonObject)),
  tool_choice: maybe(z.union([z.string(), jsonObject])),
  parallel_tool_calls: maybe(z.boolean()),
  reasoning: maybe(jsonObject),
  text: maybe(jsonObject),
  include: maybe(z.array(z.string())),
  top_logprobs: maybe(integerIn(0, topLogprobsMax)),
  truncation: maybe(oneOf(['auto', 'disabled'])),
  stream: maybe(z.boolean()),
  stream_options: maybe(jsonObject),
  previous_response_id: maybe(z.string()),
  conversation: anyJson,
  background: maybe(z.boolean()),
  prompt: anyJson,
})
const neutralNames = fieldNames(neutralFields)

/** Checked here, then kept among the unknown fields: nothing here can act on them. */
const bodySchema = neutralFields.extend({
  max_tool_calls: maybe(anyInteger),
  context_management: maybe(z.array(jsonObject)),
  moderation: maybe(jsonObject),
  access_programs: maybe(jsonObject),
  image: maybe(jsonObject),
})
type Body = z.infer<typeof bodySchema>

/** @throws request_invalid naming the field, and unsupported for what needs stored state */
function parse(body: JsonObject): ParsedRequest {
  const fields = parseBody(bodySchema, body)
  assertStateless(fields)
  const warnings = new Warnings()
  const text = parseAt(textSchema, fields.text ?? {}, 'text')
  if (fields.truncation === 'auto') {
    warnings.add("'truncation' is not done here: a prompt that is too long is refused")
  }
  const breakpoints = new Breakpoints()
  const tools = parseTools(fields.tools ?? [], 'flat', warnings, breakpoints)
  const messages = [...instructionsOf(fields), ...inputOf(fields.input, { warnings, breakpoints })]
  const request: CompletionRequest = {
    ...emptyRequest,
    kind: 'chat',
    model: fields.model,
    messages,
    ...parseToolChoice(fields.tool_choice, tools, 'flat'),
    parallelToolCalls: fields.parallel_tool_calls ?? true,
    responseFormat: parseResponseFormat(text.format, 'text.format', 'flat'),
    sampling: samplingOf(fields),
    stop: stopOf(fields.stop),
    ...defined({ seed: fields.seed }),
    ...maxTokensOf(fields.max_output_tokens),
    ...topLogprobsOf(fields),
    reasoning: reasoningOf(fields.reasoning ?? {}),
    templateArgs: fields.chat_template_kwargs ?? {},
    ...breakpoints.hints(body, messages),
    unknown: unknownOf('responses', unknownFields(body, fields.text ?? {})),
  }
  return {
    request,
    stream: fields.stream === true,
    variant: responsesVariant({
      hasInstructions: instructionsOf(fields).length > 0,
      maxTokens: request.maxTokens ?? null,
      metadata: isJsonObject(fields.metadata) ? fields.metadata : {},
      ...(request.cache?.wantsDiagnostics ? { hasDiagnostics: true } : {}),
    }),
    warnings: warnings.list(),
  }
}

function assertStateless(fields: Body): void {
  const remedy = 'this node stores no conversations. Send the whole conversation in '
  for (const name of ['previous_response_id', 'conversation'] as const) {
    if (isSent(fields[name])) throw unsupported(name, `'${name}' needs state, but ${remedy}'input'`)
  }
  if (isSent(fields.prompt)) {
    throw unsupported('prompt', `'prompt' needs a stored template, but ${remedy}'input'`)
  }
  if (fields.background === true) {
    throw unsupported(
      'background',
      "'background' needs stored answers, and this node stores none by id. Leave it out and stream",
    )
  }
}

function isSent(value: unknown): boolean {
  return value !== undefined && value !== null
}

function instructionsOf({ instructions }: Body): readonly Message[] {
  return instructions ? [{ role: 'system', content: [{ type: 'text', text: instructions }] }] : []
}

function inputOf(input: Body['input'], notes: InputNotes): readonly Message[] {
  return parseInput(typeof input === 'string' ? [{ role: 'user', content: input }] : input, notes)
}

function topLogprobsOf(fields: Body): { topLogprobs?: number } {
  const top = fields.top_logprobs ?? 0
  const isIncluded = fields.include?.includes('message.output_text.logprobs') === true
  return isIncluded || top > 0 ? { topLogprobs: top } : {}
}

function reasoningOf(value: JsonObject): ReasoningSettings {
  const {
    effort,
    summary,
    generate_summary: oldSummary,
  } = parseAt(reasoningSchema, value, 'reasoning')
  const other = {
    ...splitUnknown(value, reasoningNames),
    ...defined({ summary: summary ?? oldSummary }),
  }
  return { ...defined({ effort }), ...(Object.keys(other).length === 0 ? {} : { other }) }
}

/** What has no neutral form, under the names of this API. */
function unknownFields(body: JsonObject, text: JsonObject): JsonObject {
  const unknownText = splitUnknown(text, textNames)
  return {
    ...splitUnknown(body, neutralNames),
    ...(Object.keys(unknownText).length === 0 ? {} : { text: unknownText }),
  }
}
