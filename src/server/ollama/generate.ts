import { z } from 'zod'
import { OperationError } from '../../errors.ts'
import { type CompletionRequest, emptyRequest } from '../../key/completion-request.ts'
import type { JsonObject } from '../../std/json.ts'
import { anyJson, fieldNames, maybe, parseBody } from '../validate.ts'
import type { ParsedRequest, WireFormat } from '../wire-format.ts'
import { encodersOf } from './encode.ts'
import { parseImages } from './parse-images.ts'
import { parseCommon } from './parse-options.ts'

const generateSchema = z.looseObject({
  prompt: z.string().min(1),
  system: maybe(z.string()),
  suffix: maybe(z.string()),
  images: maybe(z.array(z.string())),
  raw: maybe(z.boolean()),
  template: anyJson,
  context: anyJson,
})
const generateFields = fieldNames(generateSchema)
type Body = z.infer<typeof generateSchema>

/**
 * Ollama's `/api/generate`: one question as a chat, or with `raw` or `suffix` a text to be
 * continued.
 */
export const ollamaGenerate: WireFormat = {
  api: 'ollama_generate',
  parse: parseGenerate,
  ...encodersOf(({ text, thinking, toolCalls }) => ({
    response: text,
    ...(thinking === '' ? {} : { thinking }),
    ...(toolCalls.length === 0 ? {} : { tool_calls: toolCalls }),
  })),
}

function parseGenerate(body: JsonObject): ParsedRequest {
  const { request, stream } = parseCommon(body, generateFields)
  const fields = parseBody(generateSchema, body)
  assertSupported(fields)
  const question = isText(fields) ? textOf(fields) : chatOf(fields)
  return {
    request: { ...emptyRequest, ...request, ...question },
    stream,
    variant: '',
    warnings: [],
  }
}

function isText(fields: Body): boolean {
  return fields.raw === true || Boolean(fields.suffix)
}

function textOf({ prompt, suffix }: Body): Pick<CompletionRequest, 'kind' | 'prompt' | 'suffix'> {
  return { kind: 'text', prompt, ...(suffix ? { suffix } : {}) }
}

function chatOf({ prompt, system, images }: Body): Pick<CompletionRequest, 'kind' | 'messages'> {
  const content = [{ type: 'text', text: prompt } as const, ...parseImages(images ?? [], 'images')]
  return {
    kind: 'chat',
    messages: [
      ...(system ? [{ role: 'system', content: [{ type: 'text', text: system }] } as const] : []),
      { role: 'user', content },
    ],
  }
}

/** @throws unsupported naming the field */
function assertSupported(fields: Body): void {
  if (isGiven(fields.template)) {
    throw unsupported(
      'template',
      "the model's own chat template is used; send a ready prompt with 'raw'",
    )
  }
  if (isGiven(fields.context)) {
    throw unsupported('context', "send the conversation as 'messages' to /api/chat")
  }
  if (!isText(fields)) return
  if (fields.system) throw unsupported('system', 'a text to be continued has no system prompt')
  if (isGiven(fields.images)) throw unsupported('images', 'a text to be continued has no images')
}

function isGiven(value: unknown): boolean {
  if (value === undefined || value === null || value === '') return false
  return !Array.isArray(value) || value.length > 0
}

function unsupported(field: string, instead: string): OperationError {
  return new OperationError('unsupported', `'${field}' is not supported: ${instead}`, {
    origin: 'client',
    field,
  })
}
