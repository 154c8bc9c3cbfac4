import { z } from 'zod'
import type { ContentPart, Message, ToolCall } from '../../key/completion-request.ts'
import type { JsonObject } from '../../std/json.ts'
import { toolArguments } from '../tool-input.ts'
import { anyJson, jsonObject, maybe, omit, parseAt, refuse } from '../validate.ts'
import type { Breakpoints } from './cache-control.ts'

/** Text or content blocks, as `system`, messages and tool results carry it. */
export type BlockContent = string | readonly JsonObject[]
export const blockContent: z.ZodType<BlockContent> = z.union([z.string(), z.array(jsonObject)])

/**
 * Cache breakpoints say what is worth keeping, not what the model reads: never part of a request's
 * meaning.
 */
export const cacheFields: ReadonlySet<string> = new Set(['cache_control'])

/**
 * Claude Code writes a block with its version, and in some versions a hash that differs per
 * request, in front.
 */
const billingPrefix = 'x-anthropic-billing-header:'

const typed = z.looseObject({ type: z.string() })
const textBlock = z.looseObject({ text: z.string() })
const thinkingBlock = z.looseObject({ thinking: z.string() })
const toolUseBlock = z.looseObject({ id: z.string(), name: z.string(), input: anyJson })
const toolResultBlock = z.looseObject({
  tool_use_id: z.string(),
  content: maybe(blockContent),
  is_error: maybe(z.boolean()),
})
const imageBlock = z.looseObject({ source: typed })
const base64Source = z.looseObject({ media_type: z.string(), data: z.string() })
const urlSource = z.looseObject({ url: z.string() })

/**
 * The system prompt as a message; none where nothing but billing blocks is in it.
 * @throws request_invalid for blocks that are not text
 */
export function parseSystem(
  content: BlockContent,
  path: string,
  breakpoints: Breakpoints,
): readonly Message[] {
  const parts: ContentPart[] = []
  for (const { block, type, at } of blocksOf(content, path)) {
    if (type !== 'text') refuse(`${at}.type`, "'text'", type)
    const { text } = parseAt(textBlock, block, at)
    const part = breakpoints.read({ type: 'text', text } as const, block, at)
    if (!text.startsWith(billingPrefix)) parts.push(part)
  }
  const isEmpty = parts.every(part => part.type === 'text' && part.text === '')
  return isEmpty ? [] : [{ role: 'system', content: parts }]
}

/**
 * A turn of the client: tool results become `tool` messages, in order, and what stands between them
 * `user` ones.
 */
export function parseUserTurn(
  content: BlockContent,
  path: string,
  breakpoints: Breakpoints,
): readonly Message[] {
  const messages: Message[] = []
  let parts: ContentPart[] = []
  const flush = (): void => {
    if (parts.length > 0) messages.push({ role: 'user', content: parts })
    parts = []
  }
  for (const { block, type, at } of blocksOf(content, path)) {
    if (type === 'tool_use') refuse(`${at}.type`, 'a block of an assistant message', block)
    if (type === 'tool_result') {
      flush()
      messages.push(breakpoints.read(parseToolResult(block, at, breakpoints), block, at))
    } else {
      parts.push(breakpoints.read(parsePart(block, type, at), block, at))
    }
  }
  flush()
  return messages
}

/**
 * A turn of the model. What a block carries beside its content (`citations`, `caller` …) no
 * template renders.
 */
export function parseAssistantTurn(
  content: BlockContent,
  path: string,
  breakpoints: Breakpoints,
): Message {
  let isMarked = false
  const parts: ContentPart[] = []
  const toolCalls: ToolCall[] = []
  const thoughts: string[] = []
  for (const { block, type, at } of blocksOf(content, path)) {
    switch (type) {
      case 'tool_use': {
        const { id, name, input } = parseAt(toolUseBlock, block, at)
        toolCalls.push({ id, name, arguments: toolArguments(input ?? {}) })
        // Templates tell a turn's calls in one place: behind one is behind all.
        isMarked = breakpoints.at(block, at) || isMarked
        break
      }
      case 'thinking':
        thoughts.push(parseAt(thinkingBlock, block, at).thinking)
        break
      case 'redacted_thinking':
        // Encrypted for Anthropic's own models: nothing here could read it.
        break
      case 'tool_result':
        refuse(`${at}.type`, 'a block of a user message', block)
        break
      default:
        parts.push(breakpoints.read(parsePart(block, type, at), block, at))
    }
  }
  const reasoning = thoughts.join('')
  const turn: Message = {
    role: 'assistant',
    content: parts,
    ...(toolCalls.length === 0 ? {} : { toolCalls }),
    ...(reasoning === '' ? {} : { reasoning }),
  }
  if (isMarked) breakpoints.mark(turn)
  return turn
}

function parseToolResult(block: JsonObject, path: string, breakpoints: Breakpoints): Message {
  const result = parseAt(toolResultBlock, block, path)
  const content = blocksOf(result.content ?? [], `${path}.content`).map(inner =>
    breakpoints.read(parsePart(inner.block, inner.type, inner.at), inner.block, inner.at),
  )
  return {
    role: 'tool',
    content: result.is_error === true ? withErrorNotice(content) : content,
    toolCallId: result.tool_use_id,
  }
}

/**
 * Chat templates know no error flag, but the model must learn that the call failed; most clients
 * say it in the text.
 */
function withErrorNotice(content: readonly ContentPart[]): readonly ContentPart[] {
  const saysSo = content.some(part => part.type === 'text' && /error/i.test(part.text))
  return saysSo ? content : [{ type: 'text', text: 'Error:' }, ...content]
}

function parsePart(block: JsonObject, type: string, path: string): ContentPart {
  if (type === 'text') return { type: 'text', text: parseAt(textBlock, block, path).text }
  if (type === 'image') return parseImage(block, path)
  return { type: 'other', value: omit(block, cacheFields) }
}

function parseImage(block: JsonObject, path: string): ContentPart {
  const { source } = parseAt(imageBlock, block, path)
  if (source.type === 'url') {
    return { type: 'image', url: parseAt(urlSource, source, `${path}.source`).url }
  }
  if (source.type === 'base64') {
    const { media_type, data } = parseAt(base64Source, source, `${path}.source`)
    return { type: 'image', url: `data:${media_type};base64,${data}` }
  }
  // A file in Anthropic's storage.
  return { type: 'other', value: omit(block, cacheFields) }
}

interface LocatedBlock {
  readonly block: JsonObject
  readonly type: string
  /** Where it stands in the body. */
  readonly at: string
}

function blocksOf(content: BlockContent, path: string): readonly LocatedBlock[] {
  if (typeof content === 'string') {
    // An empty text is nothing, as in the other APIs.
    if (content === '') return []
    return [{ block: { type: 'text', text: content }, type: 'text', at: path }]
  }
  return content.map((block, index) => {
    const at = `${path}[${index}]`
    return { block, type: parseAt(typed, block, at).type, at }
  })
}
