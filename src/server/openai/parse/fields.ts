import { z } from 'zod'
import { OperationError } from '../../../errors.ts'
import type { Sampling, UnknownFields } from '../../../key/completion-request.ts'
import { stopStringsMax } from '../../../limits.ts'
import { isJsonObject, type JsonObject } from '../../../std/json.ts'
import { anyJson, defined, integerIn, jsonObject, maybe, numberIn, omit } from '../../validate.ts'

/** A field that may be absent or null. */
export type Maybe<Value> = z.ZodOptional<z.ZodNullable<z.ZodType<Value>>>

/** Any whole number that JSON carries exactly. */
export const anyInteger: z.ZodType<number> = integerIn(
  Number.MIN_SAFE_INTEGER,
  Number.MAX_SAFE_INTEGER,
)

/**
 * Who asks, how it is billed, stored and cached: nothing of that reaches the model, and agents vary
 * it from run to run. Checked lightly and left out of the neutral request, so that it is in no key.
 */
export const ignoredFields: { readonly [Name in IgnoredName]: Maybe<unknown> } = {
  user: maybe(z.string()),
  safety_identifier: maybe(z.string()),
  metadata: maybe(jsonObject),
  store: maybe(z.boolean()),
  service_tier: maybe(z.string()),
  prompt_cache_key: maybe(z.string()),
  prompt_cache_options: maybe(jsonObject),
  prompt_cache_retention: maybe(z.string()),
  prompt_cache_breakpoint: maybe(anyJson),
  cache_control: maybe(anyJson),
  client_metadata: maybe(anyJson),
  diagnostics: maybe(anyJson),
}
type IgnoredName =
  | 'user'
  | 'safety_identifier'
  | 'metadata'
  | 'store'
  | 'service_tier'
  | 'prompt_cache_key'
  | 'prompt_cache_options'
  | 'prompt_cache_retention'
  | 'prompt_cache_breakpoint'
  | 'cache_control'
  | 'client_metadata'
  | 'diagnostics'

/** On messages, content parts and tools: what is worth keeping, not what the model reads. */
export const cacheMarks: ReadonlySet<string> = new Set(['cache_control', 'prompt_cache_breakpoint'])

export interface StreamOptions {
  readonly include_usage?: boolean | null | undefined
}

export const streamFields: {
  readonly stream: Maybe<boolean>
  readonly stream_options: Maybe<StreamOptions>
} = {
  stream: maybe(z.boolean()),
  stream_options: maybe(z.looseObject({ include_usage: maybe(z.boolean()) })),
}

/** Sampling as OpenAI names it, and what local engines add. */
export const samplingFields: {
  readonly temperature: Maybe<number>
  readonly top_p: Maybe<number>
  readonly top_k: Maybe<number>
  readonly min_p: Maybe<number>
  readonly frequency_penalty: Maybe<number>
  readonly presence_penalty: Maybe<number>
  readonly repetition_penalty: Maybe<number>
  readonly logit_bias: Maybe<LogitBias>
  readonly seed: Maybe<number>
  readonly stop: Maybe<string | string[]>
} = {
  temperature: maybe(numberIn(0, 2)),
  top_p: maybe(numberIn(0, 1)),
  // vLLM's word for "off" is -1.
  top_k: maybe(integerIn(-1, 2 ** 31 - 1)),
  min_p: maybe(numberIn(0, 1)),
  frequency_penalty: maybe(numberIn(-2, 2)),
  presence_penalty: maybe(numberIn(-2, 2)),
  repetition_penalty: maybe(numberIn(0, 10)),
  logit_bias: maybe(
    z.custom<LogitBias>(isLogitBias, 'an object of token ids with numbers from -100 to 100'),
  ),
  seed: maybe(anyInteger),
  stop: maybe(z.union([z.string(), z.array(z.string()).max(stopStringsMax)])),
}

type LogitBias = { readonly [tokenId: string]: number }

function isLogitBias(value: unknown): value is LogitBias {
  if (!isJsonObject(value)) return false
  return Object.entries(value).every(
    ([id, bias]) => /^\d{1,10}$/.test(id) && typeof bias === 'number' && Math.abs(bias) <= 100,
  )
}

/** Most tokens to generate. LM Studio's clients send -1 for "no limit". */
export const tokenLimit: Maybe<number> = maybe(
  z.custom<number>(
    value => Number.isSafeInteger(value) && (Number(value) >= 1 || value === -1),
    'an integer of 1 or more',
  ),
)

type Absent = null | undefined

/** The first limit that was sent; -1 is none. */
export function maxTokensOf(...limits: readonly (number | Absent)[]): { maxTokens?: number } {
  const limit = limits.find(candidate => typeof candidate === 'number')
  return typeof limit === 'number' && limit > 0 ? { maxTokens: limit } : {}
}

export function samplingOf(
  fields: {
    readonly [Name in keyof typeof samplingFields]?: z.infer<(typeof samplingFields)[Name]>
  },
): Sampling {
  return defined({
    temperature: fields.temperature,
    topP: fields.top_p,
    topK: fields.top_k,
    minP: fields.min_p,
    frequencyPenalty: fields.frequency_penalty,
    presencePenalty: fields.presence_penalty,
    repetitionPenalty: fields.repetition_penalty,
    logitBias: fields.logit_bias,
  })
}

/**
 * Stop strings as a list. An empty one would end every answer before it began; clients send it for
 * "none".
 */
export function stopOf(stop: string | readonly string[] | Absent): readonly string[] {
  const list = typeof stop === 'string' ? [stop] : (stop ?? [])
  return list.filter(text => text !== '')
}

/** Which API unknown fields belong to matters only where there are some. */
export function unknownOf(api: UnknownFields['api'], fields: JsonObject): UnknownFields {
  return Object.keys(fields).length === 0 ? { api: 'openai', fields: {} } : { api, fields }
}

/** A part or tool that we do not read, as the client sent it but for its cache marks. */
export function withoutCacheMarks(value: JsonObject): JsonObject {
  return omit(value, cacheMarks)
}

/** What this API has and this node cannot do. The message ends with the remedy. */
export function unsupported(field: string, message: string): OperationError {
  return new OperationError('unsupported', message, { origin: 'client', field })
}
