import { OperationError } from '../../errors.ts'
import type { CompletionRequest } from '../../key/completion-request.ts'
import { isJsonObject, type JsonObject } from '../../std/json.ts'
import type { UpstreamHttp } from './http/upstream-http.ts'
import type { Dialect, UpstreamKind } from './wire/dialect.ts'
import { encodeMessages, encodeTools } from './wire/encode-request.ts'

export interface CountTokensOptions {
  readonly model: string
  readonly kind: UpstreamKind
  readonly dialect: Dialect
  readonly signal: AbortSignal
}

/**
 * Tokens of the prompt, where the upstream has a call that tells them; undefined where it has none.
 */
export async function countTokensUpstream(
  http: UpstreamHttp,
  request: CompletionRequest,
  options: CountTokensOptions,
): Promise<number | undefined> {
  if (request.kind === 'text' && typeof request.prompt === 'object') return request.prompt.length
  const post = async (path: string, body: JsonObject): Promise<JsonObject> => {
    const call = { method: 'POST', base: 'root', path, body, signal: options.signal } as const
    const value = await http.json(call)
    return isJsonObject(value) ? value : {}
  }
  try {
    if (options.kind === 'llama-server') return await countByLlamaServer(post, request, options)
    if (options.kind === 'vllm') return await countByVllm(post, request, options)
  } catch (error) {
    // A server without the call, or that cannot render this request, does not tell: that is no
    // failure of ours.
    if (!(error instanceof OperationError) || error.upstream === undefined) throw error
  }
  return undefined
}

type Post = (path: string, body: JsonObject) => Promise<JsonObject>

async function countByLlamaServer(
  post: Post,
  request: CompletionRequest,
  options: CountTokensOptions,
): Promise<number | undefined> {
  const rendered =
    request.kind === 'text'
      ? { prompt: request.prompt ?? '' }
      : await post('/apply-template', chatBody(request, options))
  const { prompt: content } = rendered
  if (typeof content !== 'string') return undefined
  const body = { content, add_special: true, parse_special: request.kind === 'chat' }
  const { tokens } = await post('/tokenize', body)
  return Array.isArray(tokens) ? tokens.length : undefined
}

async function countByVllm(
  post: Post,
  request: CompletionRequest,
  options: CountTokensOptions,
): Promise<number | undefined> {
  const body =
    request.kind === 'text'
      ? { model: options.model, prompt: request.prompt ?? '' }
      : { ...chatBody(request, options), add_generation_prompt: true }
  const { count } = await post('/tokenize', body)
  return typeof count === 'number' && Number.isSafeInteger(count) ? count : undefined
}

function chatBody(request: CompletionRequest, options: CountTokensOptions): JsonObject {
  const tools = encodeTools(request)
  const templateArgs = request.templateArgs
  return {
    model: options.model,
    messages: encodeMessages(request, options.dialect),
    ...(tools.length === 0 ? {} : { tools }),
    ...(Object.keys(templateArgs).length === 0 ? {} : { chat_template_kwargs: templateArgs }),
  }
}
