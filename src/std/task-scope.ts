import type { Clock } from './clock.ts'

/**
 * Owner of background work: no promise runs without one. `close` aborts the running tasks and, when
 * it returns, none of them is alive.
 */
export class TaskScope {
  readonly #controller = new AbortController()
  readonly #running = new Set<Promise<void>>()
  readonly #onError: (task: string, error: unknown) => void

  constructor(onError: (task: string, error: unknown) => void) {
    this.#onError = onError
  }

  get signal(): AbortSignal {
    return this.#controller.signal
  }

  get runningCount(): number {
    return this.#running.size
  }

  /** Runs `work` in the background. Its failure goes to `onError`, unless the scope was closed. */
  spawn(task: string, work: (signal: AbortSignal) => Promise<void>): void {
    if (this.#controller.signal.aborted) return
    const run = work(this.#controller.signal)
      .catch(error => {
        if (!this.#controller.signal.aborted) this.#onError(task, error)
      })
      .finally(() => this.#running.delete(run))
    this.#running.add(run)
  }

  /** Waits for the tasks that run now, without aborting them. */
  async drain(): Promise<void> {
    await Promise.all(this.#running)
  }

  async close(): Promise<void> {
    this.#controller.abort(new DOMException('The scope was closed', 'AbortError'))
    await this.drain()
  }
}

export interface IdleWorkOptions {
  /** What the scope calls it. */
  readonly task: string
  readonly idleMs: number
}

/** Background work for when nothing has happened for a while: one run at a time. */
export class IdleWork {
  readonly #parts: { readonly clock: Clock; readonly scope: TaskScope }
  readonly #options: IdleWorkOptions
  readonly #work: (signal: AbortSignal) => Promise<void>
  #isRunning = false
  #isClosed = false
  #cancel: () => void = () => undefined

  constructor(
    parts: { readonly clock: Clock; readonly scope: TaskScope },
    options: IdleWorkOptions,
    work: (signal: AbortSignal) => Promise<void>,
  ) {
    this.#parts = parts
    this.#options = options
    this.#work = work
  }

  get isRunning(): boolean {
    return this.#isRunning
  }

  /** Something happened: it runs `idleMs` after the last time. */
  later(): void {
    if (this.#isClosed) return
    this.#cancel()
    this.#cancel = this.#parts.clock.after(this.#options.idleMs, () => this.now())
  }

  /** Runs it, unless it runs already. */
  now(): void {
    if (this.#isClosed || this.#isRunning) return
    this.#isRunning = true
    this.#parts.scope.spawn(this.#options.task, async signal => {
      try {
        await this.#work(signal)
      } finally {
        this.#isRunning = false
      }
    })
  }

  /** It does not begin any more; what runs is the scope's to end. */
  close(): void {
    this.#isClosed = true
    this.#cancel()
  }
}
