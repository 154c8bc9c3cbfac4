import type { LlamaEmbeddingContext } from 'node-llama-cpp'
import { contextLengthExceeded, type OperationError, requestInvalid } from '../../errors.ts'
import type { EmbeddingInput, Embeddings, EmbedOptions } from '../../interface/engine.ts'
import { assertTokenIds, callSignal, type LoadedModel } from './loaded-model.ts'
import { nothingResident } from './sequence/plan-resume.ts'
import { asTokens } from './sequence/ranking.ts'
import { SequencePool } from './sequence/sequence-pool.ts'

/** Vectors are computed anew each time: no sequence serves one better than another. */
const anyPrompt = { promptTokens: [0], partition: '' }

/**
 * One vector per text, of unit length. One input at a time: an encoder uses all threads for each.
 */
export class Embedder {
  readonly #context: LlamaEmbeddingContext
  readonly #loaded: LoadedModel
  readonly #pool: SequencePool<{ resident: typeof nothingResident }>
  #pending: Promise<unknown> = Promise.resolve()

  constructor(context: LlamaEmbeddingContext, loaded: LoadedModel, queueMax: number) {
    this.#context = context
    this.#loaded = loaded
    this.#pool = new SequencePool([{ resident: nothingResident }], loaded.clock, {
      queueMax,
      isCuttable: true,
    })
  }

  get load(): { readonly running: number; readonly waiting: number } {
    return this.#pool.load
  }

  async embed(inputs: readonly EmbeddingInput[], options: EmbedOptions): Promise<Embeddings> {
    const tokens = inputs.map((input, index) => this.#tokensOf(input, `input[${index}]`))
    this.#assertDimensions(options.dimensions)
    using linked = callSignal(this.#loaded, options.signal)
    const lease = await this.#pool.lease(anyPrompt, { signal: linked.signal })
    try {
      const vectors: Float32Array[] = []
      for (const tokenIds of tokens) {
        linked.signal.throwIfAborted()
        const run = this.#context.getEmbeddingFor(asTokens(tokenIds))
        this.#pending = Promise.allSettled([run])
        vectors.push(unitVector((await run).vector, options.dimensions))
      }
      return { vectors, promptTokens: tokens.reduce((sum, ids) => sum + ids.length, 0) }
    } finally {
      lease.release()
    }
  }

  /** Resolves when no native call of ours runs. */
  async close(reason: OperationError): Promise<void> {
    this.#pool.close(reason)
    await this.#pending
    await this.#context.dispose()
  }

  #tokensOf(input: EmbeddingInput, field: string): readonly number[] {
    const { native, contextTokens } = this.#loaded
    const tokenIds = typeof input === 'string' ? native.tokenize(input, false) : input
    if (tokenIds.length === 0) throw requestInvalid(field, `'${field}' is empty`)
    assertTokenIds(this.#loaded, tokenIds, field)
    // What is really evaluated has the model's begin and end tokens around it.
    const length = this.#context.calculateInputLength(asTokens(tokenIds))
    if (length >= contextTokens) throw contextLengthExceeded(length, contextTokens)
    return tokenIds
  }

  #assertDimensions(dimensions: number | undefined): void {
    const { embeddingVectorSize } = this.#loaded.native
    if (dimensions === undefined || (dimensions >= 1 && dimensions <= embeddingVectorSize)) return
    throw requestInvalid(
      'dimensions',
      `'dimensions' must be 1 to ${embeddingVectorSize} for this model`,
    )
  }
}

/** Shortened to the first dimensions, as models trained for it allow, and scaled to length 1. */
function unitVector(vector: readonly number[], dimensions: number | undefined): Float32Array {
  const kept = Float32Array.from(vector.slice(0, dimensions))
  const length = Math.hypot(...kept)
  return length === 0 ? kept : kept.map(value => value / length)
}
