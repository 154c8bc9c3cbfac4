import { contextLengthExceeded, OperationError } from '../../errors.ts'
import type {
  EmbeddingInput,
  Embeddings,
  EmbedOptions,
  Engine,
  EngineLoad,
  EngineModel,
  GenerateOptions,
  ModelCapabilities,
  TokenModel,
} from '../../interface/engine.ts'
import type { GenerationEvent } from '../../interface/generation.ts'
import type { CompletionRequest } from '../../key/completion-request.ts'
import { type ModelId, modelIdFromName } from '../../key/model-id.ts'
import type { AbortOptions } from '../../std/signal.ts'
import { type ChoiceTally, generateChoice } from './fake-choice.ts'
import { hashOf } from './fake-language.ts'
import { type Script, scriptOf } from './fake-script.ts'
import { FakeState } from './fake-state.ts'
import { FakeTokenModel, promptTokensOf } from './fake-token-model.ts'
import { fakeTokenize, specialTokens } from './fake-tokenizer.ts'

export interface FakeEngineOptions {
  /** @default 'fake' */
  readonly modelName?: string
  /** @default [] */
  readonly aliases?: readonly string[]
  /** @default `name:<modelName>` */
  readonly modelId?: ModelId
  /** @default 131_072 */
  readonly contextTokens?: number
  /** Awaited before each token of each choice: a test's way to hold and release (see `Gate`). */
  readonly pace?: () => Promise<void>
  /** Overrides the built-in script (`scriptOf`) where it returns something. */
  readonly script?: Script
  /** Generations at once; more get `engine_busy`. @default unlimited */
  readonly runningMax?: number
  readonly capabilities?: Partial<ModelCapabilities>
  /** @default 'fake' */
  readonly numericClass?: string
  /** What it says of its speed. @default nothing measured */
  readonly speed?: EngineModel['speed']
  /** Awaited before an answer's first event with the tokens that had to be computed. */
  readonly prefillPace?: (tokens: number) => Promise<void>
  /**
   * Bytes of a token's row of keys, and of values, in each of two layers: a block has 512 times as
   * many. @default 16
   */
  readonly stateRowBytes?: number
}

const defaultContextTokens = 131_072
const defaultDimensions = 8
const defaultRowBytes = 16

/**
 * A deterministic engine without weights: equal requests and seeds give equal events, on every
 * machine.
 */
export class FakeEngine implements Engine {
  readonly name = 'fake engine'
  readonly kind = 'fake'
  /** Generations begun since the start: what single-flight tests count. */
  generationCount = 0
  readonly #model: FakeModel
  readonly #controller = { current: new AbortController() }
  readonly #runningMax: number
  #running = 0

  constructor(options: FakeEngineOptions = {}) {
    this.#runningMax = options.runningMax ?? Number.POSITIVE_INFINITY
    this.#model = new FakeModel(options, {
      enter: () => this.#enter(),
      leave: () => {
        this.#running -= 1
      },
      stopSignal: () => this.#controller.current.signal,
    })
  }

  async start(options: AbortOptions): Promise<void> {
    options.signal.throwIfAborted()
    this.#controller.current = new AbortController()
    this.#model.forget()
  }

  async stop(): Promise<void> {
    this.#controller.current.abort(
      new OperationError('engine_failed', 'The fake engine was stopped', { origin: 'engine' }),
    )
  }

  models(): readonly EngineModel[] {
    return [this.#model]
  }

  load(): EngineLoad {
    return { running: this.#running, waiting: 0 }
  }

  #enter(): void {
    if (this.#running >= this.#runningMax) {
      throw new OperationError('engine_busy', 'The fake engine runs as much as it may', {
        origin: 'engine',
        retryable: true,
        retryAfterMs: 1_000,
      })
    }
    this.#running += 1
    this.generationCount += 1
  }
}

/** What a model needs of its engine. */
interface Slots {
  enter(): void
  leave(): void
  stopSignal(): AbortSignal
}

class FakeModel implements EngineModel {
  readonly id: ModelId
  readonly name: string
  readonly aliases: readonly string[]
  readonly contextTokens: number
  readonly capabilities: ModelCapabilities
  readonly numericClass: string
  readonly speed: EngineModel['speed']
  readonly details = { origin: 'fake' } as const
  readonly tokens: TokenModel
  readonly #slots: Slots
  readonly #script: Script
  readonly #pace: () => Promise<void>
  readonly #prefillPace: (tokens: number) => Promise<void>
  readonly #state: FakeState

  constructor(options: FakeEngineOptions, slots: Slots) {
    this.name = options.modelName ?? 'fake'
    this.id = options.modelId ?? modelIdFromName(this.name)
    this.aliases = options.aliases ?? []
    this.contextTokens = options.contextTokens ?? defaultContextTokens
    const all = { chat: true, text: true, embeddings: true, developerRole: false }
    this.capabilities = { ...all, ...options.capabilities }
    this.#slots = slots
    this.#script = options.script ?? (() => undefined)
    this.#pace = options.pace ?? (() => Promise.resolve())
    this.#prefillPace = options.prefillPace ?? (() => Promise.resolve())
    this.#state = new FakeState(options.stateRowBytes ?? defaultRowBytes)
    this.numericClass = options.numericClass ?? 'fake'
    this.speed = options.speed ?? {}
    const nextTurn = (signal: AbortSignal): Promise<void> => this.#nextTurn(signal)
    this.tokens = new FakeTokenModel(this.contextTokens, this.#state, nextTurn)
  }

  /** Nothing is resident after a start. */
  forget(): void {
    this.#state.clear()
  }

  async *generate(
    request: CompletionRequest,
    options: GenerateOptions,
  ): AsyncGenerator<GenerationEvent> {
    options.signal.throwIfAborted()
    assertSupported(request)
    const promptTokens = promptTokensOf(request)
    if (promptTokens.length >= this.contextTokens) {
      throw contextLengthExceeded(promptTokens.length, this.contextTokens)
    }
    this.#slots.enter()
    try {
      yield* this.#events(request, promptTokens, options)
    } finally {
      this.#slots.leave()
    }
  }

  async *#events(
    request: CompletionRequest,
    promptTokens: readonly number[],
    options: GenerateOptions,
  ): AsyncGenerator<GenerationEvent> {
    const tally: ChoiceTally = { completionTokens: 0, reasoningTokens: 0 }
    const { prefix: use, partition = '', signal } = options
    const prefix = await this.#state.begin(promptTokens, partition, { use, signal })
    const { cachedTokens, importedTokens } = prefix
    await this.#prefillPace(promptTokens.length - cachedTokens)
    // A model that attends to wrong state answers as if it had read something else.
    const read = prefix.isPoisoned ? [specialTokens.tools, ...promptTokens] : promptTokens
    let turns = this.#choices(request, read, options.seed, tally)
    const counts = { promptTokens: promptTokens.length, cachedTokens }
    yield { type: 'start', ...counts, importedTokens }
    while (turns.length > 0) {
      const unfinished: typeof turns = []
      for (const turn of turns) {
        await this.#nextTurn(options.signal)
        const { done, value } = turn.next()
        if (done) continue
        yield* value
        unfinished.push(turn)
      }
      turns = unfinished
    }
    yield { type: 'usage', usage: { ...counts, ...tally } }
    const { from, to } = use?.keep?.range ?? { from: 0, to: 0 }
    for (const [offset, rows] of prefix.blocks.slice(from, to).entries()) {
      use?.keep?.take(from + offset, rows)
    }
  }

  #choices(
    request: CompletionRequest,
    promptTokens: readonly number[],
    seed: bigint,
    tally: ChoiceTally,
  ): Generator<readonly GenerationEvent[]>[] {
    const firstSeed = request.seed === undefined ? seed : BigInt(request.seed)
    const room = this.contextTokens - promptTokens.length
    const maxTokens = Math.min(request.maxTokens ?? room, room)
    return Array.from({ length: request.choiceCount }, (_, choice) => {
      const parts = this.#script(request, choice) ?? scriptOf(request)
      const choiceSeed = firstSeed + BigInt(choice)
      return generateChoice(
        { request, choice, parts, promptTokens, seed: choiceSeed, maxTokens },
        tally,
      )
    })
  }

  async countTokens(request: CompletionRequest, options: AbortOptions): Promise<number> {
    options.signal.throwIfAborted()
    return promptTokensOf(request).length
  }

  async embed(inputs: readonly EmbeddingInput[], options: EmbedOptions): Promise<Embeddings> {
    options.signal.throwIfAborted()
    if (!this.capabilities.embeddings) {
      throw unsupported('input', `Model '${this.name}' gives no embeddings`)
    }
    const tokens = inputs.map(input =>
      typeof input === 'string' ? fakeTokenize(input, { special: false }) : input,
    )
    return {
      vectors: tokens.map(ids => unitVector(ids, options.dimensions ?? defaultDimensions)),
      promptTokens: tokens.reduce((sum, ids) => sum + ids.length, 0),
    }
  }

  /** Waits for the pace, but not longer than the client and the engine live. */
  async #nextTurn(signal: AbortSignal): Promise<void> {
    const stopSignal = this.#slots.stopSignal()
    signal.throwIfAborted()
    stopSignal.throwIfAborted()
    const { promise: ended, reject } = Promise.withResolvers<never>()
    const onAbort = (event: Event): void => {
      if (event.target instanceof AbortSignal) reject(event.target.reason)
    }
    signal.addEventListener('abort', onAbort)
    stopSignal.addEventListener('abort', onAbort)
    try {
      await Promise.race([this.#pace(), ended])
    } finally {
      signal.removeEventListener('abort', onAbort)
      stopSignal.removeEventListener('abort', onAbort)
    }
  }
}

function assertSupported(request: CompletionRequest): void {
  for (const [index, message] of request.messages.entries()) {
    const part = message.content.findIndex(content => content.type !== 'text')
    if (part === -1) continue
    const field = `messages[${index}].content[${part}]`
    throw unsupported(field, `The fake engine reads text only, but '${field}' is something else`)
  }
}

function unsupported(field: string, message: string): OperationError {
  return new OperationError('unsupported', message, { origin: 'client', field })
}

function unitVector(tokenIds: readonly number[], dimensions: number): Float32Array {
  const text = tokenIds.join(',')
  const vector = Float32Array.from(
    { length: dimensions },
    (_, index) => hashOf(`${text};${index}`) / 2 ** 31 - 1,
  )
  const length = Math.hypot(...vector)
  return vector.map(value => value / length)
}
