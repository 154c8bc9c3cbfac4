import { isJsonObject, type Json, type JsonObject } from '../std/json.ts'

/**
 * The key under which Anthropic's documentation wraps arguments that are no JSON object
 * ("fine-grained tool streaming"): a model cut off by `max_tokens` leaves half a JSON text, and a
 * client must see what it wrote.
 */
const invalidKey = 'INVALID_JSON'

/** A call's arguments as an object, for APIs that carry objects instead of JSON text. */
export function toolInput(argumentsText: string): JsonObject {
  if (argumentsText.trim() === '') return {}
  try {
    const value: unknown = JSON.parse(argumentsText)
    if (isJsonObject(value)) return value
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error
  }
  return { [invalidKey]: argumentsText }
}

/**
 * The neutral arguments of a call that a client sends back as an object: its compact JSON text,
 * which is what most models write and what clients of the OpenAI API send back. A model that wrote
 * blanks or `1.0` gets another text here than through an API that carries the text itself; only the
 * canonical form could hide that.
 */
export function toolArguments(input: Json): string {
  if (isJsonObject(input)) {
    const invalid = input[invalidKey]
    if (typeof invalid === 'string' && Object.keys(input).length === 1) return invalid
  }
  return JSON.stringify(input)
}
