import { Worker } from 'node:worker_threads'
import { OperationError } from '../../../../errors.ts'
import type { BlockRange, BlockRows } from '../../../../interface/kv-state.ts'
import type { StateLayout } from '../../../../key/state-layout.ts'
import { stateJobsMax } from '../../../../limits.ts'
import type { PlacedBlocks, StateForm } from '../../../state-file/state-file.ts'
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

/** Makes a state file of these tokens that has everything but its rows. */
export interface BeginJob {
  readonly type: 'begin'
  readonly path: string
  /** Whether a file is written over. */
  readonly isReady: boolean
  readonly form: StateForm
  readonly tokenIds: readonly number[]
}

/** Writes blocks, which lie in shared memory, into a file that was begun. */
export interface PlaceJob extends PlacedBlocks {
  readonly type: 'place'
  readonly path: string
  readonly form: StateForm
}

/** Writes zeros into a file, which is made when there is none. */
export interface ZeroJob {
  readonly type: 'zero'
  readonly path: string
  /** Of the first zero. */
  readonly start: number
  readonly bytes: number
  /** How long the file is then. */
  readonly total: number
}

export type StateJob = CutJob | BeginJob | PlaceJob | ZeroJob

export interface ToStateWorker {
  readonly id: number
  readonly job: StateJob
}

export type FromStateWorker =
  /** Of a `cut`: its blocks, or undefined when there is no such file. Else undefined. */
  | { readonly id: number; readonly blocks: readonly BlockRows[] | undefined }
  | { readonly id: number; readonly error: ErrorMessage }

type Pending = PromiseWithResolvers<readonly BlockRows[] | undefined>

// Named at run time, so that the compiler cannot rename it: .ts here, .js in dist.
const workerUrl = new URL(
  import.meta.url.endsWith('.ts') ? './state-worker.ts' : './state-worker.js',
  import.meta.url,
)

/** The heap of a thread that holds few objects: rows lie outside of it. Saves 2 MB. */
const resourceLimits = { maxYoungGenerationSizeMb: 1, maxOldGenerationSizeMb: 64 }

export function startStateWorker(): Worker {
  return new Worker(workerUrl, { execArgv: [], resourceLimits })
}

/**
 * The thread that reads and writes state files: tens to hundreds of megabytes, which would stall
 * every request. Starting it takes 50 ms, so that it is kept; one that has died is replaced when
 * there is a job.
 */
export class StateThread {
  readonly #startWorker: () => Worker
  readonly #jobs = new Map<number, Pending>()
  #worker: Worker | undefined
  #ending: Promise<unknown> = Promise.resolve()
  #nextId = 0
  #isClosed = false

  /** @param startWorker tests end what it starts */
  constructor(startWorker: () => Worker = startStateWorker) {
    this.#startWorker = startWorker
  }

  get isRunning(): boolean {
    return this.#worker !== undefined
  }

  /** Undefined when there is no such file. @throws block_invalid, engine_failed, engine_busy */
  async cut(job: CutJob): Promise<readonly BlockRows[] | undefined> {
    return await this.#run(job)
  }

  /**
   * Writes over no file but a ready one. When it fails it leaves none behind.
   * @throws engine_failed (the file cannot be written), engine_busy
   */
  async begin(job: BeginJob): Promise<void> {
    await this.#run(job)
  }

  /**
   * When it fails the file is gone.
   * @throws block_invalid, engine_failed (the file cannot be written), engine_busy
   */
  async place(job: PlaceJob): Promise<void> {
    await this.#run(job)
  }

  /** When it fails the file is gone. @throws engine_failed (it cannot be written), engine_busy */
  async zero(job: ZeroJob): Promise<void> {
    await this.#run(job)
  }

  /** Jobs that wait or run fail. When it resolves there is no thread. */
  async close(): Promise<void> {
    this.#isClosed = true
    this.#end('the engine was stopped')
    await this.#ending
  }

  #run(job: StateJob): Promise<readonly BlockRows[] | undefined> {
    if (this.#isClosed) throw threadFailed('the engine was stopped')
    if (this.#jobs.size >= stateJobsMax) throw tooManyJobs()
    this.#worker ??= this.#start()
    const pending: Pending = Promise.withResolvers()
    const id = this.#nextId
    this.#nextId += 1
    this.#jobs.set(id, pending)
    const message: ToStateWorker = { id, job }
    this.#worker.postMessage(message)
    return pending.promise
  }

  /** @throws engine_failed, when the system gives no thread */
  #start(): Worker {
    let worker: Worker
    try {
      worker = this.#startWorker()
    } catch (error) {
      throw threadFailed(error instanceof Error ? error.message : String(error))
    }
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
  }

  #end(reason: string): void {
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
