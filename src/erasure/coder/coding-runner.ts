import type { Worker } from 'node:worker_threads'
import { OperationError } from '../../errors.ts'
import { codedBytesMax, codedInPlaceBytesMax, codingMax, codingWaitingMax } from '../../limits.ts'
import type { Clock } from '../../std/clock.ts'
import { Permits } from '../../std/permits.ts'
import { type AbortOptions, linkSignal } from '../../std/signal.ts'
import { createKernel } from '../kernel/create-kernel.ts'
import type { Kernel } from '../kernel/kernel.ts'
import type { ShardTree } from '../leaves.ts'
import { CoderThreads } from './coder-threads.ts'
import { type CodingWork, createCodingJob, runCodingJob, treesOf } from './coding-job.ts'

export interface CodingRunnerComponents {
  readonly clock: Clock
  readonly startWorker: () => Worker
}

export interface CodingRunnerOptions {
  /** 0: everything in place. */
  readonly threads: number
  readonly idleMs: number
}

/** What the work on one object may use. */
export interface Turn {
  readonly signal: AbortSignal
  /** Makes and hashes shards; the trees of those that were hashed. */
  run(work: CodingWork): Promise<readonly ShardTree[]>
}

/** Decides when and where an object is worked on: small ones at once, large ones in threads. */
export class CodingRunner {
  readonly #clock: Clock
  readonly #hasThreads: boolean
  readonly #threads: CoderThreads
  readonly #permits = new Permits(codingMax, codingWaitingMax)
  readonly #running = new Set<Promise<unknown>>()
  /** Set while started; aborts all work when stopped. */
  #lifetime: AbortController | undefined
  #kernel: Kernel | undefined
  #nextId = 0
  #isWarming = false

  constructor(components: CodingRunnerComponents, { threads, idleMs }: CodingRunnerOptions) {
    if (!Number.isInteger(threads) || threads < 0) throw new RangeError(`Not ${threads} threads`)
    this.#clock = components.clock
    this.#hasThreads = threads > 0
    this.#threads = new CoderThreads(components, { count: threads, idleMs })
  }

  async start({ signal }: AbortOptions): Promise<void> {
    signal.throwIfAborted()
    this.#lifetime ??= new AbortController()
  }

  async stop(): Promise<void> {
    this.#lifetime?.abort(notRunning())
    this.#lifetime = undefined
    await this.#threads.end()
    await Promise.allSettled(this.#running)
  }

  /**
   * Has the threads do some work of no use, in the background, one piece of it at a time. Nothing
   * where it is not started.
   */
  warmUp(workOf: () => CodingWork): void {
    const signal = this.#lifetime?.signal
    if (signal === undefined || !this.#hasThreads || this.#isWarming) return
    this.#isWarming = true
    const job = createCodingJob(this.#nextId++, workOf())
    // Whoever comes with real work starts what could not be started, or is told why it cannot.
    const running = this.#threads.run(job, signal).catch(() => undefined)
    this.#running.add(running)
    running.finally(() => {
      this.#isWarming = false
      this.#running.delete(running)
    })
  }

  /** `bytes`: all shards of the object together. */
  async inTurn<T>(
    bytes: number,
    options: AbortOptions,
    work: (turn: Turn) => Promise<T>,
  ): Promise<T> {
    if (bytes > codedBytesMax) {
      throw new RangeError(`Shards of ${bytes} bytes together are more than ${codedBytesMax}`)
    }
    if (this.#lifetime === undefined) throw notRunning()
    options.signal.throwIfAborted()
    const linked = linkSignal(this.#clock, [options.signal, this.#lifetime.signal])
    const { signal } = linked
    const isInPlace = bytes <= codedInPlaceBytesMax
    const turn = { signal, run: this.#runnerOf(isInPlace || !this.#hasThreads, signal) }
    const running = isInPlace ? work(turn) : this.#withPermit(() => work(turn), signal)
    this.#running.add(running)
    try {
      return await running
    } finally {
      this.#running.delete(running)
      linked[Symbol.dispose]()
    }
  }

  async #withPermit<T>(work: () => Promise<T>, signal: AbortSignal): Promise<T> {
    const release = await this.#permits.acquire({ signal })
    if (release === undefined) throw tooMany()
    try {
      return await work()
    } finally {
      release()
    }
  }

  #runnerOf(isInPlace: boolean, signal: AbortSignal): Turn['run'] {
    return async work => {
      const job = createCodingJob(this.#nextId++, work)
      if (isInPlace) {
        this.#kernel ??= createKernel()
        runCodingJob(job, this.#kernel)
      } else {
        await this.#threads.run(job, signal)
      }
      return treesOf(job)
    }
  }
}

function notRunning(): OperationError {
  return new OperationError('draining', 'The shard coder is not running', { origin: 'self' })
}

function tooMany(): OperationError {
  return new OperationError('coding_failed', `${codingWaitingMax} objects wait to be coded`, {
    origin: 'self',
    retryable: true,
  })
}
