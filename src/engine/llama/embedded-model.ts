import { OperationError } from '../../errors.ts'
import type {
  EmbeddingInput,
  Embeddings,
  EmbedOptions,
  EngineLoad,
  EngineModel,
  GenerateOptions,
  ModelCapabilities,
} from '../../interface/engine.ts'
import type { GenerationEvent } from '../../interface/generation.ts'
import type { CompletionRequest } from '../../key/completion-request.ts'
import type { ModelId } from '../../key/model-id.ts'
import type { AbortOptions } from '../../std/signal.ts'
import type { Embedder } from './embedder.ts'
import { generateAnswer } from './generate.ts'
import type { LoadedModel } from './loaded-model.ts'
import { NativeAccess } from './state/native-access.ts'
import type { NativeStateAccess, NativeStateOptions } from './state/native-state.ts'
import { TokenAccess } from './token-access.ts'

export interface EmbeddedModelOptions {
  readonly id: ModelId
  readonly name: string
  readonly aliases: readonly string[]
  readonly numericClass: string
  /** For models that give vectors; such a model does not write. */
  readonly embedder: Embedder | undefined
}

/** A model file that this process runs. */
export class EmbeddedModel implements EngineModel {
  readonly id: ModelId
  readonly name: string
  readonly aliases: readonly string[]
  readonly contextTokens: number
  readonly capabilities: ModelCapabilities
  readonly numericClass: string
  readonly details: EngineModel['details']
  readonly tokens: TokenAccess | undefined
  /** KV state as files, or why there is none: a clause that continues "because". */
  readonly nativeState: NativeStateAccess | { readonly unavailable: string }
  readonly #loaded: LoadedModel
  readonly #embedder: Embedder | undefined

  constructor(loaded: LoadedModel, options: EmbeddedModelOptions) {
    const { facts, native, template } = loaded
    const writes = options.embedder === undefined
    this.#loaded = loaded
    this.#embedder = options.embedder
    this.id = options.id
    this.name = options.name
    this.aliases = options.aliases
    this.numericClass = options.numericClass
    this.contextTokens = loaded.contextTokens
    this.capabilities = {
      chat: writes,
      text: writes,
      embeddings: !writes,
      developerRole: template.hasDeveloperRole,
    }
    this.details = {
      origin: 'embedded',
      bytes: native.size,
      ...(facts.quantization === undefined ? {} : { quantization: facts.quantization }),
      ...(facts.parameters === undefined ? {} : { parameters: facts.parameters }),
    }
    this.tokens = writes ? new TokenAccess(loaded) : undefined
    const { state } = loaded
    this.nativeState = 'unavailable' in state ? state : new NativeAccess(loaded, state)
  }

  get speed(): EngineModel['speed'] {
    return this.#loaded.rates.speed
  }

  get load(): EngineLoad {
    return this.#embedder?.load ?? this.#loaded.pool.load
  }

  async *generate(
    request: CompletionRequest,
    options: GenerateOptions & NativeStateOptions,
  ): AsyncGenerator<GenerationEvent> {
    if (this.#embedder !== undefined)
      throw unsupported(`Model '${this.name}' only gives embeddings`)
    yield* generateAnswer(this.#loaded, request, options)
  }

  async countTokens(request: CompletionRequest, options: AbortOptions): Promise<number> {
    options.signal.throwIfAborted()
    return this.#loaded.prompts.build(request).tokenIds.length
  }

  async embed(inputs: readonly EmbeddingInput[], options: EmbedOptions): Promise<Embeddings> {
    options.signal.throwIfAborted()
    if (this.#embedder === undefined) throw unsupported(`Model '${this.name}' gives no embeddings`)
    return await this.#embedder.embed(inputs, options)
  }

  /** Ends what waits and runs. When it resolves no native call runs and the memory is free. */
  async close(reason: OperationError): Promise<void> {
    const { pool, native } = this.#loaded
    pool.close(reason)
    await Promise.all(pool.slots.map(slot => slot.close(reason)))
    await this.#embedder?.close(reason)
    // Contexts and sequences go with their model.
    await native.dispose()
  }
}

function unsupported(message: string): OperationError {
  return new OperationError('unsupported', message, { origin: 'client', field: 'model' })
}
