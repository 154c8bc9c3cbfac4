import type { EngineModel } from '../../interface/engine.ts'

/** Weight of the newest measurement. */
const newestWeight = 0.2
/** Fewer tokens than this measure the overhead rather than the rate. */
const tokensMin = 16

/** Exponentially weighted rates, as a request sees them: with others beside it, they fall. */
export class Rates {
  #prefill: number | undefined
  #decode: number | undefined

  get speed(): EngineModel['speed'] {
    return {
      ...(this.#prefill === undefined ? {} : { prefillTokensPerSecond: this.#prefill }),
      ...(this.#decode === undefined ? {} : { decodeTokensPerSecond: this.#decode }),
    }
  }

  prefilled(tokens: number, tookMs: number): void {
    this.#prefill = weighted(this.#prefill, tokens, tookMs)
  }

  decoded(tokens: number, tookMs: number): void {
    this.#decode = weighted(this.#decode, tokens, tookMs)
  }
}

function weighted(mean: number | undefined, tokens: number, tookMs: number): number | undefined {
  if (tokens < tokensMin || tookMs <= 0) return mean
  const rate = (tokens * 1_000) / tookMs
  return mean === undefined ? rate : mean + newestWeight * (rate - mean)
}
