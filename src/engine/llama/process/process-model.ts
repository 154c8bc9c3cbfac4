import type {
  EmbeddingInput,
  Embeddings,
  EmbedOptions,
  EngineLoad,
  EngineModel,
  GenerateOptions,
  ModelCapabilities,
  TokenModel,
} from '../../../interface/engine.ts'
import type { GenerationEvent } from '../../../interface/generation.ts'
import type { CompletionRequest } from '../../../key/completion-request.ts'
import type { ModelId } from '../../../key/model-id.ts'
import type { Clock } from '../../../std/clock.ts'
import { type AbortOptions, linkSignal } from '../../../std/signal.ts'
import { CallMeter } from './call-meter.ts'
import { type LoadedFacts, resultOf } from './engine-messages.ts'
import { type GenerateParts, generateInProcess } from './process-generate.ts'
import { ProcessTokens } from './process-tokens.ts'

export interface ProcessModelParts extends GenerateParts {
  readonly clock: Clock
  /** Fires when the engine stops. */
  readonly stopSignal: AbortSignal
}

/** A model that the engine's process runs. */
export class ProcessModel implements EngineModel {
  readonly id: ModelId
  readonly name: string
  readonly aliases: readonly string[]
  readonly contextTokens: number | undefined
  readonly capabilities: ModelCapabilities
  readonly numericClass: string
  readonly details: EngineModel['details']
  readonly tokens: TokenModel | undefined
  readonly #parts: ProcessModelParts
  readonly #meter: CallMeter
  #speed: EngineModel['speed'] = {}

  /** @param slots requests that the engine runs at once for this model */
  constructor(parts: ProcessModelParts, facts: LoadedFacts, slots: number) {
    this.#parts = parts
    this.#meter = new CallMeter(slots)
    this.id = facts.id
    this.name = facts.name
    this.aliases = facts.aliases
    this.contextTokens = facts.contextTokens
    this.capabilities = facts.capabilities
    this.numericClass = facts.numericClass
    this.details = facts.details
    this.tokens = facts.tokens && new ProcessTokens({ ...parts, meter: this.#meter }, facts.tokens)
  }

  get speed(): EngineModel['speed'] {
    return this.#speed
  }

  get load(): EngineLoad {
    return this.#meter.load
  }

  /** For the owner of the engine's process, which measures it. */
  measured(speed: EngineModel['speed']): void {
    this.#speed = speed
  }

  async *generate(
    request: CompletionRequest,
    options: GenerateOptions,
  ): AsyncGenerator<GenerationEvent> {
    const { clock, stopSignal } = this.#parts
    using linked = linkSignal(clock, [options.signal, stopSignal])
    using _ = this.#meter.enter()
    yield* generateInProcess(this.#parts, request, { ...options, signal: linked.signal })
  }

  async countTokens(
    request: CompletionRequest,
    options: AbortOptions,
  ): Promise<number | undefined> {
    const { clock, stopSignal, supervisor, index } = this.#parts
    using linked = linkSignal(clock, [options.signal, stopSignal])
    const result = await supervisor.ask(index, { method: 'countTokens', request }, linked)
    return resultOf(result, 'countTokens').value
  }

  async embed(inputs: readonly EmbeddingInput[], options: EmbedOptions): Promise<Embeddings> {
    const { clock, stopSignal, supervisor, index } = this.#parts
    using linked = linkSignal(clock, [options.signal, stopSignal])
    using _ = this.#meter.enter()
    const { signal: __, ...rest } = options
    const call = { method: 'embed', inputs, options: rest } as const
    return resultOf(await supervisor.ask(index, call, linked), 'embed').value
  }
}
