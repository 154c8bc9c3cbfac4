import type { EngineModel } from '../../interface/engine.ts'
import type { GenerationEvent } from '../../interface/generation.ts'
import type { Clock } from '../../std/clock.ts'

/**
 * Weight of the newest answer: ten answers later a change of the upstream's speed shows by two
 * thirds.
 */
const newestWeight = 0.1

/** Measures tokens per second of a model's answers as they pass. */
export class SpeedMeter {
  readonly #clock: Clock
  #prefill: number | undefined
  #decode: number | undefined

  constructor(clock: Clock) {
    this.#clock = clock
  }

  get speed(): EngineModel['speed'] {
    return {
      ...(this.#prefill === undefined ? {} : { prefillTokensPerSecond: this.#prefill }),
      ...(this.#decode === undefined ? {} : { decodeTokensPerSecond: this.#decode }),
    }
  }

  /**
   * Passes the events on. Time that the reader takes counts as the upstream's: a lower bound of its
   * speed.
   */
  async *measured(events: AsyncIterable<GenerationEvent>): AsyncGenerator<GenerationEvent> {
    const startMs = this.#clock.monotonicMs()
    let firstMs: number | undefined
    for await (const event of events) {
      if (event.type !== 'start') firstMs ??= this.#clock.monotonicMs()
      if (event.type === 'usage' && firstMs !== undefined) {
        const { promptTokens, cachedTokens, completionTokens } = event.usage
        const lastMs = this.#clock.monotonicMs()
        this.#prefill = average(this.#prefill, promptTokens - cachedTokens, firstMs - startMs)
        this.#decode = average(this.#decode, completionTokens - 1, lastMs - firstMs)
      }
      yield event
    }
  }
}

function average(before: number | undefined, tokens: number, ms: number): number | undefined {
  if (tokens <= 0 || ms <= 0) return before
  const rate = (tokens * 1_000) / ms
  return before === undefined ? rate : before + newestWeight * (rate - before)
}
