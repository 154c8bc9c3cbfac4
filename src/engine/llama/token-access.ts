import { requestInvalid } from '../../errors.ts'
import type {
  GeneratedToken,
  ScoreOptions,
  StateAccess,
  TokenGenerateOptions,
  TokenModel,
  TokenScore,
} from '../../interface/engine.ts'
import type { CompletionRequest } from '../../key/completion-request.ts'
import {
  assertFits,
  assertTokenIds,
  callSignal,
  type LoadedModel,
  prefill,
} from './loaded-model.ts'
import { Decoder } from './sequence/decoder.ts'
import { commonPrefix, tailChunkTokensMax } from './sequence/plan-resume.ts'
import type { RankedInput, RankedNext } from './sequence/resident-sequence.ts'

/** Token-level access to a loaded model. */
export class TokenAccess implements TokenModel {
  readonly vocabularySize: number
  readonly state: StateAccess | { readonly unavailable: string }
  readonly #loaded: LoadedModel

  constructor(loaded: LoadedModel) {
    const { uncuttable, stateBytesPerToken } = loaded.facts
    this.#loaded = loaded
    this.vocabularySize = loaded.tokenBytes.size
    this.state =
      uncuttable === undefined
        ? {
            bytesPerToken: stateBytesPerToken,
            residentTokens: (tokenIds, blockTokens) => this.#residentTokens(tokenIds, blockTokens),
          }
        : { unavailable: uncuttable }
  }

  tokenize(text: string, options: { readonly special: boolean }): readonly number[] {
    return this.#loaded.native.tokenize(text, options.special)
  }

  detokenize(tokenIds: readonly number[]): string {
    return this.#loaded.tokenBytes.textOf(tokenIds)
  }

  renderChat(request: CompletionRequest): string {
    return this.#loaded.prompts.render(request)
  }

  promptTokens(request: CompletionRequest): readonly number[] {
    return this.#loaded.prompts.build(request).tokenIds
  }

  async *generateTokens(
    tokenIds: readonly number[],
    options: TokenGenerateOptions,
  ): AsyncGenerator<GeneratedToken> {
    const loaded = this.#loaded
    assertTokenIds(loaded, tokenIds, 'tokenIds')
    assertFits(loaded, tokenIds.length)
    using linked = callSignal(loaded, options.signal)
    const { signal } = linked
    const lease = await loaded.pool.lease(tokenIds, { signal })
    try {
      await prefill(loaded, lease, tokenIds, { plan: lease.plan, signal })
      const { sampling, topLogprobs } = options
      const seed = BigInt.asUintN(64, options.seed)
      const last = tokenIds.at(-1) ?? 0
      const settings = { sampling, topLogprobs, seed, grammar: undefined, signal }
      const decoder = new Decoder(loaded.native, lease.slot, last, settings)
      const maxTokens = Math.min(options.maxTokens, loaded.contextTokens - tokenIds.length)
      for (let count = 0; count < maxTokens; count++) {
        const { isEnd, ...token } = await decoder.next()
        if (isEnd || options.stopTokens?.includes(token.tokenId)) return
        yield token
      }
    } finally {
      lease.release()
    }
  }

  async score(tokenIds: readonly number[], options: ScoreOptions): Promise<readonly TokenScore[]> {
    const loaded = this.#loaded
    const { from, topLogprobs } = options
    assertTokenIds(loaded, tokenIds, 'tokenIds')
    if (!Number.isInteger(from) || from <= 0 || from > tokenIds.length) {
      throw requestInvalid('from', `'from' must lie between 1 and ${tokenIds.length}`)
    }
    assertFits(loaded, tokenIds.length - 1)
    using linked = callSignal(loaded, options.signal)
    const { signal } = linked
    const prompt = tokenIds.slice(0, from)
    const lease = await loaded.pool.lease(prompt, { signal })
    try {
      // The same kernels as when it was generated: blocks up to the prompt's block part, short
      // chunks after it.
      await prefill(loaded, lease, prompt, { plan: lease.plan, signal })
      const inputs = tokenIds.slice(from - 1, -1).map((tokenId, index): RankedInput => {
        return { tokenId, wanted: tokenIds[from + index] }
      })
      const scores: TokenScore[] = []
      for (let start = 0; start < inputs.length; start += tailChunkTokensMax) {
        signal.throwIfAborted()
        const chunk = inputs.slice(start, start + tailChunkTokensMax)
        scores.push(...(await lease.slot.rank(chunk, topLogprobs)).map(scoreOf))
      }
      return scores
    } finally {
      lease.release()
    }
  }

  #residentTokens(tokenIds: readonly number[], blockTokens: number): number {
    const lengths = this.#loaded.pool.slots.map(({ resident }) => {
      const tokens = Math.min(commonPrefix(resident.tokenIds, tokenIds), resident.blockTokens)
      return tokens - (tokens % blockTokens)
    })
    return Math.max(0, ...lengths)
  }
}

function scoreOf({ wanted, best, top }: RankedNext): TokenScore {
  return { ...wanted, best, top }
}
