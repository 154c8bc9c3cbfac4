import type {
  GeneratedToken,
  PromptTokens,
  ScoreOptions,
  TokenGenerateOptions,
  TokenModel,
  TokenScore,
} from '../../../interface/engine.ts'
import type { CompletionRequest } from '../../../key/completion-request.ts'
import { type AbortOptions, linkSignal } from '../../../std/signal.ts'
import type { CallMeter } from './call-meter.ts'
import { readStream } from './child-stream.ts'
import { type LoadedFacts, type Result, resultOf, type ValueCall } from './engine-messages.ts'
import type { ProcessModelParts } from './process-model.ts'

export interface ProcessTokensParts extends ProcessModelParts {
  readonly meter: CallMeter
}

/** Token-level access to a model that the engine's process runs. */
export class ProcessTokens implements TokenModel {
  readonly vocabularySize: number
  readonly state: TokenModel['state']
  readonly #parts: ProcessTokensParts

  constructor(parts: ProcessTokensParts, facts: NonNullable<LoadedFacts['tokens']>) {
    this.#parts = parts
    this.vocabularySize = facts.vocabularySize
    const unavailable =
      'unavailable' in facts.state ? facts.state.unavailable : 'it only gives embeddings'
    this.state = parts.state ?? { unavailable }
  }

  async tokenize(text: string, options: { readonly special: boolean }): Promise<readonly number[]> {
    return resultOf(await this.#ask({ method: 'tokenize', text, options }), 'tokenize').value
  }

  async detokenize(tokenIds: readonly number[]): Promise<string> {
    return resultOf(await this.#ask({ method: 'detokenize', tokenIds }), 'detokenize').value
  }

  async renderChat(request: CompletionRequest): Promise<string> {
    return resultOf(await this.#ask({ method: 'renderChat', request }), 'renderChat').value
  }

  async prompt(request: CompletionRequest, options: AbortOptions): Promise<PromptTokens> {
    return resultOf(await this.#ask({ method: 'prompt', request }, options), 'prompt').value
  }

  async score(tokenIds: readonly number[], options: ScoreOptions): Promise<readonly TokenScore[]> {
    // Not metered: it yields to whatever is.
    const { signal, ...rest } = options
    const call = { method: 'score', tokenIds, options: rest } as const
    return resultOf(await this.#ask(call, { signal }), 'score').value
  }

  async *generateTokens(
    tokenIds: readonly number[],
    options: TokenGenerateOptions,
  ): AsyncGenerator<GeneratedToken> {
    const { clock, stopSignal, supervisor, index, meter } = this.#parts
    using linked = linkSignal(clock, [options.signal, stopSignal])
    using _ = meter.enter()
    const { signal } = linked
    const { signal: __, ...rest } = options
    for (let attempt = 0; ; attempt++) {
      const child = await supervisor.serving({ signal })
      let hasYielded = false
      const call = { method: 'generateTokens', tokenIds, options: rest } as const
      try {
        for await (const items of readStream(child.open(index, call), { signal })) {
          if (items.method !== 'generateTokens') continue
          for (const token of items.items) {
            hasYielded = true
            yield token
          }
        }
        return
      } catch (error) {
        if (!child.hasEnded || hasYielded || attempt > 0) throw error
      }
    }
  }

  async #ask(call: ValueCall, options?: AbortOptions): Promise<Result> {
    const { clock, stopSignal, supervisor, index } = this.#parts
    using linked = linkSignal(clock, [options?.signal, stopSignal])
    return await supervisor.ask(index, call, linked)
  }
}
