import { Worker } from 'node:worker_threads'
import { OperationError } from '../../../../errors.ts'
import type { BlockRange, BlockRows } from '../../../../interface/kv-state.ts'
import type { StateLayout } from '../../../../key/state-layout.ts'
import { stateJobsMax, stateThreadIdleMs } from '../../../../limits.ts'
import type { Clock } from '../../../../std/clock.ts'
import type { ErrorMessage } from '../engine-messages.ts'
import { errorOf } from '../error-message.ts'

/** Cuts blocks out of a state file that holds these tokens. */
export interface CutJob {
  readonly type: 'cut'
  readonly path: string
  readonly layout: StateLayout
  /** The tokens up to the end of the last block. */
  readonly tokenIds: readonly number[]
  readonly range: BlockRange
}

/** Writes a state file made of blocks 0, 1, 2 …, which lie in shared memory. */
export interface JoinJob {
  readonly type: 'join'
  readonly path: string
  readonly layout: StateLayout
  readonly tokenIds: readonly number[]
  readonly blocks: readonly BlockRows[]
  readonly sequences: number
}

export interface ToStateWorker {
  readonly id: number
  readonly job: CutJob | JoinJob
}

export type FromStateWorker =
  /** Of a `cut`: its blocks, or undefined when there is no such file. Of a `join`: undefined. */
  | { readonly id: number; readonly blocks: readonly BlockRows[] | undefined }
  | { readonly id: number; readonly error: ErrorMessage }

type Pending = PromiseWithResolvers<readonly BlockRows[] | undefined>

// Named at run time, so that the compiler cannot rename it: .ts here, .js in dist.
const workerUrl = new URL(
  import.meta.url.endsWith('.ts') ? './state-worker.ts' : './state-worker.js',
  import.meta.url,
)

/**
 * The thread that reads and writes state files: tens to hundreds of megabytes, which would stall
 * every request. It is started for the first job and ended when there was none for a while.
 */
export class StateThread {
  readonly #clock: Clock
  readonly #jobs = new Map<number, Pending>()
  #worker: Worker | undefined
  #ending: Promise<unknown> = Promise.resolve()
  #cancelIdle: (() => void) | undefined
  #nextId = 0
  #isClosed = false

  constructor(clock: Clock) {
    this.#clock = clock
  }

  get isRunning(): boolean {
    return this.#worker !== undefined
  }

  /** There will be a job soon: the thread starts while the blocks for it come. */
  warmUp(): void {
    if (this.#isClosed) return
    this.#worker ??= this.#start()
    this.#endWhenIdle()
  }

  /** Undefined when there is no such file. @throws block_invalid, engine_failed, engine_busy */
  async cut(job: CutJob): Promise<readonly BlockRows[] | undefined> {
    return await this.#run(job)
  }

  /** @throws block_invalid, engine_failed (the file cannot be written), engine_busy */
  async join(job: JoinJob): Promise<void> {
    await this.#run(job)
  }

  /** Jobs that wait or run fail. When it resolves there is no thread. */
  async close(): Promise<void> {
    this.#isClosed = true
    this.#end('the engine was stopped')
    await this.#ending
  }

  #run(job: CutJob | JoinJob): Promise<readonly BlockRows[] | undefined> {
    const pending: Pending = Promise.withResolvers()
    if (this.#isClosed) pending.reject(threadFailed('the engine was stopped'))
    else if (this.#jobs.size >= stateJobsMax) pending.reject(tooManyJobs())
    else {
      const id = this.#nextId
      this.#nextId += 1
      this.#jobs.set(id, pending)
      this.#cancelIdle?.()
      this.#worker ??= this.#start()
      const message: ToStateWorker = { id, job }
      this.#worker.postMessage(message)
    }
    return pending.promise
  }

  #start(): Worker {
    const worker = new Worker(workerUrl, { execArgv: [] })
    const isCurrent = (): boolean => this.#worker === worker
    worker.on('message', (message: FromStateWorker) => this.#settle(message))
    worker.on('error', error => isCurrent() && this.#end(error.message))
    worker.on('exit', () => isCurrent() && this.#end('it ended'))
    return worker
  }

  #settle(message: FromStateWorker): void {
    const pending = this.#jobs.get(message.id)
    this.#jobs.delete(message.id)
    if ('error' in message) pending?.reject(errorOf(message.error))
    else pending?.resolve(message.blocks)
    this.#endWhenIdle()
  }

  #endWhenIdle(): void {
    if (this.#jobs.size > 0) return
    this.#cancelIdle?.()
    this.#cancelIdle = this.#clock.after(stateThreadIdleMs, () => this.#end('it was idle'))
  }

  #end(reason: string): void {
    this.#cancelIdle?.()
    this.#cancelIdle = undefined
    const worker = this.#worker
    this.#worker = undefined
    this.#ending = Promise.all([this.#ending, worker?.terminate()])
    const jobs = [...this.#jobs.values()]
    this.#jobs.clear()
    for (const pending of jobs) pending.reject(threadFailed(reason))
  }
}

function threadFailed(reason: string): OperationError {
  const message = `The thread for state files cannot go on: ${reason}`
  return new OperationError('engine_failed', message, { origin: 'self', retryable: true })
}

function tooManyJobs(): OperationError {
  const message = `The thread for state files has ${stateJobsMax} jobs waiting`
  return new OperationError('engine_busy', message, {
    origin: 'engine',
    retryable: true,
    retryAfterMs: 1_000,
  })
}
