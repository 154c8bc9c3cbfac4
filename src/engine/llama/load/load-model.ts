import type { Llama, LlamaModel } from 'node-llama-cpp'
import { OperationError } from '../../../errors.ts'
import type { Log } from '../../../interface/log.ts'
import type { ModelId } from '../../../key/model-id.ts'
import type { Clock } from '../../../std/clock.ts'
import { EmbeddedModel } from '../embedded-model.ts'
import { Embedder } from '../embedder.ts'
import type { LoadedModel } from '../loaded-model.ts'
import { Rates } from '../rates.ts'
import { SequencePool } from '../sequence/sequence-pool.ts'
import { probeState } from '../state/probe-state.ts'
import { createEmbeddingContext, createSequences } from './create-context.ts'
import { createPrompts } from './create-prompts.ts'
import { modelFacts } from './model-facts.ts'
import { numericClass } from './numeric-class.ts'

export interface LlamaModelOptions {
  readonly path: string
  /** Digest of the file. */
  readonly id: ModelId
  readonly name: string
  readonly aliases: readonly string[]
  /**
   * @default 1 for files below 64 MiB, else half of what the machine runs at once (its physical
   * cores, about)
   */
  readonly threads?: number
  /** Per sequence. @default what the model was trained for, at most 8192: memory grows with it */
  readonly contextTokens?: number
  /** Requests that run at once; each has its own context memory. */
  readonly parallel: number
  /** Requests that may wait. */
  readonly queueMax: number
}

export interface LoadComponents {
  readonly llama: Llama
  readonly clock: Clock
  readonly log: Log
  readonly stopSignal: AbortSignal
  /** The pools of all models. */
  readonly machine: Set<LoadedModel['pool']>
}

/** 4 sequences of 8 k tokens take 4 GiB with a usual 8 B model: as much as its weights. */
const defaultContextTokensMax = 8_192

/**
 * Loads a model file with its sequences.
 * @throws model_file_invalid in one line, for a file that llama.cpp cannot use; engine_failed, for
 * want of memory
 */
export async function loadModel(
  components: LoadComponents,
  options: LlamaModelOptions & { readonly threads: number },
  signal: AbortSignal,
): Promise<EmbeddedModel> {
  const native = await loadFile(components.llama, options, signal)
  try {
    return await serve(native, { ...components, signal }, options)
  } catch (error) {
    await native.dispose()
    throw error
  }
}

async function loadFile(
  llama: Llama,
  options: LlamaModelOptions,
  signal: AbortSignal,
): Promise<LlamaModel> {
  try {
    return await llama.loadModel({ modelPath: options.path, loadSignal: signal })
  } catch (error) {
    signal.throwIfAborted()
    const { name, path } = options
    const message = `Cannot load model '${name}': llama.cpp cannot read ${path} as a GGUF model`
    throw new OperationError('model_file_invalid', message, { origin: 'engine', cause: error })
  }
}

async function serve(
  native: LlamaModel,
  components: LoadComponents & { readonly signal: AbortSignal },
  options: LlamaModelOptions & { readonly threads: number },
): Promise<EmbeddedModel> {
  const log = components.log.child({ model: options.name })
  const contextTokens =
    options.contextTokens ?? Math.min(native.trainContextSize, defaultContextTokensMax)
  const facts = modelFacts(native, contextTokens)
  const sizes = { ...options, contextTokens }
  const sequences = facts.isEmbedder ? [] : await createSequences(native, sizes)
  const loaded: LoadedModel = {
    native,
    facts,
    ...createPrompts(native, facts, log),
    contextTokens,
    pool: new SequencePool(sequences, components.clock, {
      queueMax: options.queueMax,
      isCuttable: facts.uncuttable === undefined,
      machine: components.machine,
    }),
    rates: new Rates(),
    state: await probeState(sequences, {
      facts,
      hasFlashAttention: native.flashAttentionSupported,
      signal: components.signal,
    }),
    clock: components.clock,
    log,
    stopSignal: components.stopSignal,
  }
  return new EmbeddedModel(loaded, {
    id: options.id,
    name: options.name,
    aliases: options.aliases,
    numericClass: await numericClass(components.llama, {
      id: options.id,
      hasFlashAttention: native.flashAttentionSupported,
      gpuLayers: native.gpuLayers,
      isLongRope: facts.isLongRope,
    }),
    embedder: facts.isEmbedder
      ? new Embedder(await createEmbeddingContext(native, sizes), loaded, options.queueMax)
      : undefined,
  })
}
