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
