import { z } from 'zod'
import { requestInvalid } from '../../errors.ts'
import { type CompletionRequest, emptyRequest } from '../../key/completion-request.ts'
import { choicesMax, topLogprobsMax } from '../../limits.ts'
import type { JsonObject } from '../../std/json.ts'
import { defined, fieldNames, integerIn, maybe, parseBody, splitUnknown } from '../validate.ts'
import type { ParsedRequest, WireFormat } from '../wire-format.ts'
import { encodeReply, openStream } from './encode/completions.ts'
import { Breakpoints } from './parse/cache-hints.ts'
import {
  ignoredFields,
  maxTokensOf,
  samplingFields,
  samplingOf,
  stopOf,
  streamFields,
  tokenLimit,
  unknownOf,
  unsupported,
} from './parse/fields.ts'
import { isTokenIds } from './parse/token-ids.ts'
import { chatVariant } from './variant.ts'

/** OpenAI's `/v1/completions`: text or token ids continued as they stand. */
export const completions: WireFormat = { api: 'completions', parse, encodeReply, openStream }

type Prompt = string | readonly number[]

const bodySchema = z.looseObject({
  ...ignoredFields,
  ...streamFields,
  ...samplingFields,
  model: z.string().min(1),
  prompt: z.custom<Prompt | readonly Prompt[]>(
    value => isPrompt(value) || (Array.isArray(value) && value.every(isPrompt)),
    'a string or an array of token ids',
  ),
  suffix: maybe(z.string()),
  max_tokens: tokenLimit,
  n: maybe(integerIn(1, choicesMax)),
  best_of: maybe(integerIn(1, choicesMax)),
  echo: maybe(z.boolean()),
  logprobs: maybe(integerIn(0, topLogprobsMax)),
})
const bodyNames = fieldNames(bodySchema)
type Body = z.infer<typeof bodySchema>

/**
 * @throws request_invalid naming the field, and unsupported for several prompts and for scoring a
 * prompt
 */
function parse(body: JsonObject): ParsedRequest {
  const fields = parseBody(bodySchema, body)
  const prompt = onePrompt(fields.prompt)
  assertRunnable(fields, prompt)
  const request: CompletionRequest = {
    ...emptyRequest,
    kind: 'text',
    model: fields.model,
    prompt,
    ...(fields.suffix ? { suffix: fields.suffix } : {}),
    sampling: samplingOf(fields),
    stop: stopOf(fields.stop),
    ...defined({ seed: fields.seed, topLogprobs: fields.logprobs }),
    ...maxTokensOf(fields.max_tokens),
    choiceCount: fields.n ?? 1,
    ...new Breakpoints().hints(body, []),
    unknown: unknownOf('openai', splitUnknown(body, bodyNames)),
  }
  const stream = fields.stream === true
  return {
    request,
    stream,
    variant: chatVariant({
      isUsageIncluded: stream && fields.stream_options?.include_usage === true,
      isEcho: fields.echo === true,
    }),
    warnings: [],
  }
}

function isPrompt(value: unknown): value is Prompt {
  return typeof value === 'string' || isTokenIds(value)
}

/** A list of one prompt is that prompt. */
function onePrompt(prompt: Body['prompt']): Prompt {
  if (typeof prompt === 'string') return prompt
  // An empty list is a list of no prompts, not a prompt of no tokens.
  if (isTokenIds(prompt) && prompt.length > 0) return prompt
  const [first] = prompt
  if (prompt.length === 1 && first !== undefined && typeof first !== 'number') return first
  throw unsupported(
    'prompt',
    `'prompt' holds ${prompt.length} prompts, but one answer has one. Send one request per prompt`,
  )
}

function assertRunnable(fields: Body, prompt: Prompt): void {
  const choices = fields.n ?? 1
  if (typeof fields.best_of === 'number' && fields.best_of !== choices) {
    throw unsupported('best_of', "'best_of' must equal 'n': answers are not ranked here")
  }
  if (fields.echo !== true) return
  if (typeof fields.logprobs === 'number') {
    throw unsupported(
      'echo',
      "'echo' with 'logprobs' would need log-probabilities of the prompt. Leave one of them out",
    )
  }
  if (typeof prompt !== 'string') {
    throw requestInvalid('echo', "'echo' needs a 'prompt' that is text, not token ids")
  }
}
