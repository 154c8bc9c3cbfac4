import { upstreamModelsMax } from '../../limits.ts'
import { isJsonObject, type JsonObject } from '../../std/json.ts'
import { upstreamFailed } from './http/upstream-errors.ts'
import type { UpstreamHttp } from './http/upstream-http.ts'
import type { UpstreamKind } from './wire/dialect.ts'

export interface UpstreamIdentity {
  readonly kind: UpstreamKind
  /** Entries of `/v1/models`, each with a name of its own. */
  readonly entries: readonly JsonObject[]
  /**
   * What the call answered by which the kind was recognised: `/api/tags`, `/props` or
   * `/api/v0/models`.
   */
  readonly own: unknown
}

/**
 * Time for each of the calls: servers answer them from memory, and the node's start waits for the
 * first.
 */
const listTimeoutMs = 5_000
const nameLengthMax = 512

/**
 * Recognises a server by its answers: everybody lists models as OpenAI does, some have calls of
 * their own.
 *
 * @throws upstream_failed when it has no such list, upstream_unreachable, upstream_timeout
 */
export async function identifyUpstream(
  http: UpstreamHttp,
  signal: AbortSignal,
): Promise<UpstreamIdentity> {
  const entries = await listEntries(http, signal)
  const owners = entries.map(entry => entry['owned_by'])
  if (owners.includes('vllm')) return { kind: 'vllm', entries, own: undefined }
  const [tags, properties, studio] = await Promise.all([
    askUpstream(http, { method: 'GET', path: '/api/tags' }, signal),
    askUpstream(http, { method: 'GET', path: '/props' }, signal),
    askUpstream(http, { method: 'GET', path: '/api/v0/models' }, signal),
  ])
  // llama-server answers /api/tags as well, for Ollama's clients: what is more particular is asked
  // first.
  if (contextOfLlamaServer(properties) !== undefined || owners.includes('llamacpp')) {
    return { kind: 'llama-server', entries, own: properties }
  }
  if (listIn(studio, 'data') !== undefined) return { kind: 'lm-studio', entries, own: studio }
  if (listIn(tags, 'models') !== undefined) return { kind: 'ollama', entries, own: tags }
  return { kind: 'openai', entries, own: undefined }
}

async function listEntries(http: UpstreamHttp, signal: AbortSignal): Promise<JsonObject[]> {
  const call = { method: 'GET', base: 'api', path: '/models' } as const
  const list = listIn(await http.json({ ...call, signal, timeoutMs: listTimeoutMs }), 'data')
  if (list === undefined) {
    throw upstreamFailed(http.label, 'did not answer /models with a list of models')
  }
  const names = new Set<string>()
  return list
    .filter(entry => {
      const name = nameOf(entry)
      const isNew = name.length > 0 && name.length <= nameLengthMax && !names.has(name)
      names.add(name)
      return isNew
    })
    .slice(0, upstreamModelsMax)
}

/**
 * What a path of the server's own answers; undefined where it has no such path, or does not answer
 * in time.
 */
export async function askUpstream(
  http: UpstreamHttp,
  call: { method: 'GET' | 'POST'; path: string; body?: JsonObject },
  signal: AbortSignal,
): Promise<unknown> {
  try {
    return await http.json({ ...call, base: 'root', signal, timeoutMs: listTimeoutMs })
  } catch {
    signal.throwIfAborted()
    return undefined
  }
}

/**
 * `/props` of llama-server: `n_ctx` is what one slot really has, unlike the size the model was
 * trained for.
 */
export function contextOfLlamaServer(properties: unknown): number | undefined {
  if (!isJsonObject(properties)) return undefined
  const settings = properties['default_generation_settings']
  const contextTokens = isJsonObject(settings) ? settings['n_ctx'] : undefined
  return typeof contextTokens === 'number' && contextTokens > 0 ? contextTokens : undefined
}

/** `/v1/models` and LM Studio say `id`; Ollama's tags say `name`. */
export function nameOf(entry: JsonObject): string {
  const name = entry['id'] ?? entry['name'] ?? entry['model']
  return typeof name === 'string' ? name : ''
}

export function listIn(value: unknown, field: string): JsonObject[] | undefined {
  const list = isJsonObject(value) ? value[field] : undefined
  return Array.isArray(list) ? list.filter(isJsonObject) : undefined
}
