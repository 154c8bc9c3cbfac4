import type { OperationError } from '../../errors.ts'
import { errorMessage } from '../error-message.ts'

/** Ollama's clients expect a plain string: an object would be printed as `[object Object]`. */
export function encodeError(error: OperationError): string {
  return JSON.stringify({ error: errorMessage(error) })
}
