import {
  type LlamaGrammar,
  LlamaGrammarEvaluationState,
  type LlamaModel,
  TokenBias,
} from 'node-llama-cpp'
import type { GeneratedToken } from '../../../interface/engine.ts'
import type { Sampling } from '../../../key/completion-request.ts'
import type { AbortOptions } from '../../../std/signal.ts'
import { asTokens } from './ranking.ts'
import type { ResidentSequence } from './resident-sequence.ts'
import { isPlainGreedy, repeatPenalty, samplerOptions, seedAt } from './sampling.ts'

export interface DecoderOptions extends AbortOptions {
  readonly sampling: Sampling
  readonly seed: bigint
  /** Alternatives to report per token; undefined: no log-probabilities. */
  readonly topLogprobs: number | undefined
  readonly grammar: LlamaGrammar | undefined
}

export interface DecodedToken extends GeneratedToken {
  /** The model ends here; the token is no text. */
  readonly isEnd: boolean
  /** How many tokens were evaluated to draw it: more than one for the first, at the most. */
  readonly evaluatedTokens: number
}

/** Draws tokens one by one from a sequence that was prefilled. */
export class Decoder {
  readonly #model: LlamaModel
  readonly #sequence: ResidentSequence
  readonly #options: DecoderOptions
  readonly #grammar: LlamaGrammarEvaluationState | undefined
  readonly #bias: TokenBias | undefined
  readonly #generated: number[] = []
  /** What is evaluated for the next draw. */
  #left: readonly number[]

  /** @param left of the prompt (`ResidentSequence.prefill`) */
  constructor(
    model: LlamaModel,
    sequence: ResidentSequence,
    left: readonly number[],
    options: DecoderOptions,
  ) {
    const { grammar } = options
    this.#model = model
    this.#sequence = sequence
    this.#options = options
    this.#left = left
    this.#grammar =
      grammar === undefined ? undefined : new LlamaGrammarEvaluationState({ model, grammar })
    this.#bias = tokenBias(model, options.sampling)
  }

  async next(): Promise<DecodedToken> {
    this.#options.signal.throwIfAborted()
    const evaluatedTokens = this.#left.length
    const token = await this.#draw()
    this.#left = [token.tokenId]
    this.#generated.push(token.tokenId)
    const [native] = asTokens([token.tokenId])
    return { ...token, isEnd: this.#model.isEogToken(native), evaluatedTokens }
  }

  async #draw(): Promise<GeneratedToken> {
    const { topLogprobs, sampling } = this.#options
    if (topLogprobs === undefined) return { tokenId: await this.#sample(this.#left) }
    const [last, before] = [this.#left.slice(-1), this.#left.slice(0, -1)]
    await this.#sequence.evaluate(before)
    this.#options.signal.throwIfAborted()
    if (this.#grammar === undefined && isPlainGreedy(sampling)) {
      return await this.#rank(last, undefined, topLogprobs)
    }
    // The library tells logits only after the sampler's filters, so the untouched ones cost a
    // second evaluation.
    const drawn = await this.#sample(last)
    await this.#sequence.undo()
    return await this.#rank(last, drawn, topLogprobs)
  }

  async #rank(
    last: readonly number[],
    wanted: number | undefined,
    topLogprobs: number,
  ): Promise<GeneratedToken> {
    const inputs = last.map(tokenId => ({ tokenId, wanted }))
    const [next] = await this.#sequence.rank(inputs, topLogprobs)
    if (next === undefined) throw new TypeError('One position in, one rank out')
    return { ...next.wanted, top: next.top }
  }

  #sample(left: readonly number[]): Promise<number> {
    const { sampling, seed } = this.#options
    const penalty = repeatPenalty(sampling, this.#generated)
    return this.#sequence.sample(left, {
      ...samplerOptions(sampling, seedAt(seed, this.#generated.length)),
      ...(this.#grammar === undefined ? {} : { grammarEvaluationState: this.#grammar }),
      ...(this.#bias === undefined ? {} : { tokenBias: this.#bias }),
      ...(penalty === undefined
        ? {}
        : {
            repeatPenalty: {
              punishTokens: asTokens(penalty.tokens),
              maxPunishTokens: Math.max(1, penalty.tokens.length),
              penalty: penalty.penalty,
              frequencyPenalty: penalty.frequency,
              presencePenalty: penalty.presence,
            },
          }),
    })
  }
}

function tokenBias(model: LlamaModel, sampling: Sampling): TokenBias | undefined {
  const entries = Object.entries(sampling.logitBias ?? {})
  if (entries.length === 0) return undefined
  const bias = TokenBias.for(model)
  for (const [tokenId, logit] of entries) {
    // OpenAI's -100 means "never", not merely unlikely.
    bias.set(asTokens([Number(tokenId)]), logit <= -100 ? 'never' : { logit })
  }
  return bias
}
