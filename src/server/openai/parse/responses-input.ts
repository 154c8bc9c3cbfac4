import { z } from 'zod'
import type { OperationError } from '../../../errors.ts'
import type { ContentPart, Message, ToolCall } from '../../../key/completion-request.ts'
import type { JsonObject } from '../../../std/json.ts'
import { anyJson, fieldNames, jsonObject, maybe, oneOf, parseAt } from '../../validate.ts'
import type { Breakpoints } from './cache-hints.ts'
import { imageOf } from './chat-messages.ts'
import { unsupported, withoutCacheMarks } from './fields.ts'
import type { Warnings } from './warnings.ts'

/** What agents vary or what says nothing to the model: left out wherever it stands. */
const bookkeeping = {
  type: anyJson,
  id: anyJson,
  status: anyJson,
  phase: anyJson,
  caller: anyJson,
  async: anyJson,
  cache_control: anyJson,
  prompt_cache_breakpoint: anyJson,
}
const content = z.union([z.string(), z.array(jsonObject)])
const itemHead = z.looseObject({ type: maybe(z.string()), role: maybe(z.string()) })
const messageItem = z.looseObject({
  ...bookkeeping,
  role: oneOf(['system', 'developer', 'user', 'assistant']),
  content,
})
const callItem = z.looseObject({ ...bookkeeping, call_id: z.string(), name: z.string() })
const functionCallItem = callItem.extend({ arguments: z.string() })
const customCallItem = callItem.extend({ input: z.string() })
const resultItem = z.looseObject({
  ...bookkeeping,
  call_id: z.string(),
  name: anyJson,
  output: content,
})
const namesOf = {
  message: fieldNames(messageItem),
  function_call: fieldNames(functionCallItem),
  custom_tool_call: fieldNames(customCallItem),
  function_call_output: fieldNames(resultItem),
  custom_tool_call_output: fieldNames(resultItem),
}
const reasoningItem = z.looseObject({
  summary: maybe(z.array(z.looseObject({ text: z.string() }))),
  content: maybe(z.array(z.looseObject({ text: z.string() }))),
  encrypted_content: maybe(z.string()),
})

/**
 * The conversation that a list of items tells. The items that make up one turn of the model
 * (reasoning, message, calls) become one assistant message, as chat/completions tells it.
 * @throws request_invalid naming the item's field, and unsupported for items that only OpenAI's
 * servers can read
 */
export function parseInput(items: readonly JsonObject[], notes: InputNotes): readonly Message[] {
  const conversation = new Conversation()
  for (const [index, item] of items.entries()) {
    addItem(conversation, item, `input[${index}]`, notes)
  }
  return conversation.close()
}

/** What is gathered beside the conversation. */
export interface InputNotes {
  readonly warnings: Warnings
  readonly breakpoints: Breakpoints
}

function addItem(
  conversation: Conversation,
  item: JsonObject,
  path: string,
  { warnings, breakpoints }: InputNotes,
): void {
  const head = parseAt(itemHead, item, path)
  const type = head.type ?? (typeof head.role === 'string' ? 'message' : 'item_reference')
  switch (type) {
    case 'message':
      addMessage(conversation, item, path, breakpoints)
      break
    case 'function_call': {
      const call = parseAt(functionCallItem, item, path)
      conversation.addCall({ id: call.call_id, name: call.name, arguments: call.arguments })
      break
    }
    case 'custom_tool_call': {
      const call = parseAt(customCallItem, item, path)
      conversation.addCall({ id: call.call_id, name: call.name, arguments: call.input })
      break
    }
    case 'function_call_output':
    case 'custom_tool_call_output': {
      const { call_id, output } = parseAt(resultItem, item, path)
      const parts = parseContent(output, `${path}.output`, breakpoints)
      conversation.addMessage({ role: 'tool', content: parts, toolCallId: call_id })
      break
    }
    case 'reasoning':
      conversation.addReasoning(reasoningText(item, path))
      return
    default:
      throw unreadableItem(type, path)
  }
  warnings.ignoreUnknown('input[]', item, namesOf[type])
}

function addMessage(
  conversation: Conversation,
  item: JsonObject,
  path: string,
  breakpoints: Breakpoints,
): void {
  const message = parseAt(messageItem, item, path)
  const parts = parseContent(message.content, `${path}.content`, breakpoints)
  if (message.role === 'assistant') conversation.addAnswer(parts)
  else conversation.addMessage({ role: message.role, content: parts })
}

function unreadableItem(type: string, path: string): OperationError {
  if (type === 'item_reference') {
    return unsupported(
      path,
      `'${path}' refers to a stored item, but this node stores no conversations. ` +
        'Send the whole item',
    )
  }
  return unsupported(
    `${path}.type`,
    `'${path}' is an item of a kind that only OpenAI's servers can read. Leave it out, or send a ` +
      'message, function_call, function_call_output, custom_tool_call, custom_tool_call_output ' +
      'or reasoning item',
  )
}

/**
 * The reasoning itself where it is there, else its summary. `encrypted_content` is a text that only
 * OpenAI can read: no model here sees it, so it changes no answer and is in no key.
 */
function reasoningText(item: JsonObject, path: string): string {
  const { content: thoughts, summary } = parseAt(reasoningItem, item, path)
  const texts = thoughts && thoughts.length > 0 ? thoughts : (summary ?? [])
  return texts.map(part => part.text).join('\n\n')
}

const typedPart = z.looseObject({ type: z.string() })
const textPart = z.looseObject({ text: z.string() })
const refusalPart = z.looseObject({ refusal: z.string() })
const imagePart = z.looseObject({ image_url: maybe(z.string()), detail: maybe(z.string()) })

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

function parsePart(value: JsonObject, path: string): ContentPart {
  switch (parseAt(typedPart, value, path).type) {
    case 'input_text':
    case 'output_text':
    case 'text':
      return { type: 'text', text: parseAt(textPart, value, path).text }
    case 'refusal':
      return { type: 'text', text: parseAt(refusalPart, value, path).refusal }
    case 'input_image': {
      const { image_url, detail } = parseAt(imagePart, value, path)
      if (typeof image_url === 'string') return imageOf(image_url, detail)
      throw unsupported(
        path,
        `'${path}' refers to a stored file, but this node stores none. ` +
          "Send the image as 'image_url'",
      )
    }
    default:
      return { type: 'other', value: withoutCacheMarks(value) }
  }
}

/**
 * Puts the items of one turn together. A turn is told as reasoning, then the message, then its
 * calls.
 */
class Conversation {
  readonly #messages: Message[] = []
  #thoughts: string[] = []
  #answer: readonly ContentPart[] | undefined
  #calls: ToolCall[] = []

  addMessage(message: Message): void {
    this.#endTurn()
    this.#messages.push(message)
  }

  addReasoning(text: string): void {
    if (text === '') return
    if (this.#answer !== undefined || this.#calls.length > 0) this.#endTurn()
    this.#thoughts.push(text)
  }

  addAnswer(content: readonly ContentPart[]): void {
    if (this.#answer !== undefined || this.#calls.length > 0) this.#endTurn()
    this.#answer = content
  }

  addCall(call: ToolCall): void {
    this.#calls.push(call)
  }

  close(): readonly Message[] {
    this.#endTurn()
    return this.#messages
  }

  #endTurn(): void {
    const thoughts = this.#thoughts.join('\n\n')
    if (this.#answer === undefined && this.#calls.length === 0 && thoughts === '') return
    this.#messages.push({
      role: 'assistant',
      content: this.#answer ?? [],
      ...(this.#calls.length === 0 ? {} : { toolCalls: this.#calls }),
      ...(thoughts === '' ? {} : { reasoning: thoughts }),
    })
    this.#thoughts = []
    this.#answer = undefined
    this.#calls = []
  }
}
