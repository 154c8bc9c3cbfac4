import type { LlamaEmbeddingContext, LlamaModel } from 'node-llama-cpp'
import { OperationError } from '../../../errors.ts'
import { createBatchStrategy } from '../sequence/batch-strategy.ts'
import { ResidentSequence } from '../sequence/resident-sequence.ts'
import { SharedContext } from '../sequence/shared-context.ts'

export interface ContextOptions {
  /** For messages. */
  readonly name: string
  /** Per sequence. */
  readonly contextTokens: number
  readonly parallel: number
  readonly threads: number
}

/**
 * Tokens of one native batch: four blocks. More gains little on a CPU and makes everybody else wait
 * longer.
 */
const batchTokens = 512

/** The sequences of a model that writes. @throws engine_failed, for want of memory */
export async function createSequences(
  native: LlamaModel,
  options: ContextOptions,
): Promise<readonly ResidentSequence[]> {
  const context = await withMemory(options.name, () =>
    native.createContext({
      contextSize: options.contextTokens,
      sequences: options.parallel,
      batchSize: batchTokens,
      threads: options.threads,
      flashAttention: native.flashAttentionSupported,
      experimentalKvCacheKeyType: 'F16',
      experimentalKvCacheValueType: 'F16',
      batching: { itemPrioritizationStrategy: createBatchStrategy() },
      failedCreationRemedy: false,
    }),
  )
  const shared = new SharedContext(context)
  return Array.from(
    { length: options.parallel },
    () => new ResidentSequence(shared, options.contextTokens),
  )
}

/** The context of a model that gives vectors. @throws engine_failed, for want of memory */
export async function createEmbeddingContext(
  native: LlamaModel,
  options: ContextOptions,
): Promise<LlamaEmbeddingContext> {
  return await withMemory(options.name, () =>
    native.createEmbeddingContext({
      contextSize: options.contextTokens,
      // An encoder looks at all tokens at once: they must fit one batch.
      batchSize: options.contextTokens,
      threads: options.threads,
    }),
  )
}

async function withMemory<Result>(name: string, create: () => Promise<Result>): Promise<Result> {
  try {
    return await create()
  } catch (error) {
    const message =
      `Model '${name}' is loaded, but the memory for its context cannot be had. ` +
      'Start with a smaller --context or --parallel'
    throw new OperationError('engine_failed', message, { origin: 'engine', cause: error })
  }
}
