import type { OperationError } from '../../errors.ts'
import { isJsonObject, type JsonObject } from '../../std/json.ts'

/**
 * The body of an error reply: `{ error: { message, type, param, code } }`. What an upstream wrote
 * in this same form is passed on as it stands: its clients know those codes.
 */
export function encodeError(error: OperationError, status: number, _requestId: string): string {
  const { upstream } = error
  if (upstream !== undefined && isJsonObject(upstreamError(upstream.body))) return upstream.body
  return JSON.stringify({ error: errorObject(error, status) })
}

/** The object under `error`, in bodies and in streams that break off. */
export function errorObject(error: OperationError, status?: number): JsonObject {
  const said = error.upstream === undefined ? undefined : upstreamError(error.upstream.body)
  if (isJsonObject(said)) return said
  return {
    message: typeof said === 'string' ? said : error.message,
    type: errorType(error, status ?? error.upstream?.status),
    param: error.field === undefined || error.field === '' ? null : error.field,
    code: error.code === 'unauthorized' ? 'invalid_api_key' : error.code,
  }
}

function errorType(error: OperationError, status: number | undefined): string {
  if (error.code === 'engine_busy' || status === 429) return 'rate_limit_error'
  if (error.code === 'unauthorized' || status === 401) return 'authentication_error'
  if (error.code === 'forbidden' || status === 403) return 'permission_error'
  if (status === undefined) {
    return error.origin === 'client' ? 'invalid_request_error' : 'server_error'
  }
  return status >= 400 && status < 500 ? 'invalid_request_error' : 'server_error'
}

/**
 * What stands under `error` in an upstream's body: OpenAI's object, Ollama's text, or nothing that
 * we know.
 */
function upstreamError(body: string): JsonObject | string | undefined {
  let parsed: unknown
  try {
    parsed = JSON.parse(body)
  } catch (error) {
    if (error instanceof SyntaxError) return undefined
    throw error
  }
  if (!isJsonObject(parsed)) return undefined
  const said = parsed['error']
  if (typeof said === 'string') return said
  return isJsonObject(said) && typeof said['message'] === 'string' ? said : undefined
}
