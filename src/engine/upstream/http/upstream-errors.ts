import { OperationError, type OperationErrorOptions } from '../../../errors.ts'
import { isJsonObject, type JsonObject } from '../../../std/json.ts'

/** Which upstream failed, as people know it. Never a key. */
export interface UpstreamLabel {
  readonly name: string
  /** URL without credentials. */
  readonly url: string
}

type Said = NonNullable<OperationErrorOptions['upstream']>

const unreachableCodes = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EPIPE',
  'ETIMEDOUT',
  'UND_ERR_CONNECT_TIMEOUT',
  'UND_ERR_SOCKET',
])
/** The longest wait that an upstream's `retry-after` is believed. */
const retryAfterMsMax = 3_600_000

export function upstreamFailed(
  label: UpstreamLabel,
  what: string,
  options: Omit<OperationErrorOptions, 'origin'> = {},
): OperationError {
  const message = `Upstream '${label.name}' (${label.url}) ${what}`
  return new OperationError('upstream_failed', message, { ...options, origin: 'upstream' })
}

export function upstreamTimeout(label: UpstreamLabel, idleMs: number): OperationError {
  const message = `Upstream '${label.name}' (${label.url}) sent nothing for ${idleMs} ms`
  return new OperationError('upstream_timeout', message, { origin: 'upstream', retryable: true })
}

/** What a failed exchange means. `hasReplied`: whether the reply had begun. */
export function connectionError(
  label: UpstreamLabel,
  error: unknown,
  hasReplied: boolean,
): OperationError {
  const code = codeOf(error)
  if (hasReplied) {
    return upstreamFailed(label, 'cut off its answer', { retryable: true, cause: error })
  }
  if (!unreachableCodes.has(code)) {
    return upstreamFailed(label, `did not speak HTTP (${code})`, { cause: error })
  }
  const message = `Upstream '${label.name}' (${label.url}) cannot be reached (${code})`
  return new OperationError('upstream_unreachable', message, {
    origin: 'upstream',
    retryable: true,
    cause: error,
  })
}

/**
 * Whether a connection that was kept open had been closed at the other end: then it was never
 * asked.
 */
export function isStaleConnection(error: unknown): boolean {
  const code = codeOf(error)
  return code === 'UND_ERR_SOCKET' || code === 'ECONNRESET' || code === 'EPIPE'
}

function codeOf(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown'
  return 'code' in error && typeof error.code === 'string' ? error.code : error.name
}

/** The error of a reply that is not 2xx. Its text stays in `upstream`: it may repeat the prompt. */
export function replyError(
  label: UpstreamLabel,
  said: Said,
  retryAfterMs: number | undefined,
): OperationError {
  const context = contextLengthError(label, said)
  if (context !== undefined) return context
  return upstreamFailed(label, `answered ${said.status}`, {
    upstream: said,
    retryable: said.status === 408 || said.status === 429 || said.status >= 500,
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  })
}

/** llama-server tells both numbers as fields; OpenAI, vLLM and our own nodes in a sentence. */
function contextLengthError(label: UpstreamLabel, said: Said): OperationError | undefined {
  if (said.status !== 400 && said.status !== 413 && said.status !== 500) return undefined
  const error = errorObjectOf(parseJson(said.body))
  const message = typeof error?.['message'] === 'string' ? error['message'] : ''
  const isAboutContext =
    error?.['code'] === 'context_length_exceeded' ||
    error?.['type'] === 'exceed_context_size_error' ||
    /maximum context length|context (size|window|length)/i.test(message)
  if (!isAboutContext) return undefined
  const contextTokens =
    numberOf(error?.['n_ctx']) ?? numberIn(/context (?:\w+ (?:is|of)|holds) (\d+)/, message)
  const promptTokens =
    numberOf(error?.['n_prompt_tokens']) ??
    numberIn(/\((\d+) in (?:the messages|your prompt)/, message) ??
    numberIn(/(?:resulted in|has|contains at least|requested) (\d+)/, message)
  if (contextTokens === undefined || promptTokens === undefined) return undefined
  return new OperationError(
    'context_length_exceeded',
    `The context of this model at upstream '${label.name}' holds ${contextTokens} tokens, ` +
      `but the prompt has ${promptTokens}. Shorten the messages or the tools`,
    { origin: 'client', field: 'messages', upstream: said },
  )
}

/** `{"error": {…}}`, `{"error": "…"}`, or vLLM's `{"object": "error", …}`. */
export function errorObjectOf(value: unknown): JsonObject | undefined {
  if (!isJsonObject(value)) return undefined
  const { error } = value
  if (isJsonObject(error)) return error
  if (typeof error === 'string') return { message: error }
  return value['object'] === 'error' ? value : undefined
}

export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function numberOf(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isSafeInteger(value) ? value : undefined
}

function numberIn(pattern: RegExp, text: string): number | undefined {
  const digits = pattern.exec(text)?.[1]
  return digits === undefined ? undefined : numberOf(Number(digits))
}

/** `retry-after-ms`, or `retry-after` in seconds or as a date. */
export function retryAfterMsOf(
  headers: { readonly [name: string]: string | string[] | undefined },
  nowMs: number,
): number | undefined {
  const [ms, after] = [headers['retry-after-ms'], headers['retry-after']]
  const fromMs = typeof ms === 'string' ? Number(ms) : Number.NaN
  const fromSeconds = typeof after === 'string' ? Number(after) * 1_000 : Number.NaN
  const fromDate = typeof after === 'string' ? Date.parse(after) - nowMs : Number.NaN
  const found = [fromMs, fromSeconds, fromDate].find(value => Number.isFinite(value) && value >= 0)
  return found === undefined ? undefined : Math.min(Math.ceil(found), retryAfterMsMax)
}
