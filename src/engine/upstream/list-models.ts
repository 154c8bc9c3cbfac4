import { upstreamModelsMax } from '../../limits.ts'
import { isJsonObject, type JsonObject } from '../../std/json.ts'
import type { AbortOptions } from '../../std/signal.ts'
import type { UpstreamHttp } from './http/upstream-http.ts'
import {
  askUpstream,
  contextOfLlamaServer,
  identifyUpstream,
  listIn,
  nameOf,
  type UpstreamIdentity,
} from './identify-upstream.ts'
import type { UpstreamKind } from './wire/dialect.ts'

/** What an upstream tells about one of its models. */
export interface ListedModel {
  readonly name: string
  /** 64 hex digits, where it tells one. */
  readonly digest?: string
  readonly contextTokens?: number
  readonly bytes?: number
  readonly quantization?: string
  readonly parameters?: string
  readonly isEmbeddingOnly?: boolean
}

export interface ModelList {
  readonly kind: UpstreamKind
  readonly models: readonly ListedModel[]
}

/** Models whose details are asked of Ollama one by one. People have dozens. */
const shownModelsMax = 64

export interface ListOptions extends AbortOptions {
  /** What was listed before: what a digest says once is not asked again. */
  readonly known: readonly ListedModel[]
}

/**
 * Asks an upstream what it is and what it serves. @throws upstream_unreachable, upstream_failed,
 * upstream_timeout
 */
export async function listModels(http: UpstreamHttp, options: ListOptions): Promise<ModelList> {
  const { kind, entries, own } = await identifyUpstream(http, options.signal)
  const models = entries.map(entry => ({ name: nameOf(entry), ...factsOfEntry(entry) }))
  const facts = await ownFacts(http, { kind, own }, options)
  return { kind, models: models.map(model => ({ ...model, ...facts(model.name) })) }
}

type Facts = Omit<ListedModel, 'name'>

/** What a server tells about its models in calls of its own. */
async function ownFacts(
  http: UpstreamHttp,
  identity: Pick<UpstreamIdentity, 'kind' | 'own'>,
  options: ListOptions,
): Promise<(name: string) => Facts | undefined> {
  const { kind, own } = identity
  if (kind === 'ollama') {
    const facts = await factsOfOllama(http, listIn(own, 'models') ?? [], options)
    return name => facts.get(name)
  }
  if (kind === 'llama-server') {
    const contextTokens = contextOfLlamaServer(own)
    return () => (contextTokens === undefined ? undefined : { contextTokens })
  }
  const listed = listIn(own, 'data') ?? []
  const facts = new Map(listed.map(entry => [nameOf(entry), factsOfEntry(entry)]))
  return name => facts.get(name)
}

/** Context sizes as vLLM, OpenRouter, Groq, LM Studio, LiteLLM and llama-server call them. */
function factsOfEntry(entry: JsonObject): Facts {
  const { meta, top_provider: topProvider } = entry
  const inner = isJsonObject(meta) ? meta : {}
  const routed = isJsonObject(topProvider) ? topProvider : {}
  const contextTokens = [
    entry['max_model_len'],
    entry['loaded_context_length'],
    entry['context_length'],
    entry['context_window'],
    entry['max_context_length'],
    entry['max_input_tokens'],
    inner['n_ctx'],
    inner['n_ctx_train'],
    routed['context_length'],
  ].find(isCount)
  const { quantization } = entry
  return {
    ...(contextTokens === undefined ? {} : { contextTokens }),
    ...(isCount(inner['size']) ? { bytes: inner['size'] } : {}),
    ...(typeof quantization === 'string' ? { quantization } : {}),
    ...(entry['type'] === 'embeddings' ? { isEmbeddingOnly: true } : {}),
  }
}

async function factsOfOllama(
  http: UpstreamHttp,
  tagged: readonly JsonObject[],
  options: ListOptions,
): Promise<ReadonlyMap<string, Facts>> {
  const known = new Map(options.known.map(model => [model.name, model]))
  const facts = new Map<string, Facts>()
  for (const [index, entry] of tagged.slice(0, upstreamModelsMax).entries()) {
    const tag = { name: nameOf(entry), ...factsOfTag(entry) }
    const before = known.get(tag.name)
    const isKnown = tag.digest !== undefined && before?.digest === tag.digest
    if (isKnown && before?.contextTokens !== undefined) facts.set(tag.name, before)
    else if (index >= shownModelsMax) facts.set(tag.name, tag)
    else {
      const call = { method: 'POST', path: '/api/show', body: { model: tag.name } } as const
      const shown = await askUpstream(http, call, options.signal)
      facts.set(tag.name, { ...tag, ...factsOfShown(shown) })
    }
  }
  return facts
}

function factsOfTag(entry: JsonObject): Facts {
  const { digest, size, details } = entry
  const hex = typeof digest === 'string' ? digest.replace(/^sha256:/, '').toLowerCase() : ''
  const known = isJsonObject(details) ? details : {}
  const { quantization_level: quantization, parameter_size: parameters } = known
  return {
    ...(/^[0-9a-f]{64}$/.test(hex) ? { digest: hex } : {}),
    ...(isCount(size) ? { bytes: size } : {}),
    ...(typeof quantization === 'string' ? { quantization } : {}),
    ...(typeof parameters === 'string' ? { parameters } : {}),
  }
}

/**
 * `num_ctx` of the Modelfile is what Ollama allocates; without it the model's own size is all that
 * it tells.
 */
function factsOfShown(shown: unknown): Facts {
  if (!isJsonObject(shown)) return {}
  const { parameters, model_info: details, capabilities } = shown
  const set =
    typeof parameters === 'string' ? /^num_ctx\s+(\d+)$/m.exec(parameters)?.[1] : undefined
  const trained = isJsonObject(details)
    ? Object.entries(details).find(([name]) => name.endsWith('.context_length'))?.[1]
    : undefined
  const contextTokens = set === undefined ? trained : Number(set)
  const able = Array.isArray(capabilities) ? capabilities : []
  return {
    ...(isCount(contextTokens) ? { contextTokens } : {}),
    ...(able.includes('embedding') && !able.includes('completion')
      ? { isEmbeddingOnly: true }
      : {}),
  }
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value > 0
}
