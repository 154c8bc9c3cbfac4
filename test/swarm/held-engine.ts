import { FakeEngine } from '../../src/engine/fake/fake-engine.ts'
import type { Engine, EngineLoad, EngineModel } from '../../src/interface/engine.ts'
import { delay, systemClock } from '../../src/std/clock.ts'
import type { AbortOptions } from '../../src/std/signal.ts'

/**
 * The fake engine, with a prefill: nothing comes for a while, as from a real model. So a peer that
 * has the answer is always the faster one, however busy the machine is.
 */
export class HeldEngine implements Engine {
  readonly name = 'held engine'
  readonly kind = 'fake'
  readonly #engine = new FakeEngine()
  readonly #models: readonly EngineModel[]

  constructor(holdMs: number) {
    this.#models = this.#engine.models().map(model => held(model, holdMs))
  }

  /** Generations begun since the start. */
  get generationCount(): number {
    return this.#engine.generationCount
  }

  start(options: AbortOptions): Promise<void> {
    return this.#engine.start(options)
  }

  stop(): Promise<void> {
    return this.#engine.stop()
  }

  models(): readonly EngineModel[] {
    return this.#models
  }

  load(): EngineLoad {
    return this.#engine.load()
  }
}

function held(model: EngineModel, holdMs: number): EngineModel {
  return {
    ...model,
    countTokens: (request, options) => model.countTokens(request, options),
    embed: (inputs, options) => model.embed(inputs, options),
    async *generate(request, options) {
      if (holdMs > 0) await delay(systemClock, holdMs, options.signal)
      yield* model.generate(request, options)
    },
  }
}
