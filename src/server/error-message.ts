import type { OperationError } from '../errors.ts'
import { errorObject } from './openai/errors.ts'

/**
 * What went wrong, for APIs other than the upstream's: its own words where it said some, without
 * their wrapping.
 */
export function errorMessage(error: OperationError): string {
  const { message } = errorObject(error)
  return typeof message === 'string' ? message : error.message
}
