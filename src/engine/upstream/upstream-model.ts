import { OperationError } from '../../errors.ts'
import type {
  EmbeddingInput,
  Embeddings,
  EmbedOptions,
  EngineModel,
  GenerateOptions,
  ModelCapabilities,
} from '../../interface/engine.ts'
import type { GenerationEvent } from '../../interface/generation.ts'
import type { CompletionRequest } from '../../key/completion-request.ts'
import { type ModelId, modelIdFromDigest, modelIdFromName } from '../../key/model-id.ts'
import type { AbortOptions, LinkedSignal } from '../../std/signal.ts'
import { countTokensUpstream } from './count-tokens.ts'
import { embedUpstream } from './embed-upstream.ts'
import { generateUpstream, type UpstreamHabits } from './generate-upstream.ts'
import type { UpstreamHttp } from './http/upstream-http.ts'
import type { ListedModel } from './list-models.ts'
import type { OpenSlots } from './slots/open-slots.ts'
import type { SpeedMeter } from './speed-meter.ts'
import { dialectOf, type UpstreamKind } from './wire/dialect.ts'
import type { SlotChoice } from './wire/encode-request.ts'

/** What a model needs of its engine. */
export interface UpstreamModelComponents {
  readonly http: UpstreamHttp
  readonly habits: UpstreamHabits
  readonly speedMeter: SpeedMeter
  /** Of a llama-server whose slots are exchanged. */
  readonly slots?: OpenSlots | undefined
  /**
   * Takes a place among the running requests until disposed; its signal also fires when the engine
   * stops.
   * @throws engine_busy, draining
   */
  begin(signal: AbortSignal): LinkedSignal
  onUsageMissing(model: string): void
}

/** One model of an upstream. */
export class UpstreamModel implements EngineModel {
  readonly id: ModelId
  readonly name: string
  readonly aliases: readonly string[]
  readonly contextTokens: number | undefined
  readonly capabilities: ModelCapabilities
  readonly numericClass: string
  readonly details: EngineModel['details']
  readonly tokens = undefined
  readonly slots: OpenSlots['access'] | undefined
  readonly #components: UpstreamModelComponents
  readonly #kind: UpstreamKind

  constructor(components: UpstreamModelComponents, kind: UpstreamKind, listed: ListedModel) {
    this.#components = components
    this.#kind = kind
    this.name = listed.name
    const { slots } = components
    const digest = listed.digest === undefined ? undefined : modelIdFromDigest(listed.digest)
    this.id = slots?.modelId ?? digest ?? modelIdFromName(listed.name)
    this.numericClass = slots?.numericClass ?? 'upstream'
    this.slots = slots?.access
    this.aliases = aliasesOf(listed.name, components.http.label.name)
    this.contextTokens = listed.contextTokens
    const completes = listed.isEmbeddingOnly !== true
    this.capabilities = { chat: completes, text: completes, embeddings: true, developerRole: false }
    const { bytes, quantization, parameters } = listed
    this.details = {
      origin: components.http.label.url,
      ...(bytes === undefined ? {} : { bytes }),
      ...(quantization === undefined ? {} : { quantization }),
      ...(parameters === undefined ? {} : { parameters }),
    }
  }

  get speed(): EngineModel['speed'] {
    return this.#components.speedMeter.speed
  }

  async *generate(
    request: CompletionRequest,
    options: GenerateOptions,
  ): AsyncGenerator<GenerationEvent> {
    options.signal.throwIfAborted()
    this.#assertCompletes()
    const { http, habits, speedMeter, begin, onUsageMissing } = this.#components
    const running = begin(options.signal)
    try {
      const components = {
        http,
        habits,
        dialect: dialectOf(this.#kind, http.address.origin),
        onUsageMissing: () => onUsageMissing(this.name),
      }
      const { signal } = running
      const ask = (slot?: SlotChoice): AsyncIterable<GenerationEvent> =>
        generateUpstream(components, request, { model: this.name, slot, signal })
      const answer = this.#onSlot(request, { ...options, signal }, ask)
      for await (const event of speedMeter.measured(answer)) {
        yield event
        // Many events may have come in one piece: an abort ends the answer between them.
        running.signal.throwIfAborted()
      }
    } finally {
      running[Symbol.dispose]()
    }
  }

  async countTokens(
    request: CompletionRequest,
    options: AbortOptions,
  ): Promise<number | undefined> {
    const { http } = this.#components
    return await this.#call(options.signal, signal =>
      countTokensUpstream(http, request, {
        model: this.name,
        kind: this.#kind,
        dialect: dialectOf(this.#kind, http.address.origin),
        signal,
      }),
    )
  }

  async embed(inputs: readonly EmbeddingInput[], options: EmbedOptions): Promise<Embeddings> {
    return await this.#call(options.signal, signal =>
      embedUpstream(this.#components.http, this.name, inputs, { ...options, signal }),
    )
  }

  /** With KV state where there is a slot for it, else however the server likes. */
  #onSlot(
    request: CompletionRequest,
    { prefix, partition = '', signal }: GenerateOptions,
    ask: (slot?: SlotChoice) => AsyncIterable<GenerationEvent>,
  ): AsyncIterable<GenerationEvent> {
    if (this.slots === undefined || prefix === undefined) return ask()
    return this.slots.run({ request, partition, prefix, signal }, ask)
  }

  async #call<Result>(
    clientSignal: AbortSignal,
    work: (signal: AbortSignal) => Promise<Result>,
  ): Promise<Result> {
    clientSignal.throwIfAborted()
    const running = this.#components.begin(clientSignal)
    try {
      return await work(running.signal)
    } finally {
      running[Symbol.dispose]()
    }
  }

  #assertCompletes(): void {
    if (this.capabilities.chat) return
    const message = `Model '${this.name}' only gives embeddings`
    throw new OperationError('unsupported', message, { origin: 'client', field: 'model' })
  }
}

/**
 * `<upstream>/<model>` tells equal names of several upstreams apart; Ollama's `:latest` may be left
 * out.
 */
function aliasesOf(name: string, upstreamName: string): readonly string[] {
  const short = name.endsWith(':latest') ? [name.slice(0, -':latest'.length)] : []
  return [...short, ...[name, ...short].map(known => `${upstreamName}/${known}`)]
}
