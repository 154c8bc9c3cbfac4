import type { PromptTokens } from '../../interface/engine.ts'
import type { CompletionRequest } from '../../key/completion-request.ts'
import type { LookupKey } from '../../key/response-key.ts'
import { blockTokens } from '../../key/state-layout.ts'
import { seenBlocksMax } from '../../limits.ts'
import { Lru } from '../../std/lru.ts'
import type { PromptBlocks } from './prompt-blocks.ts'

/**
 * Tools and system text of so many tokens are an application's, and come again: they are kept at
 * once (issue 4).
 */
const headTokensLeast = 512

/**
 * Decides what enters the cache: a block on its second request – most prompts never come again
 * (research/workloads) –, or at once up to where the client marked a prefix, or where a long head
 * ends.
 */
export class Admission {
  readonly #seen = new Lru<LookupKey, true>(seenBlocksMax)

  /**
   * Notes that the prompt was asked for, and tells which of its blocks are to be kept: their
   * indices, first to last.
   */
  admit(
    blocks: PromptBlocks,
    prompt: PromptTokens,
    request: CompletionRequest,
    isKept: (key: LookupKey) => boolean,
  ): ReadonlySet<number> {
    const atOnce = markedBlocks(prompt, request)
    const indices = new Set<number>()
    for (const [index, key] of blocks.keys.entries()) {
      const isSeen = this.#seen.get(key) === true
      if (!isSeen) this.#seen.set(key, true, 1)
      if ((isSeen || index < atOnce) && !isKept(key)) indices.add(index)
    }
    return indices
  }

  clear(): void {
    this.#seen.clear()
  }
}

/** How many leading blocks are kept without having been seen before. */
function markedBlocks(
  { tokenIds, headTokens, markTokens }: PromptTokens,
  { cache }: CompletionRequest,
): number {
  const marked = cache?.isMarked === true ? tokenIds.length : Math.max(0, ...markTokens)
  const head = headTokens > headTokensLeast ? headTokens : 0
  return Math.floor(Math.max(marked, head) / blockTokens)
}
