import { type ErrorCode, OperationError } from '../errors.ts'
import { isAbort } from '../std/signal.ts'

const statusOf: { readonly [code in ErrorCode]: number } = {
  aborted: 499,
  address_unavailable: 500,
  block_invalid: 500,
  body_too_large: 413,
  cache_miss: 504,
  coding_failed: 500,
  config_invalid: 500,
  context_length_exceeded: 400,
  data_folder_locked: 500,
  data_folder_unusable: 500,
  download_failed: 502,
  draining: 503,
  engine_busy: 429,
  engine_failed: 500,
  forbidden: 403,
  manifest_invalid: 500,
  method_not_allowed: 405,
  model_file_invalid: 500,
  model_not_found: 404,
  node_not_running: 503,
  not_found: 404,
  peer_failed: 502,
  peer_message_invalid: 502,
  peer_overloaded: 503,
  peer_timeout: 504,
  peer_unreachable: 503,
  receipt_invalid: 500,
  record_invalid: 500,
  request_invalid: 400,
  store_failed: 500,
  swarm_invite_invalid: 400,
  swarm_refused: 502,
  unauthorized: 401,
  unsupported: 400,
  upstream_failed: 502,
  upstream_timeout: 504,
  upstream_unreachable: 503,
}

/** The HTTP status of a failure: an upstream's own where it answered, else by the code. */
export function httpStatusOf(error: OperationError): number {
  return error.upstream?.status ?? statusOf[error.code]
}

/**
 * Any thrown value as an `OperationError`; what is not one is a defect of ours and says nothing to
 * the client.
 */
export function asOperationError(error: unknown): OperationError {
  if (error instanceof OperationError) return error
  if (isAbort(error)) {
    return new OperationError('aborted', 'The request was aborted', {
      origin: 'client',
      cause: error,
    })
  }
  return new OperationError(
    'engine_failed',
    'The node failed to answer this request; its log says why',
    {
      origin: 'self',
      cause: error,
    },
  )
}
