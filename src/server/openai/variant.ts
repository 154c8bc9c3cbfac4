import { isJsonObject, type JsonObject } from '../../std/json.ts'

/**
 * What changes a reply's bytes without being part of the key, as the parsers of chat/completions
 * and completions hand it to their encoders: a list of words in a fixed order.
 */
export interface ChatVariant {
  /** The stream's last chunk tells the usage (`stream_options.include_usage`). */
  readonly isUsageIncluded: boolean
  /** Calls are told in the legacy form (`functions` was sent instead of `tools`). */
  readonly isLegacy?: boolean
  /** The reply's text begins with the prompt (`echo`). */
  readonly isEcho?: boolean
}

export function chatVariant(variant: ChatVariant): string {
  const words: string[] = []
  if (variant.isUsageIncluded) words.push('usage')
  if (variant.isLegacy === true) words.push('functions')
  if (variant.isEcho === true) words.push('echo')
  return words.join(' ')
}

export function readChatVariant(text: string): Required<ChatVariant> {
  const words = text.split(' ')
  return {
    isUsageIncluded: words.includes('usage'),
    isLegacy: words.includes('functions'),
    isEcho: words.includes('echo'),
  }
}

/** What a response repeats of its request without its being in the key. */
export interface ResponsesVariant {
  /** The first message came as `instructions`. */
  readonly hasInstructions: boolean
  readonly maxTokens: number | null
  readonly metadata: JsonObject
  /** It tells why its prompt was not cached. Encoders ask the request; this tells replies apart. */
  readonly hasDiagnostics?: boolean
}

export function responsesVariant(variant: ResponsesVariant): string {
  return JSON.stringify(variant)
}

export function readResponsesVariant(text: string): ResponsesVariant {
  const read: unknown = JSON.parse(text)
  const { hasInstructions, maxTokens, metadata } = isJsonObject(read) ? read : {}
  return {
    hasInstructions: hasInstructions === true,
    maxTokens: typeof maxTokens === 'number' ? maxTokens : null,
    metadata: isJsonObject(metadata) ? metadata : {},
  }
}
