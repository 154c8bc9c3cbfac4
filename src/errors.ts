/** Who caused a failure: decides the HTTP status, the penalty of a peer and the alert. */
export type Origin = 'client' | 'self' | 'engine' | 'upstream' | 'store' | 'peer'

/**
 * Every code that can leave a part. Documented in docs/errors.md; a test asserts that both lists
 * agree.
 */
export type ErrorCode =
  | 'aborted'
  | 'address_unavailable'
  | 'block_invalid'
  | 'body_too_large'
  | 'cache_miss'
  | 'coding_failed'
  | 'config_invalid'
  | 'context_length_exceeded'
  | 'data_folder_locked'
  | 'data_folder_unusable'
  | 'download_failed'
  | 'draining'
  | 'engine_busy'
  | 'engine_failed'
  | 'forbidden'
  | 'manifest_invalid'
  | 'method_not_allowed'
  | 'model_file_invalid'
  | 'model_not_found'
  | 'node_not_running'
  | 'not_found'
  | 'peer_failed'
  | 'peer_message_invalid'
  | 'peer_overloaded'
  | 'peer_timeout'
  | 'peer_unreachable'
  | 'receipt_invalid'
  | 'record_invalid'
  | 'request_invalid'
  | 'store_failed'
  | 'swarm_invite_invalid'
  | 'swarm_refused'
  | 'unauthorized'
  | 'unsupported'
  | 'upstream_failed'
  | 'upstream_timeout'
  | 'upstream_unreachable'

export interface OperationErrorOptions {
  readonly origin: Origin
  readonly retryable?: boolean
  readonly cause?: unknown
  /** The request field that is wrong, as a path: `messages[2].content`. */
  readonly field?: string
  /** When to try again. */
  readonly retryAfterMs?: number
  /** What an upstream said, kept for clients of the same API. */
  readonly upstream?: {
    readonly status: number
    readonly contentType: string
    readonly body: string
  }
}

/**
 * The world is wrong: something outside this process's control could not be done. Match on `code`.
 */
export class OperationError extends Error {
  override readonly name = 'OperationError'
  readonly code: ErrorCode
  readonly origin: Origin
  readonly retryable: boolean
  readonly field: string | undefined
  readonly retryAfterMs: number | undefined
  readonly upstream: OperationErrorOptions['upstream']

  constructor(code: ErrorCode, message: string, options: OperationErrorOptions) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.origin = options.origin
    this.retryable = options.retryable ?? false
    this.field = options.field
    this.retryAfterMs = options.retryAfterMs
    this.upstream = options.upstream
  }
}

/** The client's request is wrong in one field. The message says what is allowed. */
export function requestInvalid(field: string, message: string): OperationError {
  return new OperationError('request_invalid', message, { origin: 'client', field })
}

export function contextLengthExceeded(promptTokens: number, contextTokens: number): OperationError {
  return new OperationError(
    'context_length_exceeded',
    `This model's context holds ${contextTokens} tokens, but the prompt has ${promptTokens}. ` +
      'Shorten the messages or the tools, or start the node with a larger --context',
    { origin: 'client', field: 'messages' },
  )
}

export function modelNotFound(name: string, available: readonly string[]): OperationError {
  const list = available.length === 0 ? 'none' : available.join(', ')
  return new OperationError('model_not_found', `No model '${name}' here. Available: ${list}`, {
    origin: 'client',
    field: 'model',
  })
}
