import { OperationError } from '../../errors.ts'
import type { CompletionRequest } from '../../key/completion-request.ts'
import { isJsonObject, type JsonObject } from '../../std/json.ts'
import type { UpstreamHttp } from './http/upstream-http.ts'
import type { Dialect, UpstreamKind } from './wire/dialect.ts'
import { encodeMessages, encodeRequest, encodeTools } from './wire/encode-request.ts'

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
  try {
    if (options.kind === 'llama-server') {
      return (await tokenizeByLlamaServer(http, request, options))?.length
    }
    if (options.kind === 'vllm') return await countByVllm(posting(http, options), request, options)
  } catch (error) {
    // A server without the call, or that cannot render this request, does not tell: that is no
    // failure of ours.
    if (!(error instanceof OperationError) || error.upstream === undefined) throw error
  }
  return undefined
}

type Post = (path: string, body: JsonObject) => Promise<JsonObject>

function posting(http: UpstreamHttp, { signal }: CountTokensOptions): Post {
  return async (path, body) => {
    const value = await http.json({ method: 'POST', base: 'root', path, body, signal })
    return isJsonObject(value) ? value : {}
  }
}

/** The prompt's tokens as llama-server will read them; undefined where it does not tell. */
export async function tokenizeByLlamaServer(
  http: UpstreamHttp,
  request: CompletionRequest,
  options: CountTokensOptions,
): Promise<readonly number[] | undefined> {
  if (request.kind === 'text' && typeof request.prompt === 'object') return request.prompt
  const post = posting(http, options)
  const { model, dialect } = options
  // The very request: more than the messages goes into the prompt.
  const { body: asked } = encodeRequest(request, { model, dialect, withStreamOptions: false })
  const { prompt: content } = request.kind === 'text' ? asked : await post('/apply-template', asked)
  if (typeof content !== 'string') return undefined
  const body = { content, add_special: true, parse_special: true }
  const { tokens } = await post('/tokenize', body)
  if (!Array.isArray(tokens)) return undefined
  const isTokenId = (value: unknown): value is number =>
    typeof value === 'number' && Number.isInteger(value) && value >= 0
  return tokens.every(isTokenId) ? tokens : undefined
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
