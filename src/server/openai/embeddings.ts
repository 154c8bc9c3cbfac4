import { z } from 'zod'
import type { EmbeddingInput, Embeddings } from '../../interface/engine.ts'
import { embeddingInputsMax } from '../../limits.ts'
import type { JsonObject } from '../../std/json.ts'
import { anyJson, defined, fieldNames, integerIn, maybe, oneOf, parseBody } from '../validate.ts'
import { isTokenIds } from './parse/token-ids.ts'
import { Warnings } from './parse/warnings.ts'

/** OpenAI's `/v1/embeddings`. */
export interface EmbeddingsRequest {
  readonly model: string
  readonly inputs: readonly EmbeddingInput[]
  readonly dimensions?: number
  /** `base64` is what OpenAI's SDKs ask for unless told otherwise: little-endian float32. */
  readonly encoding: 'float' | 'base64'
  readonly warnings: readonly string[]
}

const bodySchema = z.looseObject({
  model: z.string().min(1),
  input: z.custom<EmbeddingInput | readonly EmbeddingInput[]>(
    isInput,
    `a string, an array of token ids, or an array of 1 to ${embeddingInputsMax} of these, ` +
      'none empty',
  ),
  encoding_format: maybe(oneOf(['float', 'base64'])),
  dimensions: maybe(integerIn(1, 65_536)),
  user: anyJson,
})
const bodyNames = fieldNames(bodySchema)

/** @throws request_invalid naming the field */
export function parseEmbeddings(body: JsonObject): EmbeddingsRequest {
  const fields = parseBody(bodySchema, body)
  const warnings = new Warnings()
  warnings.ignoreUnknown('body', body, bodyNames)
  return {
    model: fields.model,
    inputs: inputsOf(fields.input),
    ...defined({ dimensions: fields.dimensions }),
    encoding: fields.encoding_format ?? 'float',
    warnings: warnings.list(),
  }
}

function isInput(value: unknown): boolean {
  if (isOneInput(value)) return true
  if (!Array.isArray(value) || value.length === 0) return false
  return value.length <= embeddingInputsMax && value.every(isOneInput)
}

function isOneInput(value: unknown): value is EmbeddingInput {
  if (typeof value === 'string') return value !== ''
  return isTokenIds(value) && value.length > 0
}

function inputsOf(input: EmbeddingInput | readonly EmbeddingInput[]): readonly EmbeddingInput[] {
  if (typeof input === 'string' || isTokenIds(input)) return [input]
  return input.filter(isOneInput)
}

/** The reply's body: a list of `embedding` objects in the order of the inputs. */
export function encodeEmbeddings(request: EmbeddingsRequest, embeddings: Embeddings): string {
  return JSON.stringify({
    object: 'list',
    data: embeddings.vectors.map((vector, index) => ({
      object: 'embedding',
      index,
      embedding: request.encoding === 'base64' ? base64Of(vector) : Array.from(vector),
    })),
    model: request.model,
    usage: { prompt_tokens: embeddings.promptTokens, total_tokens: embeddings.promptTokens },
  })
}

/**
 * Written number by number: a Float32Array's own bytes have the machine's order, the API's are
 * little-endian.
 */
function base64Of(vector: Float32Array): string {
  const bytes = Buffer.allocUnsafe(vector.length * 4)
  for (const [index, value] of vector.entries()) bytes.writeFloatLE(value, index * 4)
  return bytes.toString('base64')
}
