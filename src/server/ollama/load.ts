import type { JsonObject } from '../../std/json.ts'

/**
 * `ollama run` and web interfaces load a model by a request without messages or prompt, and unload
 * it by one with `keep_alive: 0`. Models here are always loaded, so the reply is all there is to
 * do.
 *
 * @returns the name of the model that is to be loaded, or undefined for a real question
 */
export function modelToLoad(body: JsonObject, endpoint: 'chat' | 'generate'): string | undefined {
  const { model } = body
  const question = endpoint === 'chat' ? body['messages'] : body['prompt']
  const isEmpty =
    question === undefined || question === null || question === '' || isEmptyArray(question)
  return isEmpty && typeof model === 'string' ? model : undefined
}

/** One object, which is both a whole body and a stream of one line. */
export function encodeLoadReply(
  body: JsonObject,
  endpoint: 'chat' | 'generate',
  createdMs: number,
): string {
  const fields = {
    model: body['model'] ?? '',
    created_at: new Date(createdMs).toISOString(),
    ...(endpoint === 'chat' ? { message: { role: 'assistant', content: '' } } : { response: '' }),
    done: true,
    done_reason: body['keep_alive'] === 0 ? 'unload' : 'load',
  }
  return `${JSON.stringify(fields)}\n`
}

function isEmptyArray(value: unknown): boolean {
  return Array.isArray(value) && value.length === 0
}
