import { Worker } from 'node:worker_threads'
import { OperationError } from '../../errors.ts'
import { assert } from '../../std/assert.ts'
import type { BlockForm } from './block-form.ts'

/** Bytes lie in shared memory, so that neither they nor the reply's are copied. */
export type CodecJob =
  | {
      readonly work: 'seal'
      readonly form: BlockForm
      readonly bytes: Uint8Array
      readonly nonce: Uint8Array
    }
  | {
      readonly work: 'open' | 'open in place'
      readonly form: BlockForm
      readonly bytes: Uint8Array
    }

export type CodecReply =
  | { readonly outcome: 'done'; readonly bytes: Uint8Array }
  /** Of a `block_invalid`: errors of our own class do not travel between threads. */
  | { readonly outcome: 'invalid'; readonly message: string }
  | { readonly outcome: 'failed'; readonly message: string }

export type ToCodecThread = CodecJob | 'close'

/** Does one job at a time. */
export interface CodecThread {
  /** @throws Error when the thread ends before it is done */
  run(job: CodecJob): Promise<CodecReply>
  /** False from the moment that its end is certain. */
  readonly isAlive: boolean
  /** Resolves when the thread has ended, for whatever reason. */
  readonly ended: Promise<void>
  /** Lets the job in hand finish. */
  close(): void
}

// The thread's file is named at run time, so that the compiler cannot rename it: .ts here, .js in
// dist.
const workerUrl = new URL(
  import.meta.url.endsWith('.ts') ? './codec-worker.ts' : './codec-worker.js',
  import.meta.url,
)

/** The heap of a thread that holds few objects: blocks lie outside of it. Saves 3 MB of each. */
const resourceLimits = { maxYoungGenerationSizeMb: 1, maxOldGenerationSizeMb: 64 }

export function startCodecThread(): CodecThread {
  return codecThreadOf(new Worker(workerUrl, { execArgv: [], resourceLimits }))
}

/** For tests, which end the worker behind its back. */
export function codecThreadOf(worker: Worker): CodecThread {
  const exit = Promise.withResolvers<void>()
  let waiting: PromiseWithResolvers<CodecReply> | undefined
  let ending: string | undefined
  const end = (reason: string): void => {
    ending ??= reason
    waiting?.reject(new Error(ending))
    waiting = undefined
  }
  worker.on('message', (reply: CodecReply) => {
    waiting?.resolve(reply)
    waiting = undefined
  })
  worker.on('error', error => end(`its thread failed: ${error.message}`))
  worker.on('exit', () => {
    end('its thread has ended')
    exit.resolve()
  })
  return {
    run(job) {
      assert(waiting === undefined, 'a thread does one job at a time')
      if (ending !== undefined) return Promise.reject(new Error(ending))
      waiting = Promise.withResolvers()
      worker.postMessage(job satisfies ToCodecThread)
      return waiting.promise
    },
    get isAlive() {
      return ending === undefined
    },
    ended: exit.promise,
    close: () => worker.postMessage('close' satisfies ToCodecThread),
  }
}

/** A thread's reply as what the codec promises. @throws block_invalid, Error */
export function bytesOf(reply: CodecReply): Uint8Array {
  if (reply.outcome === 'done') return reply.bytes
  if (reply.outcome === 'failed') throw new Error(reply.message)
  throw new OperationError('block_invalid', reply.message, { origin: 'peer' })
}
