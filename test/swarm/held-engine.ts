import { FakeEngine, type FakeEngineOptions } from '../../src/engine/fake/fake-engine.ts'
import type { Engine, EngineLoad, EngineModel } from '../../src/interface/engine.ts'
import { delay, systemClock } from '../../src/std/clock.ts'
import type { AbortOptions } from '../../src/std/signal.ts'

export interface HeldEngineOptions {
  /** How long each answer takes to compute. */
  readonly holdMs: number
  /**
   * What it says of its speed, whatever that is: so that what is planned does not hang on how busy
   * the machine is.
   */
  readonly prefillTokensPerSecond?: number
  /** @default a fake engine */
  readonly engine?: Engine
  readonly fake?: FakeEngineOptions
}

/**
 * An engine with a prefill that takes its time: nothing comes for a while, as from a large model.
 * So a peer that has the answer is always the faster one, however busy the machine is.
 */
export class HeldEngine implements Engine {
  readonly name = 'held engine'
  readonly kind: Engine['kind']
  readonly #engine: Engine
  readonly #options: HeldEngineOptions

  constructor(options: HeldEngineOptions) {
    this.#engine = options.engine ?? new FakeEngine(options.fake)
    this.kind = this.#engine.kind
    this.#options = options
  }

  start(options: AbortOptions): Promise<void> {
    return this.#engine.start(options)
  }

  stop(): Promise<void> {
    return this.#engine.stop()
  }

  models(): readonly EngineModel[] {
    return this.#engine.models().map(model => held(model, this.#options))
  }

  load(): EngineLoad {
    return this.#engine.load()
  }
}

function held(
  model: EngineModel,
  { holdMs, prefillTokensPerSecond }: HeldEngineOptions,
): EngineModel {
  const speed = prefillTokensPerSecond === undefined ? model.speed : { prefillTokensPerSecond }
  return {
    ...model,
    speed,
    countTokens: (request, options) => model.countTokens(request, options),
    embed: (inputs, options) => model.embed(inputs, options),
    async *generate(request, options) {
      if (holdMs > 0) await delay(systemClock, holdMs, options.signal)
      yield* model.generate(request, options)
    },
  }
}
