import type { EngineLoad } from '../../../interface/engine.ts'

/**
 * Requests of one model that run and wait, counted where they come in: what the engine's process
 * would tell is always a little late.
 */
export class CallMeter {
  readonly #slots: number
  #count = 0

  /** @param slots how many the engine runs at once */
  constructor(slots: number) {
    this.#slots = slots
  }

  get load(): EngineLoad {
    const running = Math.min(this.#count, this.#slots)
    return { running, waiting: this.#count - running }
  }

  /** Counts a request until it is disposed. */
  enter(): Disposable {
    this.#count += 1
    return {
      [Symbol.dispose]: () => {
        this.#count -= 1
      },
    }
  }
}
