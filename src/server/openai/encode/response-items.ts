import type { Choice, FinishReason, TextKind, TokenLogprob } from '../../../interface/generation.ts'
import type { ToolCall } from '../../../key/completion-request.ts'
import type { JsonObject } from '../../../std/json.ts'
import { logprobObjects } from './usage.ts'

export type ItemStatus = 'in_progress' | 'completed' | 'incomplete'

/** Visible text and refusals are the parts of a message; reasoning is an item of its own. */
export interface TextItem {
  readonly kind: 'message' | 'reasoning'
  readonly parts: TextPart[]
}

export interface TextPart {
  readonly type: TextKind
  readonly pieces: string[]
  readonly logprobs: TokenLogprob[]
}

/**
 * The items of a finished choice: each run of message text or reasoning is one item, each call
 * another.
 */
export function outputItems(choice: Choice, responseId: string): readonly JsonObject[] {
  const items: (TextItem | ToolCall)[] = []
  let logprobs = choice.logprobs
  for (const part of choice.parts) {
    if (part.type === 'tool-call') {
      items.push(part)
      continue
    }
    if (part.text === '') continue
    const textPart = partFor(part.type, items)
    textPart.pieces.push(part.text)
    if (part.type !== 'text' || logprobs === undefined) continue
    textPart.logprobs.push(...logprobs)
    logprobs = undefined
  }
  return items.map((item, index) => {
    const status = statusAtEnd(index === items.length - 1, choice.finish)
    return 'parts' in item
      ? textItemObject(item, itemId(item.kind, responseId, index), status)
      : callItemObject(item, itemId('call', responseId, index), status)
  })
}

/** The part that text of this kind goes on in: the last one, or a new one. */
function partFor(type: TextKind, items: (TextItem | ToolCall)[]): TextPart {
  const kind = itemKindOf(type)
  let item = items.at(-1)
  if (item === undefined || !('parts' in item) || item.kind !== kind) {
    item = { kind, parts: [] }
    items.push(item)
  }
  const last = item.parts.at(-1)
  if (last?.type === type) return last
  const part: TextPart = { type, pieces: [], logprobs: [] }
  item.parts.push(part)
  return part
}

export function itemKindOf(type: TextKind): TextItem['kind'] {
  return type === 'reasoning' ? 'reasoning' : 'message'
}

/** Only the item that the model was in the middle of is incomplete. */
export function statusAtEnd(isLast: boolean, finish: FinishReason): ItemStatus {
  return isLast && incompleteReason(finish) !== undefined ? 'incomplete' : 'completed'
}

export function incompleteReason(finish: FinishReason): string | undefined {
  if (finish === 'length') return 'max_output_tokens'
  return finish === 'content_filter' ? finish : undefined
}

const idPrefixes = { message: 'msg_', reasoning: 'rs_', call: 'fc_' } as const

/** Derived from the response's id, so that a replay has the ids of the original. */
export function itemId(
  kind: keyof typeof idPrefixes,
  responseId: string,
  outputIndex: number,
): string {
  return `${idPrefixes[kind]}${responseId}${outputIndex.toString(16).padStart(4, '0')}`
}

export function textItemObject(item: TextItem, id: string, status: ItemStatus): JsonObject {
  const content = item.parts.map(partObject)
  return item.kind === 'message'
    ? { id, type: 'message', status, role: 'assistant', content }
    : { id, type: 'reasoning', status, summary: [], content }
}

export function callItemObject(call: ToolCall, id: string, status: ItemStatus): JsonObject {
  const { id: call_id, name, arguments: text } = call
  return { id, type: 'function_call', status, call_id, name, arguments: text }
}

export function partObject({ type, pieces, logprobs }: TextPart): JsonObject {
  const text = pieces.join('')
  if (type === 'reasoning') return { type: 'reasoning_text', text }
  if (type === 'refusal') return { type: 'refusal', refusal: text }
  return { type: 'output_text', text, annotations: [], logprobs: logprobObjects(logprobs) }
}
