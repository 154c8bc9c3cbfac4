import { OperationError } from '../../../errors.ts'
import type { Engine, EngineLoad, EngineModel } from '../../../interface/engine.ts'
import { engineQueueMax, engineYieldingMax } from '../../../limits.ts'
import { Permits } from '../../../std/permits.ts'
import type { Random } from '../../../std/random.ts'
import type { AbortOptions } from '../../../std/signal.ts'
import { TaskScope } from '../../../std/task-scope.ts'
import type { LlamaEngineComponents, LlamaEngineOptions } from '../llama-engine.ts'
import type { LoadedFacts } from './engine-messages.ts'
import { EngineSupervisor } from './engine-supervisor.ts'
import { ProcessModel } from './process-model.ts'
import { createStateParts } from './state/create-state-parts.ts'
import type { StateParts } from './state/prepared-state.ts'
import { ResidentMirror } from './state/resident-mirror.ts'
import { StateTransfer } from './state/state-transfer.ts'

export interface LlamaProcessEngineComponents extends LlamaEngineComponents {
  readonly random: Random
}

export interface LlamaProcessEngineOptions extends LlamaEngineOptions {
  /** Where files of KV state go when memory has no room for them; made when it is needed. */
  readonly stateFolder: string
}

/** What exists from `start` to `stop`. */
interface Running {
  readonly supervisor: EngineSupervisor
  readonly scope: TaskScope
  readonly parts: StateParts
  readonly mirrors: readonly ResidentMirror[]
  readonly stopping: AbortController
  models: readonly ProcessModel[]
}

const noModels: readonly ProcessModel[] = []

/**
 * The embedded engine in a process of its own: llama.cpp aborts on files it does not like, is
 * killed when memory is short, and may crash; the node lives on, and restarts it.
 */
export class LlamaProcessEngine implements Engine {
  readonly name = 'embedded engine'
  readonly kind = 'llama'
  readonly #components: LlamaProcessEngineComponents
  readonly #options: LlamaProcessEngineOptions
  #running: Running | undefined
  #stopping: Promise<void> = Promise.resolve()

  constructor(components: LlamaProcessEngineComponents, options: LlamaProcessEngineOptions) {
    this.#components = components
    this.#options = options
  }

  /** @throws model_file_invalid, engine_failed */
  async start(options: AbortOptions): Promise<void> {
    options.signal.throwIfAborted()
    const running = this.#create()
    this.#running = running
    try {
      await running.parts.folder.open()
      const facts = await running.supervisor.start(options)
      running.models = facts.map((model, index) => this.#model(running, model, index))
    } catch (error) {
      await this.#stop(running)
      throw error
    }
  }

  /** Ends what runs and waits. When it resolves there is no process, thread or file. */
  async stop(): Promise<void> {
    if (this.#running !== undefined) this.#stopping = this.#stop(this.#running)
    await this.#stopping
  }

  models(): readonly EngineModel[] {
    // While the models cannot be loaded again, `failure` says why there are none.
    return this.failure === undefined ? (this.#running?.models ?? noModels) : noModels
  }

  load(): EngineLoad {
    const loads = (this.#running?.models ?? noModels).map(model => model.load)
    return {
      running: loads.reduce((sum, load) => sum + load.running, 0),
      waiting: loads.reduce((sum, load) => sum + load.waiting, 0),
    }
  }

  /** Why the models could not be loaded again after the engine's process had ended. */
  get failure(): OperationError | undefined {
    return this.#running?.supervisor.failure
  }

  /** The engine's process. For tests, and for people who look at processes. */
  get pid(): number | undefined {
    return this.#running?.supervisor.pid
  }

  async #stop(running: Running): Promise<void> {
    if (this.#running === running) this.#running = undefined
    const { supervisor, scope, parts, stopping } = running
    const { folder, files, thread } = parts
    const reason = new OperationError('draining', 'The embedded engine was stopped', {
      origin: 'self',
      retryable: true,
    })
    stopping.abort(reason)
    files.close()
    await supervisor.stop(reason)
    await thread.close()
    await scope.close()
    await folder.close()
  }

  #create(): Running {
    const { clock, log, random } = this.#components
    const { models, stateFolder } = this.#options
    const scope = new TaskScope((task, error) => log.warn('task failed', { task, error }))
    const mirrors = models.map(() => new ResidentMirror())
    const supervisor = new EngineSupervisor(
      {
        clock,
        log,
        onResident: (model, change) => mirrors[model]?.apply(change),
        onSpeed: (model, speed) => running.models[model]?.measured(speed),
        onEnd: () => {
          for (const mirror of mirrors) mirror.clear()
        },
      },
      models,
    )
    const running: Running = {
      supervisor,
      scope,
      parts: createStateParts({ clock, log, scope, random }, { diskRoot: stateFolder }),
      mirrors,
      stopping: new AbortController(),
      models: noModels,
    }
    return running
  }

  #model(running: Running, facts: LoadedFacts, index: number): ProcessModel {
    const { clock } = this.#components
    const { supervisor, stopping } = running
    const slots = facts.capabilities.embeddings ? 1 : (this.#options.models[index]?.parallel ?? 1)
    const state = this.#state(running, facts, { index, slots })
    const parts = { clock, supervisor, index, state, stopSignal: stopping.signal }
    return new ProcessModel(parts, facts, slots)
  }

  #state(
    { supervisor, parts, mirrors, stopping }: Running,
    { tokens, contextTokens }: LoadedFacts,
    { index, slots }: { readonly index: number; readonly slots: number },
  ): StateTransfer | undefined {
    const mirror = mirrors[index]
    if (tokens === undefined || 'unavailable' in tokens.state || mirror === undefined) {
      return undefined
    }
    const transfer = new StateTransfer(
      {
        ...parts,
        mirror,
        imports: new Permits(slots, engineQueueMax),
        recomputations: new Permits(1, engineYieldingMax),
        stopSignal: stopping.signal,
        ask: async (call, options) => (await supervisor.serving(options)).ask(index, call, options),
      },
      { ...tokens.state, contextTokens: contextTokens ?? 0 },
    )
    transfer.warmUp()
    return transfer
  }
}
