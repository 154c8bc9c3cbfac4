import type {
  ControlledEvaluateIndexOutput,
  ControlledEvaluateInputItem,
  LlamaContextSequence,
  SequenceEvaluateOptions,
  Token,
} from 'node-llama-cpp'
import { OperationError } from '../../../errors.ts'
import { assert } from '../../../std/assert.ts'
import type { AbortOptions } from '../../../std/signal.ts'
import { nothingResident, planPrefill, type Resident, type ResumePlan } from './plan-resume.ts'
import type { PoolSlot } from './sequence-pool.ts'

/** What the model thinks may come next, before any sampling. */
export interface RankedNext {
  readonly best: RankedToken
  /** The token asked for, or the best one. */
  readonly wanted: RankedToken
  /** The likeliest ones, likeliest first. */
  readonly top: readonly RankedToken[]
}

export interface RankedToken {
  readonly tokenId: number
  /** Natural, at temperature 1. */
  readonly logprob: number
}

/** A position to rank: the token there, and which next token to tell about. */
export interface RankedInput {
  readonly tokenId: number
  readonly wanted: number | undefined
}

/**
 * One native sequence, and what of it was computed how. Owns the order of native calls: one at a
 * time, none after `close`. A native call cannot be cut short; it ends within one batch.
 */
export class ResidentSequence implements PoolSlot {
  readonly #sequence: LlamaContextSequence
  readonly #tokensMax: number
  #blockTokens = 0
  #isBroken = false
  #closed: OperationError | undefined
  #pending: Promise<unknown> = Promise.resolve()

  constructor(sequence: LlamaContextSequence, contextTokens: number) {
    this.#sequence = sequence
    // The library shifts the context when it is full, which would falsify everything after it.
    this.#tokensMax = contextTokens - 1
  }

  get resident(): Resident {
    if (this.#isBroken || this.#closed !== undefined) return nothingResident
    return { tokenIds: this.#sequence.contextTokens, blockTokens: this.#blockTokens }
  }

  /** Evaluates all prompt tokens but the last, from what the plan keeps. */
  async prefill(
    promptTokens: readonly number[],
    plan: ResumePlan,
    options: AbortOptions,
  ): Promise<void> {
    options.signal.throwIfAborted()
    await this.#cut(plan.reuseTokens)
    for (const { start, end } of planPrefill(plan, promptTokens.length)) {
      options.signal.throwIfAborted()
      const chunk = asTokens(promptTokens.slice(start, end))
      this.#assertRoom(chunk.length)
      await this.#native(() => this.#sequence.evaluateWithoutGeneratingNewTokens(chunk))
      if (end <= plan.blockTokens) this.#blockTokens = end
    }
  }

  /** Evaluates a token and draws the next one. */
  async sample(tokenId: number, options: SequenceEvaluateOptions): Promise<number> {
    this.#assertRoom(1)
    return await this.#native(async () => {
      const drawn = await this.#sequence.evaluate(asTokens([tokenId]), options).next()
      assert(typeof drawn.value === 'number', 'A draw that may yield the end always yields')
      return drawn.value
    })
  }

  /**
   * Evaluates tokens and tells the untouched distribution after each. At most 63: see plan-
   * resume.ts.
   */
  async rank(inputs: readonly RankedInput[], topCount: number): Promise<readonly RankedNext[]> {
    this.#assertRoom(inputs.length)
    const items = inputs.map(input => rankItem(input, topCount))
    const outputs = await this.#native(() => this.#sequence.controlledEvaluate(items))
    return inputs.map((input, index) => ranked(outputs[index], input.wanted, topCount))
  }

  /** Takes back the last token. */
  async undo(): Promise<void> {
    await this.#cut(this.#sequence.nextTokenIndex - 1)
  }

  /** No native call begins from now on; resolves when the running one has ended. */
  async close(reason: OperationError): Promise<void> {
    this.#closed = reason
    await this.#pending
  }

  #assertRoom(tokens: number): void {
    assert(
      this.#sequence.nextTokenIndex + tokens <= this.#tokensMax,
      'Callers stop before the context is full',
    )
  }

  async #cut(length: number): Promise<void> {
    const end = this.#sequence.nextTokenIndex
    const start = this.#isBroken ? 0 : length
    if (start < end) {
      await this.#native(() => this.#sequence.eraseContextTokenRanges([{ start, end }]))
    }
    this.#blockTokens = Math.min(this.#blockTokens, start)
    this.#isBroken = false
  }

  async #native<Result>(call: () => Promise<Result>): Promise<Result> {
    if (this.#closed !== undefined) throw this.#closed
    const run = call()
    this.#pending = Promise.allSettled([run])
    try {
      return await run
    } catch (error) {
      // Native memory and the library's account of it may differ now: begin anew with the next
      // request.
      this.#isBroken = true
      throw new OperationError('engine_failed', 'llama.cpp could not evaluate the request', {
        origin: 'engine',
        retryable: true,
        cause: error,
      })
    }
  }
}

function rankItem({ tokenId, wanted }: RankedInput, topCount: number): ControlledEvaluateInputItem {
  const [token] = asTokens([tokenId])
  assert(token !== undefined, 'One token in, one out')
  // `includeMax` tests the wrong condition in the native code; the greedy choice is the same token.
  const filter = {
    tokens: wanted === undefined ? [] : asTokens([wanted]),
    includeSelected: true,
    includeTop: topCount,
  }
  return [token, { generateNext: { token: true, totalLogitWeight: true, logits: { filter } } }]
}

function ranked(
  output: ControlledEvaluateIndexOutput | undefined,
  wanted: number | undefined,
  topCount: number,
): RankedNext {
  const { token, logits, totalLogitWeight } = output?.next ?? {}
  const logitOf = new Map<number, number>(logits)
  const best = token ?? undefined
  const bestLogit = best === undefined ? undefined : logitOf.get(best)
  assert(
    best !== undefined && bestLogit !== undefined && totalLogitWeight !== undefined,
    'The engine tells what was asked of it',
  )
  const logTotal = Math.log(totalLogitWeight)
  const rank = (tokenId: number): RankedToken => {
    const logit = logitOf.get(tokenId)
    assert(logit !== undefined, 'The engine tells the logit of every token asked for')
    return { tokenId, logprob: Math.min(0, logit - bestLogit - logTotal) }
  }
  const likeliest = [...logitOf].sort((a, b) => b[1] - a[1]).slice(0, topCount)
  return {
    best: rank(best),
    wanted: rank(wanted ?? best),
    top: likeliest.map(([tokenId]) => rank(tokenId)),
  }
}

/** node-llama-cpp brands its token ids. */
export function asTokens(tokenIds: readonly number[]): Token[] {
  return tokenIds.map(tokenId => {
    assert(Number.isSafeInteger(tokenId) && tokenId >= 0, 'A token id is a count')
    return tokenId as Token
  })
}
