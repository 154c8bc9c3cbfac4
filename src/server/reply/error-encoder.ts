import { encodeError as encodeAnthropicError } from '../anthropic/errors.ts'
import { encodeError as encodeOllamaError } from '../ollama/errors.ts'
import { encodeError as encodeOpenaiError } from '../openai/errors.ts'
import type { ErrorEncoder } from '../wire-format.ts'

/** How errors at a path are told, whether there is an endpoint or not: as its API does. */
export function errorEncoderOf(path: string): ErrorEncoder {
  if (path.startsWith('/api/')) return encodeOllamaError
  return path.startsWith('/v1/messages') ? encodeAnthropicError : encodeOpenaiError
}
