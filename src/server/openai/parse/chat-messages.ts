import { z } from 'zod'
import type { ContentPart, Message, ToolCall } from '../../../key/completion-request.ts'
import type { JsonObject } from '../../../std/json.ts'
import {
  anyJson,
  defined,
  fieldNames,
  jsonObject,
  maybe,
  oneOf,
  parseAt,
  refuse,
} from '../../validate.ts'
import type { Breakpoints } from './cache-hints.ts'
import { withoutCacheMarks } from './fields.ts'
import type { Warnings } from './warnings.ts'

const content = z.union([z.string(), z.array(jsonObject)])
const messageSchema = z.looseObject({
  role: oneOf(['system', 'developer', 'user', 'assistant', 'tool', 'function']),
  content: maybe(content),
  name: maybe(z.string()),
  tool_calls: maybe(z.array(jsonObject)),
  tool_call_id: maybe(z.string()),
  function_call: maybe(z.looseObject({ name: z.string(), arguments: maybe(z.string()) })),
  refusal: maybe(z.string()),
  audio: maybe(jsonObject),
  // Local engines' word for the thoughts before an answer, and the newer one of vLLM.
  reasoning_content: maybe(z.string()),
  reasoning: maybe(z.string()),
  // Come back with what a client got from us, and say nothing to the model.
  annotations: anyJson,
  id: anyJson,
  status: anyJson,
  cache_control: anyJson,
  prompt_cache_breakpoint: anyJson,
})
const messageNames = fieldNames(messageSchema)
type ChatMessage = z.infer<typeof messageSchema>

/** @throws request_invalid naming the message's field */
export function parseMessages(
  values: readonly JsonObject[],
  warnings: Warnings,
  breakpoints: Breakpoints,
): readonly Message[] {
  let legacyCallId = ''
  return values.map((value, index) => {
    const path = `messages[${index}]`
    const message = parseAt(messageSchema, value, path)
    warnings.ignoreUnknown('messages[]', value, messageNames)
    // The legacy form has no ids: a result belongs to the call before it.
    const isLegacyCall = message.role === 'assistant' && message.function_call
    if (isLegacyCall) legacyCallId = `call_${index}`
    return breakpoints.read(parseMessage(message, { path, legacyCallId, breakpoints }), value, path)
  })
}

interface MessagePlace {
  readonly path: string
  readonly legacyCallId: string
  readonly breakpoints: Breakpoints
}

function parseMessage(message: ChatMessage, place: MessagePlace): Message {
  switch (message.role) {
    case 'assistant':
      return assistantMessage(message, place)
    case 'tool':
      return toolMessage(message, place)
    case 'function':
      return { ...plainMessage('tool', message, place), toolCallId: place.legacyCallId }
    default:
      return plainMessage(message.role, message, place)
  }
}

function plainMessage(
  role: Message['role'],
  message: ChatMessage,
  { path, breakpoints }: MessagePlace,
): Message {
  if (message.content === undefined || message.content === null) {
    refuse(`${path}.content`, 'a string or an array', message.content)
  }
  return {
    role,
    content: parseContent(message.content, `${path}.content`, breakpoints),
    ...defined({ name: message.name }),
  }
}

function toolMessage(message: ChatMessage, place: MessagePlace): Message {
  if (typeof message.tool_call_id !== 'string') {
    refuse(`${place.path}.tool_call_id`, 'a string', message.tool_call_id)
  }
  return { ...plainMessage('tool', message, place), toolCallId: message.tool_call_id }
}

function assistantMessage(message: ChatMessage, place: MessagePlace): Message {
  const { path, legacyCallId, breakpoints } = place
  const parts = [...parseContent(message.content ?? '', `${path}.content`, breakpoints)]
  if (message.refusal) parts.push({ type: 'text', text: message.refusal })
  if (message.audio) parts.push({ type: 'other', value: { type: 'audio', audio: message.audio } })
  const toolCalls = (message.tool_calls ?? []).map((call, index) =>
    parseToolCall(call, `${path}.tool_calls[${index}]`),
  )
  if (message.function_call) {
    const { name, arguments: text } = message.function_call
    toolCalls.push({ id: legacyCallId, name, arguments: text ?? '' })
  }
  const reasoning = message.reasoning_content ?? message.reasoning ?? ''
  return {
    role: 'assistant',
    content: parts,
    ...defined({ name: message.name }),
    ...(toolCalls.length === 0 ? {} : { toolCalls }),
    ...(reasoning === '' ? {} : { reasoning }),
  }
}

const functionCall = z.looseObject({
  id: z.string(),
  function: z.looseObject({ name: z.string(), arguments: maybe(z.string()) }),
})
const customCall = z.looseObject({
  id: z.string(),
  custom: z.looseObject({ name: z.string(), input: z.string() }),
})

function parseToolCall(value: JsonObject, path: string): ToolCall {
  if (value['type'] === 'custom') {
    const { id, custom } = parseAt(customCall, value, path)
    return { id, name: custom.name, arguments: custom.input }
  }
  const { id, function: call } = parseAt(functionCall, value, path)
  return { id, name: call.name, arguments: call.arguments ?? '' }
}

/** A string is one text part; an empty one is nothing, as null is. */
function parseContent(
  value: string | readonly JsonObject[],
  path: string,
  breakpoints: Breakpoints,
): readonly ContentPart[] {
  if (typeof value === 'string') return value === '' ? [] : [{ type: 'text', text: value }]
  return value.map((part, index) => {
    const at = `${path}[${index}]`
    return breakpoints.read(parsePart(part, at), part, at)
  })
}

const typedPart = z.looseObject({ type: z.string() })
const textPart = z.looseObject({ text: z.string() })
const refusalPart = z.looseObject({ refusal: z.string() })
const imagePart = z.looseObject({
  image_url: z.union([z.string(), z.looseObject({ url: z.string(), detail: maybe(z.string()) })]),
})

function parsePart(value: JsonObject, path: string): ContentPart {
  switch (parseAt(typedPart, value, path).type) {
    case 'text':
      return { type: 'text', text: parseAt(textPart, value, path).text }
    case 'refusal':
      return { type: 'text', text: parseAt(refusalPart, value, path).refusal }
    case 'image_url': {
      const image = parseAt(imagePart, value, path).image_url
      return typeof image === 'string' ? imageOf(image) : imageOf(image.url, image.detail)
    }
    default:
      return { type: 'other', value: withoutCacheMarks(value) }
  }
}

/** An image part; `auto` is what an absent detail means. */
export function imageOf(url: string, detail?: string | null): ContentPart {
  if (detail === undefined || detail === null || detail === 'auto') return { type: 'image', url }
  return { type: 'image', url, detail }
}
