import type { Worker } from 'node:worker_threads'
import { OperationError } from '../../errors.ts'
import type { Clock } from '../../std/clock.ts'
import { CoderThread } from './coder-thread.ts'
import { type CodingJob, cancelCodingJob } from './coding-job.ts'

export interface CoderThreadsComponents {
  readonly clock: Clock
  readonly startWorker: () => Worker
}

export interface CoderThreadsOptions {
  readonly count: number
  /** Time without a job after which the threads end. */
  readonly idleMs: number
}

/** Threads that share every job. Started when the first one comes, ended when none has for long. */
export class CoderThreads {
  readonly #components: CoderThreadsComponents
  readonly #options: CoderThreadsOptions
  #threads: CoderThread[] = []
  readonly #ending = new Set<Promise<void>>()
  #running = 0
  #cancelIdleTimer: (() => void) | undefined

  constructor(components: CoderThreadsComponents, options: CoderThreadsOptions) {
    this.#components = components
    this.#options = options
  }

  /**
   * Resolves when the job is done. When it fails, no thread touches its memory any more.
   * @throws coding_failed when a thread died meanwhile; the signal's reason
   */
  async run(job: CodingJob, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    const cancel = (): void => cancelCodingJob(job)
    signal.addEventListener('abort', cancel)
    this.#cancelIdleTimer?.()
    this.#running += 1
    try {
      const outcomes = await Promise.allSettled(
        this.#living().map(thread => thread.run(job).catch(failure => failJob(job, failure))),
      )
      const failed = outcomes.find(outcome => outcome.status === 'rejected')
      signal.throwIfAborted()
      if (failed !== undefined) throw codingFailed(failed.reason)
    } finally {
      signal.removeEventListener('abort', cancel)
      this.#running -= 1
      if (this.#running === 0) this.#endWhenIdle()
    }
  }

  /** Ends all threads. Jobs that still run fail. */
  async end(): Promise<void> {
    this.#cancelIdleTimer?.()
    this.#endThreads()
    await Promise.all(this.#ending)
  }

  /** The threads, those that died replaced. */
  #living(): readonly CoderThread[] {
    this.#threads = this.#threads.filter(thread => !thread.isDead)
    try {
      while (this.#threads.length < this.#options.count) {
        this.#threads.push(new CoderThread(this.#components.startWorker()))
      }
    } catch (cause) {
      throw codingFailed(cause)
    }
    return this.#threads
  }

  #endWhenIdle(): void {
    const { clock } = this.#components
    this.#cancelIdleTimer = clock.after(this.#options.idleMs, () => this.#endThreads())
  }

  #endThreads(): void {
    const threads = this.#threads
    this.#threads = []
    for (const thread of threads) {
      const ending = thread.end().finally(() => this.#ending.delete(ending))
      this.#ending.add(ending)
    }
  }
}

/** Without one of its threads the job has a hole: the others need not go on. */
function failJob(job: CodingJob, failure: unknown): never {
  cancelCodingJob(job)
  throw failure
}

function codingFailed(cause: unknown): OperationError {
  const reason = cause instanceof Error ? cause.message : String(cause)
  return new OperationError('coding_failed', `A thread that codes shards failed: ${reason}`, {
    origin: 'self',
    retryable: true,
    cause,
  })
}
