import { OperationError } from '../../../errors.ts'
import { engineRestartWaitersMax, engineRestartWaitMsMax } from '../../../limits.ts'
import { delay } from '../../../std/clock.ts'
import { type AbortOptions, linkSignal } from '../../../std/signal.ts'
import { TaskScope } from '../../../std/task-scope.ts'
import type { LlamaModelOptions } from '../llama-engine.ts'
import { type ChildComponents, EngineChild } from './engine-child.ts'
import type { LoadedFacts, Result, ValueCall } from './engine-messages.ts'
import { RestartPauses } from './restart-pauses.ts'
import { assertSameFacts, assertSameFiles, type FileMark, fileMarks } from './same-models.ts'

/** Somebody who waits for a process that serves. */
interface Waiter {
  readonly serve: (child: EngineChild) => void
  readonly refuse: (error: unknown) => void
}

/**
 * Keeps one engine process alive, from `start` to `stop`: one that ends is replaced, at once the
 * first time, after growing pauses when it keeps ending.
 */
export class EngineSupervisor {
  readonly #components: ChildComponents
  readonly #models: readonly LlamaModelOptions[]
  readonly #pauses: RestartPauses
  readonly #scope: TaskScope
  readonly #stopping = new AbortController()
  readonly #waiters = new Set<Waiter>()
  /** The process that loads or serves. */
  #child: EngineChild | undefined
  #isServing = false
  #failure: OperationError | undefined
  /** Monotonic; when the next attempt to load begins. */
  #attemptAtMs = 0
  #starting: Promise<unknown> | undefined

  constructor(components: ChildComponents, models: readonly LlamaModelOptions[]) {
    this.#components = components
    this.#models = models
    this.#pauses = new RestartPauses(components.clock)
    this.#scope = new TaskScope((task, error) => {
      components.log.error('task failed', { task, error })
    })
  }

  /** Why the models could not be loaded again; undefined while they serve. */
  get failure(): OperationError | undefined {
    return this.#failure
  }

  get pid(): number | undefined {
    return this.#child?.pid
  }

  /** Once. @throws model_file_invalid, engine_failed */
  async start({ signal }: AbortOptions): Promise<readonly LoadedFacts[]> {
    using linked = linkSignal(this.#components.clock, [signal, this.#stopping.signal])
    const starting = this.#open(linked.signal, undefined)
    this.#starting = starting.catch(() => undefined)
    const opened = await starting
    linked.signal.throwIfAborted()
    this.#serve(opened.child)
    this.#scope.spawn('engine process', () => this.#watch(opened))
    return opened.facts
  }

  /** Everything that waits fails with the reason. When it resolves there is no process. */
  async stop(reason: OperationError): Promise<void> {
    this.#stopping.abort(reason)
    this.#refuseAll(reason)
    await this.#starting
    await this.#child?.stop(reason)
    await this.#scope.close()
  }

  /**
   * The process that serves. Waits for one that is about to.
   * @throws engine_failed with `retryAfterMs`, when that would take long or too many wait
   */
  async serving({ signal }: AbortOptions): Promise<EngineChild> {
    signal.throwIfAborted()
    this.#stopping.signal.throwIfAborted()
    if (this.#child !== undefined && this.#isServing) return this.#child
    const pauseMs = this.#attemptAtMs - this.#components.clock.monotonicMs()
    const isSoon = pauseMs <= engineRestartWaitMsMax
    if (!isSoon || this.#waiters.size >= engineRestartWaitersMax) throw this.#restarting(pauseMs)
    return await this.#wait(signal)
  }

  /** `EngineChild.ask`, once more on the next process when the first ends over it. */
  async ask(model: number, call: ValueCall, options: AbortOptions): Promise<Result> {
    const first = await this.serving(options)
    try {
      return await first.ask(model, call, options)
    } catch (error) {
      if (!first.hasEnded) throw error
    }
    return await (await this.serving(options)).ask(model, call, options)
  }

  /** One process after the other, until the end. */
  async #watch(first: Opened): Promise<void> {
    let child: EngineChild | undefined = first.child
    while (child !== undefined) {
      const { pid } = child
      const end = await child.ended
      if (this.#stopping.signal.aborted) return
      this.#components.log.warn('engine process ended', { pid, ...end })
      child = await this.#replace(first)
    }
  }

  /** The next process that serves; undefined when the engine stops first. */
  async #replace(first: Opened): Promise<EngineChild | undefined> {
    const { clock, log } = this.#components
    const { signal } = this.#stopping
    for (;;) {
      const pauseMs = this.#pauses.ended()
      this.#attemptAtMs = clock.monotonicMs() + pauseMs
      if (pauseMs > engineRestartWaitMsMax) this.#refuseAll(this.#restarting(pauseMs))
      try {
        await delay(clock, pauseMs, signal)
        const { child } = await this.#open(signal, first)
        this.#serve(child)
        log.info('engine process restarted', { pid: child.pid })
        return child
      } catch (error) {
        if (signal.aborted) return undefined
        this.#failed(error)
      }
    }
  }

  /** Forks a process and loads the models in it; leaves none when that fails. */
  async #open(signal: AbortSignal, first: Opened | undefined): Promise<Opened> {
    signal.throwIfAborted()
    const files = await fileMarks(this.#models)
    if (first !== undefined) assertSameFiles(this.#models, first.files, files)
    signal.throwIfAborted()
    const child = new EngineChild({
      ...this.#components,
      onEnd: () => {
        if (this.#child === child) this.#isServing = false
        this.#components.onEnd()
      },
    })
    this.#child = child
    const onAbort = (): void => child.kill()
    signal.addEventListener('abort', onAbort, { once: true })
    try {
      const facts = await child.load({ type: 'load', models: this.#models })
      if (first !== undefined) assertSameFacts(first.facts, facts)
      return { child, files, facts }
    } catch (error) {
      child.kill()
      await child.ended
      signal.throwIfAborted()
      throw error
    } finally {
      signal.removeEventListener('abort', onAbort)
    }
  }

  #serve(child: EngineChild): void {
    this.#isServing = !child.hasEnded
    this.#failure = undefined
    this.#pauses.served()
    for (const waiter of [...this.#waiters]) waiter.serve(child)
  }

  #failed(error: unknown): void {
    const { log } = this.#components
    this.#failure =
      error instanceof OperationError
        ? error
        : new OperationError('engine_failed', 'The engine process cannot be restarted', {
            origin: 'engine',
            retryable: true,
            cause: error,
          })
    log.error('engine process not restarted', { error })
    this.#refuseAll(this.#restarting(0))
  }

  #refuseAll(error: unknown): void {
    for (const waiter of [...this.#waiters]) waiter.refuse(error)
  }

  #wait(signal: AbortSignal): Promise<EngineChild> {
    return new Promise((resolve, reject) => {
      const leave = (): void => {
        signal.removeEventListener('abort', onAbort)
        this.#waiters.delete(waiter)
      }
      const onAbort = (): void => waiter.refuse(signal.reason)
      const waiter: Waiter = {
        serve: child => {
          leave()
          resolve(child)
        },
        refuse: error => {
          leave()
          reject(error)
        },
      }
      signal.addEventListener('abort', onAbort, { once: true })
      this.#waiters.add(waiter)
    })
  }

  #restarting(pauseMs: number): OperationError {
    const why = this.#failure === undefined ? '' : `: ${this.#failure.message}`
    return new OperationError('engine_failed', `The engine process is being restarted${why}`, {
      origin: 'engine',
      retryable: true,
      retryAfterMs: Math.max(1_000, Math.ceil(pauseMs)),
      ...(this.#failure === undefined ? {} : { cause: this.#failure }),
    })
  }
}

interface Opened {
  readonly child: EngineChild
  readonly facts: readonly LoadedFacts[]
  readonly files: readonly FileMark[]
}
