import { OperationError } from '../../errors.ts'
import type { Log } from '../../interface/log.ts'
import { storeBatchMax, storeQueueBytesMax, storeQueueMax } from '../../limits.ts'
import { assert } from '../../std/assert.ts'
import type { Clock } from '../../std/clock.ts'
import type { Ledger } from './ledger.ts'
import type { WriteOperation } from './record-writer.ts'
import type { UseCounts } from './use-counts.ts'
import type { WriterThread } from './writer-thread.ts'

export interface WriteQueueComponents {
  readonly clock: Clock
  readonly log: Log
  readonly writer: WriterThread
  readonly uses: UseCounts
}

export interface WriteQueueOptions {
  /** Told after every batch, before its writes resolve. */
  readonly onCommit: (ledger: Ledger) => void
  /** Puts a failure into words for the operator. */
  readonly explain: (error: unknown) => string
}

interface Waiting extends PromiseWithResolvers<boolean> {
  readonly operation: WriteOperation
  readonly bytes: number
}

/** Why nothing is written at present, and when that is tried again. */
interface Pause {
  readonly because: string
  readonly cancel: () => void
}

const firstDelayMs = 1_000
const delayMsMax = 60_000

/**
 * Writes on their way to the writer. Whatever arrives while a batch is being committed becomes the
 * next batch. After a failure writes are refused at once, and a probe finds out, after a doubling
 * delay, whether they work again.
 */
export class WriteQueue {
  readonly #parts: WriteQueueComponents
  readonly #options: WriteQueueOptions
  readonly #waiting: Waiting[] = []
  #waitingBytes = 0
  #running: Promise<void> | undefined
  #pause: Pause | undefined
  #delayMs = firstDelayMs
  #isClosed = false

  constructor(components: WriteQueueComponents, options: WriteQueueOptions) {
    this.#parts = components
    this.#options = options
  }

  get readOnlyBecause(): string | undefined {
    return this.#pause?.because
  }

  /** The operation's result, once it would survive kill -9. @throws store_failed */
  submit(operation: WriteOperation): Promise<boolean> {
    const bytes = operation.type === 'put' ? operation.bytes.length : 0
    const refusal = this.#refusal(bytes)
    if (refusal !== undefined) return Promise.reject(storeFailed(refusal, true))
    const waiting = { ...Promise.withResolvers<boolean>(), operation, bytes }
    this.#waiting.push(waiting)
    this.#waitingBytes += bytes
    this.#run()
    return waiting.promise
  }

  /** Refuses new writes and waits for those that were taken. */
  async close(): Promise<void> {
    this.#isClosed = true
    this.#pause?.cancel()
    while (this.#running !== undefined) await this.#running
  }

  #refusal(bytes: number): string | undefined {
    if (this.#isClosed) return 'the store is stopped'
    if (this.#pause !== undefined) return this.#pause.because
    const isFull =
      this.#waiting.length >= storeQueueMax || this.#waitingBytes + bytes > storeQueueBytesMax
    return isFull ? 'too many writes are waiting' : undefined
  }

  #run(): void {
    if (this.#running === undefined && this.#waiting.length > 0) this.#own(this.#drain())
  }

  /** What arrives while the work is ending has not started it again: look once more. */
  #own(work: Promise<void>): void {
    this.#running = work.finally(() => {
      this.#running = undefined
      this.#run()
    })
  }

  async #drain(): Promise<void> {
    // One turn of the microtask queue later everything that is put at the same time is in one
    // batch.
    await undefined
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.splice(0, storeBatchMax)
      for (const { bytes } of batch) this.#waitingBytes -= bytes
      await this.#write(batch)
    }
  }

  async #write(batch: readonly Waiting[]): Promise<void> {
    const { writer, uses } = this.#parts
    const operations = batch.map(waiting => waiting.operation)
    try {
      const outcome = await writer.apply({ operations, uses: uses.take() })
      this.#options.onCommit(outcome.ledger)
      this.#delayMs = firstDelayMs
      if (operations.some(operation => operation.type === 'flush')) uses.written()
      for (const [index, waiting] of batch.entries()) {
        waiting.resolve(outcome.results[index] ?? false)
      }
    } catch (error) {
      const because = this.#stopWriting(error)
      for (const waiting of [...batch, ...this.#waiting.splice(0)]) {
        waiting.reject(storeFailed(because, true, error))
      }
      this.#waitingBytes = 0
    }
  }

  /** Returns why. */
  #stopWriting(error: unknown): string {
    const because = this.#options.explain(error)
    if (this.#pause === undefined) this.#parts.log.warn('store read-only', { because, error })
    const cancel = this.#parts.clock.after(this.#delayMs, () => this.#probe())
    // Only a batch that succeeds resets the delay: on a full disk a probe may find a free page, and
    // a batch none.
    this.#delayMs = Math.min(2 * this.#delayMs, delayMsMax)
    this.#pause = { because, cancel }
    if (this.#isClosed) cancel()
    return because
  }

  /** There is no other write at the time: while paused none is taken. */
  #probe(): void {
    assert(this.#running === undefined, 'nothing is written while writing is paused')
    const probe = this.#parts.writer.apply('probe').then(
      outcome => {
        this.#pause = undefined
        this.#parts.log.info('store writable again')
        this.#options.onCommit(outcome.ledger)
      },
      (error: unknown) => {
        this.#stopWriting(error)
      },
    )
    this.#own(probe)
  }
}

export function storeFailed(because: string, retryable: boolean, cause?: unknown): OperationError {
  return new OperationError('store_failed', `Cannot store: ${because}`, {
    origin: 'store',
    retryable,
    cause,
  })
}
