import { OperationError } from '../../../errors.ts'
import { isAbort } from '../../../std/signal.ts'
import type { ErrorMessage } from './engine-messages.ts'

/** An error as a message: structured clones of errors lose their class and their fields. */
export function errorMessageOf(error: unknown): ErrorMessage {
  const stack = stackOf(error)
  if (error instanceof OperationError) {
    const { code, message, origin, retryable, field, retryAfterMs } = error
    return { code, message, origin, retryable, field, retryAfterMs, stack }
  }
  const code = isAbort(error) ? 'aborted' : 'engine_failed'
  const message = isAbort(error)
    ? 'The call was cancelled'
    : 'The engine failed in a way that it does not know'
  const nothing = { field: undefined, retryAfterMs: undefined }
  return { code, message, origin: 'engine', retryable: false, ...nothing, stack }
}

/** The error that a message tells of; its cause holds the stack of the other process. */
export function errorOf(told: ErrorMessage): OperationError {
  const { code, message, origin, retryable, field, retryAfterMs, stack } = told
  const cause = new Error('In the engine process')
  cause.stack = stack
  return new OperationError(code, message, {
    origin,
    retryable,
    cause,
    ...(field === undefined ? {} : { field }),
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  })
}

function stackOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const own = error.stack ?? `${error.name}: ${error.message}`
  return error.cause === undefined ? own : `${own}\nCaused by: ${stackOf(error.cause)}`
}
