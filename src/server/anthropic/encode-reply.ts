import type { Choice, Completion, FinishReason, Usage } from '../../interface/generation.ts'
import type { Json, JsonObject } from '../../std/json.ts'
import { messageDiagnostics } from '../prompt-cache/diagnostics.ts'
import { promptShares } from '../prompt-cache/prompt-shares.ts'
import { toolInput } from '../tool-input.ts'
import type { ReplyContext } from '../wire-format.ts'

/** `ParsedRequest.variant` of a request whose `thinking.display` is `omitted`. */
export const thinkingOmitted = 'thinking=omitted'

/** The body of a reply to `/v1/messages`. */
export function encodeReply(completion: Completion, context: ReplyContext): string {
  const [choice] = completion.choices
  if (choice === undefined) throw new TypeError('A completion has at least one choice')
  return JSON.stringify({
    ...messageHead(context),
    diagnostics: messageDiagnostics(context, completion.usage.cachedTokens),
    content: contentBlocks(choice, context),
    ...stopFields({
      reason: choice.finish,
      stopSequence: choice.stopSequence,
      hasToolCalls: choice.parts.some(part => part.type === 'tool-call'),
      hasRefusal: choice.parts.some(part => part.type === 'refusal' && part.text !== ''),
    }),
    usage: messageUsage(completion.usage, context),
  })
}

/** What the body and `message_start` have in common. */
export function messageHead(context: ReplyContext): JsonObject {
  return {
    id: `msg_${context.id}`,
    type: 'message',
    role: 'assistant',
    model: context.parsed.request.model,
  }
}

type ContentBlock =
  | { readonly type: 'tool_use'; readonly id: string; readonly name: string; readonly input: Json }
  | { readonly type: 'thinking'; thinking: string; readonly signature: string }
  | { readonly type: 'text'; text: string }

/** The same blocks as in a stream: neighbours of one type are one block, and none is empty. */
function contentBlocks(choice: Choice, context: ReplyContext): readonly ContentBlock[] {
  const blocks: ContentBlock[] = []
  for (const part of choice.parts) {
    const last = blocks.at(-1)
    if (part.type === 'tool-call') {
      const input = toolInput(part.arguments)
      blocks.push({ type: 'tool_use', id: part.id, name: part.name, input })
    } else if (part.text === '') {
      // The API refuses to read back a block without text, so none is made.
    } else if (part.type !== 'reasoning') {
      if (last?.type === 'text') last.text += part.text
      else blocks.push({ type: 'text', text: part.text })
    } else if (context.parsed.variant !== thinkingOmitted) {
      if (last?.type === 'thinking') last.thinking += part.text
      // Only Anthropic can sign its models' thinking; the field is required, and clients send it
      // back as it is.
      else blocks.push({ type: 'thinking', thinking: part.text, signature: '' })
    }
  }
  return blocks
}

/** `usage` of a message: it tells what was written by lifetime, which `message_delta` does not. */
export function messageUsage(usage: Usage, context: ReplyContext): JsonObject {
  const { writtenTokens } = promptShares(usage, context.isHit)
  const { keepSeconds = 0 } = context.parsed.request.cache ?? {}
  const isLong = keepSeconds >= 3_600
  return {
    ...usageFields(usage, context.isHit),
    cache_creation: {
      ephemeral_5m_input_tokens: isLong ? 0 : writtenTokens,
      ephemeral_1h_input_tokens: isLong ? writtenTokens : 0,
    },
  }
}

export interface Stop {
  readonly reason: FinishReason
  readonly stopSequence: string | undefined
  readonly hasToolCalls: boolean
  readonly hasRefusal: boolean
}

export function stopFields(stop: Stop): { readonly [name: string]: Json } {
  const reason = stopReason(stop)
  return {
    stop_reason: reason,
    stop_sequence: reason === 'stop_sequence' ? (stop.stopSequence ?? null) : null,
  }
}

function stopReason(stop: Stop): string {
  switch (stop.reason) {
    case 'length':
      return 'max_tokens'
    case 'content_filter':
      return 'refusal'
    case 'tool_calls':
      return 'tool_use'
    case 'stop':
      if (stop.hasRefusal) return 'refusal'
      // OpenAI's servers end a forced call with `stop`; clients of this API would not run it.
      if (stop.hasToolCalls) return 'tool_use'
      return stop.stopSequence === undefined ? 'end_turn' : 'stop_sequence'
  }
}

/**
 * `input_tokens` counts only what no cache gave or took: clients add the three input counters
 * themselves.
 */
export function usageFields(usage: Usage, isHit: boolean): JsonObject {
  const { cachedTokens, writtenTokens, otherTokens } = promptShares(usage, isHit)
  return {
    input_tokens: otherTokens,
    cache_creation_input_tokens: writtenTokens,
    cache_read_input_tokens: cachedTokens,
    output_tokens: usage.completionTokens,
    ...(usage.reasoningTokens === 0
      ? {}
      : { output_tokens_details: { thinking_tokens: usage.reasoningTokens } }),
  }
}
