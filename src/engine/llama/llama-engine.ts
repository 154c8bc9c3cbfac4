import { stat } from 'node:fs/promises'
import type { Llama } from 'node-llama-cpp'
import { OperationError } from '../../errors.ts'
import type { Engine, EngineLoad } from '../../interface/engine.ts'
import type { Log } from '../../interface/log.ts'
import type { Clock } from '../../std/clock.ts'
import type { AbortOptions } from '../../std/signal.ts'
import type { EmbeddedModel } from './embedded-model.ts'
import { type LlamaModelOptions, loadModel } from './load/load-model.ts'
import { defaultThreads, openRuntime } from './load/native-runtime.ts'
import type { LoadedModel } from './loaded-model.ts'

export type { LlamaModelOptions } from './load/load-model.ts'

export interface LlamaEngineComponents {
  readonly clock: Clock
  readonly log: Log
}

export interface LlamaEngineOptions {
  readonly models: readonly LlamaModelOptions[]
}

/**
 * The embedded engine: llama.cpp in this process, through node-llama-cpp. Sole owner of its native
 * memory.
 */
export class LlamaEngine implements Engine {
  readonly name = 'embedded engine'
  readonly kind = 'llama'
  readonly #components: LlamaEngineComponents
  readonly #options: LlamaEngineOptions
  #llama: Llama | undefined
  #models: readonly EmbeddedModel[] = []
  #stopping = new AbortController()

  constructor(components: LlamaEngineComponents, options: LlamaEngineOptions) {
    this.#components = components
    this.#options = options
  }

  /** @throws model_file_invalid, engine_failed */
  async start(options: AbortOptions): Promise<void> {
    options.signal.throwIfAborted()
    this.#stopping = new AbortController()
    const models = await Promise.all(this.#options.models.map(withThreads))
    const machine = new Set<LoadedModel['pool']>()
    const threads = Math.max(1, ...models.map(model => model.threads))
    try {
      this.#llama = await openRuntime({ threads, log: this.#components.log })
      for (const model of models) {
        options.signal.throwIfAborted()
        const components = {
          ...this.#components,
          llama: this.#llama,
          stopSignal: this.#stopping.signal,
          machine,
        }
        this.#models = [...this.#models, await loadModel(components, model, options.signal)]
      }
    } catch (error) {
      await this.stop()
      throw error
    }
  }

  /** Ends what runs and waits; frees all native memory. */
  async stop(): Promise<void> {
    const reason = new OperationError('draining', 'The embedded engine was stopped', {
      origin: 'self',
      retryable: true,
    })
    const [models, llama] = [this.#models, this.#llama]
    this.#models = []
    this.#llama = undefined
    this.#stopping.abort(reason)
    await Promise.all(models.map(model => model.close(reason)))
    await llama?.dispose()
  }

  models(): readonly EmbeddedModel[] {
    return this.#models
  }

  load(): EngineLoad {
    const loads = this.#models.map(model => model.load)
    return {
      running: loads.reduce((sum, load) => sum + load.running, 0),
      waiting: loads.reduce((sum, load) => sum + load.waiting, 0),
    }
  }
}

async function withThreads(
  model: LlamaModelOptions,
): Promise<LlamaModelOptions & { readonly threads: number }> {
  if (model.threads !== undefined) return { ...model, threads: model.threads }
  try {
    const { size } = await stat(model.path)
    return { ...model, threads: defaultThreads(size) }
  } catch (error) {
    const message = `Cannot load model '${model.name}': ${model.path} cannot be read`
    throw new OperationError('model_file_invalid', message, { origin: 'engine', cause: error })
  }
}
