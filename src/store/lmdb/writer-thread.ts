import { Worker } from 'node:worker_threads'
import { assert } from '../../std/assert.ts'
import type { Ledger } from './ledger.ts'
import type { WriteBatch, WriteOutcome, WriterOptions } from './record-writer.ts'
import { WriteFailed, type WriterFailure } from './write-failure.ts'

export type ToWriter = WriteBatch | 'probe' | 'close'

export type WriterMessage =
  | { readonly type: 'opened'; readonly ledger: Ledger }
  /** The file holds no store that can be used. */
  | { readonly type: 'damaged'; readonly reason: string }
  | ({ readonly type: 'failed' } & WriterFailure)
  | { readonly type: 'applied'; readonly outcome: WriteOutcome }

// The thread's file is named at run time, so that the compiler cannot rename it: .ts here, .js in
// dist.
const workerUrl = new URL(
  import.meta.url.endsWith('.ts') ? './writer-worker.ts' : './writer-worker.js',
  import.meta.url,
)

/**
 * The thread that writes to the store. In it LMDB may wait for the disk; here that would stall
 * every request. It also keeps to lmdb's synchronous calls: after a failed commit the asynchronous
 * ones leave rejections that nobody can catch and a `close` that never returns (measured with lmdb
 * 3.5.6 on a full disk).
 */
export class WriterThread {
  readonly #worker: Worker
  #waiting: PromiseWithResolvers<WriterMessage> | undefined
  readonly #exit = Promise.withResolvers<void>()
  #ended: string | undefined

  /**
   * `hello` resolves with `opened`, `damaged` or `failed`; after the latter two the thread ends by
   * itself.
   */
  constructor(options: WriterOptions) {
    // The process's own flags are not the thread's: `--input-type`, for one, makes it refuse to
    // start.
    this.#worker = new Worker(workerUrl, { workerData: options, execArgv: [] })
    this.#worker.on('message', (message: WriterMessage) => this.#take()?.resolve(message))
    this.#worker.on('error', error => this.#end(`the writer failed: ${error.message}`))
    this.#worker.on('exit', () => {
      this.#end('the writer has ended')
      this.#exit.resolve()
    })
  }

  hello(): Promise<WriterMessage> {
    return this.#next()
  }

  /** One batch, or probe, at a time. @throws WriteFailed, with nothing of the batch written */
  async apply(batch: WriteBatch | 'probe'): Promise<WriteOutcome> {
    const answer = this.#next()
    this.#post(batch)
    const message = await answer
    if (message.type === 'failed') throw new WriteFailed(message)
    assert(message.type === 'applied', 'a batch is answered by its outcome')
    return message.outcome
  }

  async close(): Promise<void> {
    if (this.#ended === undefined) this.#post('close')
    await this.#exit.promise
  }

  /** Resolves when the thread has ended. */
  ended(): Promise<void> {
    return this.#exit.promise
  }

  #post(message: ToWriter): void {
    const bytes = typeof message === 'string' ? [] : message.operations.flatMap(buffersOf)
    this.#worker.postMessage(message, bytes)
  }

  #next(): Promise<WriterMessage> {
    assert(this.#waiting === undefined, 'the writer is asked one thing at a time')
    const waiting = Promise.withResolvers<WriterMessage>()
    if (this.#ended === undefined) this.#waiting = waiting
    else waiting.reject(new WriteFailed({ message: this.#ended, errno: 0 }))
    return waiting.promise
  }

  #take(): PromiseWithResolvers<WriterMessage> | undefined {
    const waiting = this.#waiting
    this.#waiting = undefined
    return waiting
  }

  #end(reason: string): void {
    this.#ended ??= reason
    this.#take()?.reject(new WriteFailed({ message: this.#ended, errno: 0 }))
  }
}

/**
 * Buffers that are moved to the thread instead of copied. The queue has copied them from the
 * caller's.
 */
function buffersOf(operation: WriteBatch['operations'][number]): ArrayBuffer[] {
  const buffer = operation.type === 'put' ? operation.bytes.buffer : undefined
  return buffer instanceof ArrayBuffer ? [buffer] : []
}
