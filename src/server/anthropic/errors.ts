import type { OperationError } from '../../errors.ts'
import { errorMessage } from '../error-message.ts'

/**
 * `{ type: 'error', error: { type, message, details }, request_id }`, as bodies and as mid-stream
 * `error` events.
 */
export function encodeError(error: OperationError, status: number, requestId: string): string {
  return JSON.stringify({
    type: 'error',
    error: {
      type: errorType(status),
      message: errorMessage(error),
      // Since version 1 the SDK shows this code, which says more than the type.
      details: { error_code: error.code },
    },
    request_id: requestId,
  })
}

/** The SDK maps the status to a class of its own; the type is for people and for other clients. */
function errorType(status: number): string {
  const known = typeOfStatus[status]
  if (known !== undefined) return known
  return status >= 400 && status < 500 ? 'invalid_request_error' : 'api_error'
}

const typeOfStatus: { readonly [status: number]: string } = {
  401: 'authentication_error',
  402: 'billing_error',
  403: 'permission_error',
  404: 'not_found_error',
  408: 'timeout_error',
  409: 'conflict_error',
  413: 'request_too_large',
  429: 'rate_limit_error',
  503: 'overloaded_error',
  504: 'timeout_error',
  529: 'overloaded_error',
}
