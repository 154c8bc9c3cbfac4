import type { EngineLoad, EngineModel } from '../../interface/engine.ts'
import { prefixRateAgeMsMax, prefixRatesMax } from '../../limits.ts'
import { defaultRates, type TtftRates } from '../../route/predict-ttft.ts'
import type { Clock } from '../../std/clock.ts'
import { Lru } from '../../std/lru.ts'

/** Weight of what was measured before at each new measurement: about the last five count. */
const memory = 0.8

/**
 * A rate as exponentially weighted amounts over exponentially weighted times: long measurements
 * count for more than short ones.
 */
class Rate {
  #amount = 0
  #ms = 0
  #notedMs = Number.NEGATIVE_INFINITY
  readonly #clock: Clock

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Per second; undefined until something was measured. */
  get perSecond(): number | undefined {
    return this.#ms === 0 ? undefined : (this.#amount / this.#ms) * 1_000
  }

  /**
   * The same while it is fresh. What is measured only when it is used would otherwise stay unused
   * for good after one slow time.
   */
  get recentPerSecond(): number | undefined {
    const ageMs = this.#clock.monotonicMs() - this.#notedMs
    return ageMs > prefixRateAgeMsMax ? undefined : this.perSecond
  }

  note(amount: number, ms: number): void {
    // A clock that stands still, or runs back, measures nothing.
    if (!(ms > 0) || !(amount > 0)) return
    this.#amount = this.#amount * memory + amount
    this.#ms = this.#ms * memory + ms
    this.#notedMs = this.#clock.monotonicMs()
  }
}

/** What is known of a model before anything was measured. */
export type RatedModel = Pick<EngineModel, 'numericClass' | 'speed'> &
  Partial<Pick<EngineModel, 'details'>>

/** Bytes of weights that a processor core works through in a second of prefill (engine.md §3). */
const weightBytesPerSecond = 6e10
const guessedLeast = 50
const guessedMost = 5_000

/** Tokens per second of a model of that size on a processor; a card measures more soon enough. */
function guessedPrefill({ details }: RatedModel): number {
  if (details?.bytes === undefined) return defaultRates.prefillTokensPerSecond
  return Math.min(guessedMost, Math.max(guessedLeast, weightBytesPerSecond / details.bytes))
}

interface ModelRates {
  readonly prefill: Rate
  readonly imports: Rate
}

/** What this node has measured of itself: the numbers that plans are made of. */
export class Rates {
  /** By numeric class: another build or card has other rates. */
  readonly #models = new Lru<string, ModelRates>(prefixRatesMax)
  readonly #clock: Clock
  readonly #disk: Rate
  readonly #generations: Rate

  constructor(clock: Clock) {
    this.#clock = clock
    this.#disk = new Rate(clock)
    this.#generations = new Rate(clock)
  }

  of(model: RatedModel): TtftRates {
    const { numericClass, speed } = model
    const { prefill, imports } = this.#model(numericClass)
    const { importBytesPerSecond, diskBytesPerSecond } = defaultRates
    return {
      prefillTokensPerSecond:
        speed.prefillTokensPerSecond ?? prefill.perSecond ?? guessedPrefill(model),
      importBytesPerSecond: imports.recentPerSecond ?? importBytesPerSecond,
      diskBytesPerSecond: this.#disk.recentPerSecond ?? diskBytesPerSecond,
    }
  }

  /** Until a new request begins: those that wait, by how long one takes and how many run. */
  queueMs({ running, waiting }: EngineLoad): number {
    const perSecond = this.#generations.perSecond
    if (waiting === 0 || perSecond === undefined) return 0
    return ((waiting / perSecond) * 1_000) / Math.max(1, running)
  }

  noteDisk(bytes: number, ms: number): void {
    this.#disk.note(bytes, ms)
  }

  notePrefill(numericClass: string, tokens: number, ms: number): void {
    this.#model(numericClass).prefill.note(tokens, ms)
  }

  noteImport(numericClass: string, bytes: number, ms: number): void {
    this.#model(numericClass).imports.note(bytes, ms)
  }

  /** One generation, from its beginning in the engine to its end. */
  noteGeneration(ms: number): void {
    this.#generations.note(1, ms)
  }

  #model(numericClass: string): ModelRates {
    const known = this.#models.get(numericClass)
    if (known !== undefined) return known
    const rates = { prefill: new Rate(this.#clock), imports: new Rate(this.#clock) }
    this.#models.set(numericClass, rates, 1)
    return rates
  }
}
