import { FakeEngine, type FakeEngineOptions } from '../../engine/fake/fake-engine.ts'
import type { GenerationEvent, Usage } from '../../interface/generation.ts'
import { type Log, silentLog } from '../../interface/log.ts'
import { type BlockEvent, type Metrics, silentMetrics } from '../../interface/metrics.ts'
import type { CompletionRequest } from '../../key/completion-request.ts'
import type { ResponseKey } from '../../key/response-key.ts'
import { localScope, type Scope } from '../../key/scope.ts'
import { MiB } from '../../limits.ts'
import { delay } from '../../std/clock.ts'
import { SeededRandom } from '../../std/seeded-random.ts'
import { SimulatedClock } from '../../std/simulated-clock.ts'
import { TaskScope } from '../../std/task-scope.ts'
import { InlineBlockCodec } from '../../store/blocks/inline-block-codec.ts'
import { BlockMemory } from '../block-memory.ts'
import { createTestBlobStore, type TestBlobStore } from '../blocks/test-blob-store.ts'
import { answerGeneration } from './answer-generation.ts'
import type { PrefixSwarm } from './ask-prefix.ts'
import { createPrefixCache } from './create-prefix-cache.ts'
import type { PrefixCache } from './prefix-cache.ts'
import type { PrefixReport } from './prefix-report.ts'

export const testSecret: Uint8Array = new Uint8Array(32).fill(7)
export const testScope: Scope = localScope(testSecret, undefined)
const key = '0'.repeat(64) as ResponseKey

export interface TestPrefixOptions {
  readonly engine?: FakeEngineOptions
  /** What an earlier node left on its disk. */
  readonly store?: TestBlobStore
  readonly clock?: SimulatedClock
  readonly seed?: number
  readonly swarmOf?: (scope: Scope) => PrefixSwarm | undefined
  readonly memoryBytesMax?: number
  readonly diskBytesMax?: number
  readonly log?: Log
}

/** An answer, and what the prefix cache did for it. */
export interface TestAnswer {
  readonly text: string
  readonly usage: Usage
  readonly report: PrefixReport | undefined
  readonly events: readonly GenerationEvent[]
  /** To the first token, in virtual milliseconds. */
  readonly firstMs: number
}

export interface AskOptions {
  readonly scope?: Scope
  readonly signal?: AbortSignal
  readonly asksPeers?: boolean
  readonly keeps?: boolean
}

/** Tokens per second of the fake engine's prefill. */
export const prefillPerSecond = 1_000

/** A node's prefix cache and a fake engine whose prefill takes its (virtual) time. */
export class TestPrefix {
  readonly clock: SimulatedClock
  readonly store: TestBlobStore
  readonly engine: FakeEngine
  readonly random: SeededRandom
  readonly cache: PrefixCache
  readonly counts: Map<BlockEvent | 'shed', number> = new Map()
  /** Predicted and actual seconds. */
  readonly predictions: (readonly [number, number])[] = []
  readonly background: TaskScope
  readonly #options: TestPrefixOptions

  constructor(options: TestPrefixOptions = {}) {
    this.#options = options
    this.random = new SeededRandom(options.seed ?? 1)
    this.clock = options.clock ?? new SimulatedClock()
    const { clock } = this
    const bytesMax = options.diskBytesMax ?? 64 * MiB
    this.store = options.store ?? createTestBlobStore(clock, bytesMax)
    const signal = new AbortController().signal
    this.engine = new FakeEngine({
      modelName: 'fake',
      speed: { prefillTokensPerSecond: prefillPerSecond },
      prefillPace: tokens => delay(clock, (tokens / prefillPerSecond) * 1_000, signal),
      ...options.engine,
    })
    this.background = new TaskScope((task, error) => {
      throw new Error(`${task} failed`, { cause: error })
    })
    const { random } = this
    this.cache = createPrefixCache(
      {
        store: this.store,
        codec: new InlineBlockCodec({ random }),
        memory: new BlockMemory({ clock, scope: this.background }),
        clock,
        random,
        log: options.log ?? silentLog,
        metrics: this.#metrics(),
        scope: this.background,
        swarmOf: options.swarmOf ?? (() => undefined),
      },
      { ttlMs: 3_600_000, memoryBytesMax: options.memoryBytesMax ?? 16 * MiB },
    )
  }

  static async start(options: TestPrefixOptions = {}): Promise<TestPrefix> {
    const world = new TestPrefix(options)
    const { signal } = new AbortController()
    await world.engine.start({ signal })
    await world.cache.start({ signal })
    return world
  }

  /** A node that starts on the same disk with nothing in memory. */
  async restarted(more: TestPrefixOptions = {}): Promise<TestPrefix> {
    await this.settled()
    await this.cache.stop()
    const { store, clock } = this
    return await TestPrefix.start({ ...this.#options, store, clock, ...more })
  }

  async ask(request: CompletionRequest, options: AskOptions = {}): Promise<TestAnswer> {
    return await this.clock.settle(this.#ask(request, options))
  }

  /** Lets everything in the background come to its end. */
  async settled(): Promise<void> {
    await this.clock.settle(this.background.drain())
  }

  counted(event: BlockEvent | 'shed'): number {
    return this.counts.get(event) ?? 0
  }

  async #ask(request: CompletionRequest, options: AskOptions): Promise<TestAnswer> {
    const { scope = testScope, signal = new AbortController().signal, ...how } = options
    const [model] = this.engine.models()
    if (model === undefined) throw new TypeError('The fake engine has a model')
    const served = { engine: this.engine, model }
    const generation = answerGeneration(this.cache, { served, request, scope, key, ...how })
    const startMs = this.clock.monotonicMs()
    const events: GenerationEvent[] = []
    let firstMs: number | undefined
    for await (const event of generation.generate(signal)) {
      if (event.type !== 'start') firstMs ??= this.clock.monotonicMs() - startMs
      events.push(event)
    }
    const text = events.map(event => (event.type === 'text' ? event.text : '')).join('')
    const last = events.at(-1)
    if (last?.type !== 'usage') throw new TypeError('An answer ends with its usage')
    const report = generation.report()
    return { text, usage: last.usage, report, events, firstMs: firstMs ?? 0 }
  }

  #metrics(): Metrics {
    const add = (event: BlockEvent | 'shed', count: number): void => {
      this.counts.set(event, this.counted(event) + count)
    }
    return {
      ...silentMetrics,
      blocksCounted: add,
      blocksShed: (_reason, count) => add('shed', count),
      ttftPredicted: (predicted, actual) => this.predictions.push([predicted, actual]),
    }
  }
}

const words =
  'the quick brown fox jumps over a lazy dog while seven wizards box in daft hope'.split(' ')

/** Text of about so many tokens of the fake tokenizer; another for another `about`. */
export function longText(tokens: number, about: string): string {
  const pieces: string[] = [about]
  for (let at = 0; pieces.length < tokens / 2; at++) pieces.push(words[at % words.length] ?? '')
  return pieces.join(' ')
}
