import { Worker } from 'node:worker_threads'
import type { CodingJob } from './coding-job.ts'

// Named at run time, so that the compiler cannot rename it: .ts here, .js in dist.
const workerUrl = new URL(
  import.meta.url.endsWith('.ts') ? './coder-worker.ts' : './coder-worker.js',
  import.meta.url,
)

/** The heap of a thread that holds few objects: shards lie outside of it. Saves 4 MB of each. */
const resourceLimits = { maxYoungGenerationSizeMb: 1, maxOldGenerationSizeMb: 64 }

export function startCoderWorker(): Worker {
  // The process's own flags are not the thread's: `--input-type`, for one, makes it refuse to
  // start.
  return new Worker(workerUrl, { execArgv: [], resourceLimits })
}

/** One thread that works off coding jobs in the order in which it gets them. */
export class CoderThread {
  readonly #worker: Worker
  readonly #jobs = new Map<CodingJob['id'], PromiseWithResolvers<void>>()
  #death: Error | undefined

  constructor(worker: Worker) {
    this.#worker = worker
    worker.on('message', (id: CodingJob['id']) => {
      this.#jobs.get(id)?.resolve()
      this.#jobs.delete(id)
    })
    worker.on('error', error => this.#die(error))
    worker.on('exit', code => this.#die(new Error(`The thread ended with code ${code}`)))
  }

  get isDead(): boolean {
    return this.#death !== undefined
  }

  /** Resolves when the thread has found no more to do. @throws Error when it died before */
  run(job: CodingJob): Promise<void> {
    if (this.#death !== undefined) return Promise.reject(this.#death)
    const done = Promise.withResolvers<void>()
    this.#jobs.set(job.id, done)
    this.#worker.postMessage(job)
    return done.promise
  }

  async end(): Promise<void> {
    await this.#worker.terminate()
  }

  #die(death: Error): void {
    this.#death ??= death
    for (const { reject } of this.#jobs.values()) reject(this.#death)
    this.#jobs.clear()
  }
}
