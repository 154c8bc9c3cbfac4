import type { Usage } from '../../interface/generation.ts'

/** Where the tokens of a prompt came from: the three add up to the prompt. */
export interface PromptShares {
  /** Not computed for this answer: their state (or the whole answer) was there. */
  readonly cachedTokens: number
  /** Computed, and kept for later prompts. */
  readonly writtenTokens: number
  /** Computed for this answer alone. */
  readonly otherTokens: number
}

/**
 * What all client APIs tell of a prompt. On a hit of the response cache nothing was computed: all
 * prompt tokens count as cached and none as written, whatever it was when the answer was made. What
 * was cached before and is copied to another tier now does not count as written: clients add the
 * three up.
 */
export function promptShares(usage: Usage, isHit: boolean): PromptShares {
  const { promptTokens, cacheWriteTokens = 0 } = usage
  const cachedTokens = isHit ? promptTokens : Math.min(usage.cachedTokens, promptTokens)
  const writtenTokens = isHit ? 0 : Math.min(cacheWriteTokens, promptTokens - cachedTokens)
  return { cachedTokens, writtenTokens, otherTokens: promptTokens - cachedTokens - writtenTokens }
}
