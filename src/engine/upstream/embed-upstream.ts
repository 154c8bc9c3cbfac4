import type { EmbeddingInput, Embeddings, EmbedOptions } from '../../interface/engine.ts'
import { isJsonObject, type JsonObject } from '../../std/json.ts'
import { upstreamFailed } from './http/upstream-errors.ts'
import type { UpstreamHttp } from './http/upstream-http.ts'

const floatBytes = 4

/** @throws upstream_failed when the upstream refuses, or does not give one vector per input */
export async function embedUpstream(
  http: UpstreamHttp,
  model: string,
  inputs: readonly EmbeddingInput[],
  options: EmbedOptions,
): Promise<Embeddings> {
  const { dimensions } = options
  const reply = await http.json({
    method: 'POST',
    base: 'api',
    path: '/embeddings',
    // A third of the bytes of decimal numbers; whoever does not know it answers with numbers
    // anyway.
    body: {
      model,
      input: [...inputs],
      encoding_format: 'base64',
      ...(dimensions === undefined ? {} : { dimensions }),
    },
    signal: options.signal,
  })
  const data = isJsonObject(reply) ? reply['data'] : undefined
  const entries = Array.isArray(data) ? data.filter(isJsonObject) : []
  const vectors = inputs.map((_, index) => vectorOf(entryAt(entries, index)))
  if (entries.length !== inputs.length || !vectors.every(vector => vector !== undefined)) {
    throw upstreamFailed(http.label, `did not give one vector for each of ${inputs.length} inputs`)
  }
  return { vectors, promptTokens: promptTokensOf(reply) }
}

/** Entries say their place; those that do not are in order. */
function entryAt(entries: readonly JsonObject[], index: number): JsonObject | undefined {
  return entries[index]?.['index'] === index || entries[index]?.['index'] === undefined
    ? entries[index]
    : entries.find(entry => entry['index'] === index)
}

function vectorOf(entry: JsonObject | undefined): Float32Array | undefined {
  const embedding = entry?.['embedding']
  if (Array.isArray(embedding)) {
    const isVector = embedding.every(value => typeof value === 'number')
    return isVector ? Float32Array.from(embedding) : undefined
  }
  if (typeof embedding !== 'string') return undefined
  const bytes = Buffer.from(embedding, 'base64')
  if (bytes.length === 0 || bytes.length % floatBytes !== 0) return undefined
  return Float32Array.from({ length: bytes.length / floatBytes }, (_, index) =>
    bytes.readFloatLE(index * floatBytes),
  )
}

function promptTokensOf(reply: unknown): number {
  const usage = isJsonObject(reply) ? reply['usage'] : undefined
  const count = isJsonObject(usage) ? usage['prompt_tokens'] : undefined
  return typeof count === 'number' && Number.isSafeInteger(count) && count >= 0 ? count : 0
}
