import type { Choice, TextKind, TokenLogprob, Usage } from '../../../interface/generation.ts'
import type { JsonObject } from '../../../std/json.ts'
import { promptShares } from '../../prompt-cache/prompt-shares.ts'

/** `usage` of chat/completions and completions. */
export function usageObject(usage: Usage, isHit: boolean): JsonObject {
  const { cachedTokens, writtenTokens } = promptShares(usage, isHit)
  return {
    prompt_tokens: usage.promptTokens,
    completion_tokens: usage.completionTokens,
    total_tokens: usage.promptTokens + usage.completionTokens,
    prompt_tokens_details: {
      cached_tokens: cachedTokens,
      cache_write_tokens: writtenTokens,
      audio_tokens: 0,
    },
    completion_tokens_details: {
      reasoning_tokens: usage.reasoningTokens,
      audio_tokens: 0,
      accepted_prediction_tokens: 0,
      rejected_prediction_tokens: 0,
    },
  }
}

/** `usage` of responses. */
export function responseUsage(usage: Usage, isHit: boolean): JsonObject {
  const { cachedTokens, writtenTokens } = promptShares(usage, isHit)
  return {
    input_tokens: usage.promptTokens,
    input_tokens_details: { cached_tokens: cachedTokens, cache_write_tokens: writtenTokens },
    output_tokens: usage.completionTokens,
    output_tokens_details: { reasoning_tokens: usage.reasoningTokens },
    total_tokens: usage.promptTokens + usage.completionTokens,
  }
}

/** Log-probabilities as chat/completions and responses both write them. */
export function logprobObjects(logprobs: readonly TokenLogprob[]): readonly JsonObject[] {
  return logprobs.map(({ token, bytes, logprob, top }) => ({
    token,
    bytes,
    logprob,
    top_logprobs: top.map(other => ({
      token: other.token,
      bytes: other.bytes,
      logprob: other.logprob,
    })),
  }))
}

/** All text of one kind in a choice. */
export function choiceText(choice: Choice, kind: TextKind): string {
  let text = ''
  for (const part of choice.parts) if (part.type === kind) text += part.text
  return text
}
