import { z } from 'zod'
import type { ResponseFormat } from '../../../key/completion-request.ts'
import type { JsonObject } from '../../../std/json.ts'
import { defined, jsonObject, maybe, oneOf, parseAt } from '../../validate.ts'

const typedFormat = z.looseObject({
  type: oneOf(['text', 'json_object', 'json_schema']),
  /** llama-server takes a schema with `json_object`. */
  schema: maybe(jsonObject),
})
const schemaFields = z.looseObject({
  name: maybe(z.string()),
  description: maybe(z.string()),
  schema: maybe(jsonObject),
  strict: maybe(z.boolean()),
})

/**
 * `response_format` of chat/completions, and `text.format` of responses, where the schema's fields
 * are not nested.
 * @throws request_invalid
 */
export function parseResponseFormat(
  value: JsonObject | null | undefined,
  path: string,
  form: 'nested' | 'flat',
): ResponseFormat {
  if (value === undefined || value === null) return { type: 'text' }
  const { type, schema } = parseAt(typedFormat, value, path)
  if (type === 'json_object' && schema) return { type: 'json_schema', schema }
  if (type !== 'json_schema') return { type }
  return form === 'flat'
    ? schemaFormat(value, path)
    : schemaFormat(value['json_schema'], `${path}.json_schema`)
}

function schemaFormat(value: unknown, path: string): ResponseFormat {
  const { name, description, schema, strict } = parseAt(schemaFields, value, path)
  return {
    type: 'json_schema',
    // What the format is for belongs to the schema in every other API.
    schema: { ...defined({ description }), ...schema },
    ...defined({ name }),
    ...(strict === true ? { strict } : {}),
  }
}
