import { requestInvalid } from '../../errors.ts'
import type {
  GeneratedToken,
  PromptTokens,
  ScoreOptions,
  TokenGenerateOptions,
  TokenModel,
  TokenScore,
} from '../../interface/engine.ts'
import type { CompletionRequest } from '../../key/completion-request.ts'
import type { AbortOptions } from '../../std/signal.ts'
import { commonPrefix } from '../common-prefix.ts'
import { measurePrompt } from '../prompt-marks.ts'
import { begin, leaseFor, saveWanted } from './begin.ts'
import { inBackground } from './in-background.ts'
import { assertFits, assertTokenIds, callSignal, type LoadedModel } from './loaded-model.ts'
import { Decoder } from './sequence/decoder.ts'
import type { Resident } from './sequence/plan-resume.ts'
import type { RankedInput, RankedNext } from './sequence/ranking.ts'
import type { ResidentSequence } from './sequence/resident-sequence.ts'
import type { NativeStateOptions } from './state/native-state.ts'

/**
 * Tokens that are scored in one native call, for which whoever comes meanwhile waits: 220 ms behind
 * a prompt of 2,048 tokens on one core, where 63 (the most that keep their kernel, see
 * plan-resume.ts) took 830 ms. All in all it costs 5 % more.
 */
const scoreChunkTokens = 16

/** Token-level access to a loaded model. */
export class TokenAccess implements TokenModel {
  readonly vocabularySize: number
  readonly state: TokenModel['state']
  readonly #loaded: LoadedModel

  constructor(loaded: LoadedModel) {
    const { state } = loaded
    this.#loaded = loaded
    this.vocabularySize = loaded.tokenBytes.size
    this.state =
      'unavailable' in state ? state : { unavailable: 'within this process it travels as files' }
  }

  async tokenize(text: string, options: { readonly special: boolean }): Promise<readonly number[]> {
    return this.#loaded.native.tokenize(text, options.special)
  }

  async detokenize(tokenIds: readonly number[]): Promise<string> {
    return this.#loaded.tokenBytes.textOf(tokenIds)
  }

  async renderChat(request: CompletionRequest): Promise<string> {
    return this.#loaded.prompts.render(request)
  }

  async prompt(request: CompletionRequest, options: AbortOptions): Promise<PromptTokens> {
    options.signal.throwIfAborted()
    const { prompts } = this.#loaded
    return await measurePrompt(async variant => prompts.build(variant).tokenIds, request)
  }

  async *generateTokens(
    tokenIds: readonly number[],
    options: TokenGenerateOptions & NativeStateOptions,
  ): AsyncGenerator<GeneratedToken> {
    const loaded = this.#loaded
    assertTokenIds(loaded, tokenIds, 'tokenIds')
    assertFits(loaded, tokenIds.length)
    using linked = callSignal(loaded, options.signal)
    const { signal } = linked
    const state = { load: options.load, save: options.save, partition: options.partition ?? '' }
    const lease = await leaseFor(loaded, tokenIds, { ...state, signal })
    try {
      const { left } = await begin(loaded, lease, tokenIds, { ...state, signal })
      const tokensMax = Math.min(options.maxTokens, loaded.contextTokens - tokenIds.length)
      yield* this.#continue(lease.slot, left, { ...options, maxTokens: tokensMax, signal })
      await saveWanted(loaded, lease.slot, state)
    } finally {
      lease.release()
    }
  }

  async *#continue(
    slot: ResidentSequence,
    left: readonly number[],
    options: TokenGenerateOptions,
  ): AsyncGenerator<GeneratedToken> {
    const loaded = this.#loaded
    const { sampling, topLogprobs, signal } = options
    const seed = BigInt.asUintN(64, options.seed)
    const settings = { sampling, topLogprobs, seed, grammar: undefined, signal }
    const decoder = new Decoder(loaded.native, slot, left, settings)
    for (let count = 0; count < options.maxTokens; count++) {
      const { isEnd, evaluatedTokens, ...token } = await decoder.next()
      if (isEnd || options.stopTokens?.includes(token.tokenId)) return
      yield token
    }
  }

  async score(tokenIds: readonly number[], options: ScoreOptions): Promise<readonly TokenScore[]> {
    const loaded = this.#loaded
    const { from, topLogprobs, partition = '' } = options
    assertTokenIds(loaded, tokenIds, 'tokenIds')
    if (!Number.isInteger(from) || from <= 0 || from > tokenIds.length) {
      throw requestInvalid('from', `'from' must lie between 1 and ${tokenIds.length}`)
    }
    assertFits(loaded, tokenIds.length - 1)
    using linked = callSignal(loaded, options.signal)
    const prompt = tokenIds.slice(0, from)
    const inputs = tokenIds.slice(from - 1, -1).map((tokenId, index): RankedInput => {
      return { tokenId, wanted: tokenIds[from + index] }
    })
    const scores: TokenScore[] = []
    let left: Resident | undefined
    await inBackground(loaded, { promptTokens: prompt, partition }, linked, async (lease, work) => {
      if (left === undefined || !isSame(lease.slot.resident, left)) {
        scores.length = 0
        // The same kernels as when it was generated: as for the prompt up to its end, short chunks
        // after it.
        const begun = await begin(loaded, lease, prompt, { partition, signal: work.signal })
        // The last one is the first that is ranked.
        await lease.slot.evaluate(begun.left.slice(0, -1))
      }
      while (scores.length < inputs.length) {
        work.signal.throwIfAborted()
        const chunk = inputs.slice(scores.length, scores.length + scoreChunkTokens)
        scores.push(...(await lease.slot.rank(chunk, topLogprobs)).map(scoreOf))
        left = lease.slot.resident
      }
    })
    return scores
  }
}

/** Whether a sequence, or another one, holds the same tokens, computed alike. */
function isSame(resident: Resident, other: Resident): boolean {
  const { length } = other.tokenIds
  return (
    resident.partition === other.partition &&
    resident.tiledTokens === other.tiledTokens &&
    resident.tokenIds.length === length &&
    commonPrefix(resident.tokenIds, other.tokenIds) === length
  )
}

function scoreOf({ wanted, best, top }: RankedNext): TokenScore {
  return { ...wanted, best, top }
}
