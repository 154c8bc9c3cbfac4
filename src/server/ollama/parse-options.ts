import { z } from 'zod'
import type {
  CompletionRequest,
  ReasoningSettings,
  ResponseFormat,
} from '../../key/completion-request.ts'
import { stopStringsMax, topLogprobsMax } from '../../limits.ts'
import type { JsonObject } from '../../std/json.ts'
import { stopOf, unknownOf } from '../openai/parse/fields.ts'
import {
  anyJson,
  defined,
  fieldNames,
  integerIn,
  jsonObject,
  maybe,
  numberIn,
  parseAt,
  parseBody,
  splitUnknown,
} from '../validate.ts'

const anyInteger = Number.MAX_SAFE_INTEGER
const signedInteger = integerIn(-anyInteger, anyInteger)

/** The fields that `/api/chat` and `/api/generate` share. */
const commonSchema = z.looseObject({
  model: z.string().min(1),
  stream: maybe(z.boolean()),
  format: maybe(
    z.union([
      z.custom<'' | 'json'>(value => value === '' || value === 'json', "'json'"),
      jsonObject,
    ]),
  ),
  options: maybe(jsonObject),
  think: maybe(z.union([z.boolean(), z.string().min(1)])),
  logprobs: maybe(z.boolean()),
  top_logprobs: maybe(integerIn(0, topLogprobsMax)),
  /** How long a model stays loaded: nothing that the answer shows. */
  keep_alive: anyJson,
})
const commonFields = fieldNames(commonSchema)
type CommonFields = z.infer<typeof commonSchema>

const optionsSchema = z.looseObject({
  temperature: maybe(numberIn(0, 2)),
  top_k: maybe(integerIn(-1, anyInteger)),
  top_p: maybe(numberIn(0, 1)),
  min_p: maybe(numberIn(0, 1)),
  repeat_penalty: maybe(numberIn(0, 10)),
  presence_penalty: maybe(numberIn(-2, 2)),
  frequency_penalty: maybe(numberIn(-2, 2)),
  seed: maybe(signedInteger),
  num_predict: maybe(signedInteger),
  stop: maybe(z.union([z.string(), z.array(z.string()).max(stopStringsMax)])),
  // How the model is loaded and run. `num_ctx` among them: the context of a model is fixed when the
  // node starts, and a prompt that does not fit is refused rather than cut.
  num_ctx: anyJson,
  num_keep: anyJson,
  num_batch: anyJson,
  num_thread: anyJson,
  num_gpu: anyJson,
  main_gpu: anyJson,
  numa: anyJson,
  low_vram: anyJson,
  f16_kv: anyJson,
  logits_all: anyJson,
  vocab_only: anyJson,
  embedding_only: anyJson,
  use_mmap: anyJson,
  use_mlock: anyJson,
})
const optionFields = fieldNames(optionsSchema)

type OptionsRequest = Pick<CompletionRequest, 'sampling' | 'stop'> &
  Partial<Pick<CompletionRequest, 'seed' | 'maxTokens'>>

export interface CommonPart {
  readonly request: Pick<CompletionRequest, 'model' | 'responseFormat' | 'reasoning' | 'unknown'> &
    Partial<Pick<CompletionRequest, 'topLogprobs'>> &
    OptionsRequest
  /** Ollama streams unless it is told not to. */
  readonly stream: boolean
}

/**
 * What the shared fields of a body ask for; `ownFields` are the names that the endpoint reads
 * itself.
 * @throws request_invalid naming the field
 */
export function parseCommon(body: JsonObject, ownFields: ReadonlySet<string>): CommonPart {
  const fields = parseBody(commonSchema, body)
  const options = fields.options ?? {}
  const unknownOptions = splitUnknown(options, optionFields)
  return {
    request: {
      model: fields.model,
      ...parseOptions(options),
      responseFormat: formatOf(fields.format),
      reasoning: reasoningOf(fields.think),
      ...(fields.logprobs === true ? { topLogprobs: fields.top_logprobs ?? 0 } : {}),
      unknown: unknownOf('ollama', {
        ...splitUnknown(body, new Set([...commonFields, ...ownFields])),
        ...(Object.keys(unknownOptions).length === 0 ? {} : { options: unknownOptions }),
      }),
    },
    stream: fields.stream !== false,
  }
}

function parseOptions(value: JsonObject): OptionsRequest {
  const options = parseAt(optionsSchema, value, 'options')
  const { seed, num_predict, stop, top_k } = options
  return {
    sampling: defined({
      temperature: options.temperature,
      // 0 and below both mean that every token is a candidate.
      topK: typeof top_k === 'number' ? Math.max(top_k, 0) : undefined,
      topP: options.top_p,
      minP: options.min_p,
      repetitionPenalty: options.repeat_penalty,
      presencePenalty: options.presence_penalty,
      frequencyPenalty: options.frequency_penalty,
    }),
    stop: stopOf(stop),
    ...defined({
      // -1: another seed each time, as without one.
      seed: typeof seed === 'number' && seed >= 0 ? seed : undefined,
      // -1 and -2: until the model ends or its context is full.
      maxTokens: typeof num_predict === 'number' && num_predict > 0 ? num_predict : undefined,
    }),
  }
}

function formatOf(format: CommonFields['format']): ResponseFormat {
  if (format === 'json') return { type: 'json_object' }
  if (typeof format !== 'object' || format === null) return { type: 'text' }
  return { type: 'json_schema', schema: format }
}

function reasoningOf(think: CommonFields['think']): ReasoningSettings {
  if (typeof think === 'string') return { effort: think }
  return defined({ enabled: think })
}
