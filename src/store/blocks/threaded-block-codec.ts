import { availableParallelism } from 'node:os'
import { OperationError } from '../../errors.ts'
import type { BlockCodec, BlockIdentity } from '../../interface/block-codec.ts'
import type { BlockRows } from '../../interface/kv-state.ts'
import type { Log } from '../../interface/log.ts'
import { blockRoot, type StateKind } from '../../key/block-hash.ts'
import { localScope, nodeSecretBytes } from '../../key/scope.ts'
import { blockTokens } from '../../key/state-layout.ts'
import { blockInlineBytesMax, blockJobBytesMax, blockJobsMax, KiB, MiB } from '../../limits.ts'
import type { Clock } from '../../std/clock.ts'
import type { Random } from '../../std/random.ts'
import { afterThisTurn } from '../../std/turn.ts'
import { nonceBytes } from '../../wire/block/sealed-block.ts'
import { type BlockForm, blockForm, openRows, sealedBytes, sealRows } from './block-form.ts'
import { bytesOf, type CodecJob, type CodecThread, startCodecThread } from './codec-thread.ts'

export interface ThreadedBlockCodecComponents {
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
}

export interface ThreadedBlockCodecOptions {
  /** Threads at once. @default 2, or one where there are two processors or fewer */
  readonly threadsMax?: number
  /** How long a further thread without work is kept, in milliseconds. @default 30_000 */
  readonly idleMs?: number
  /** Bytes sealed or opened in place within one turn of the event loop. @default 512 KiB */
  readonly inlineBytesMax?: number
  /** What starts a thread. @default startCodecThread */
  readonly startThread?: () => CodecThread
}

interface Waiting extends PromiseWithResolvers<Uint8Array> {
  readonly job: CodecJob
}

interface Idle {
  readonly thread: CodecThread
  readonly cancelEnd: () => void
}

/** Copied in one turn of the event loop, where bytes do not lie in shared memory: under 1 ms. */
const copyBytes: number = 4 * MiB

/**
 * Seals and opens in worker threads. The first is kept once it is started, by `warmUp` or by work;
 * further ones are started when there is more work and end when there was none for a while. What is
 * small is done in place, as long as that does not add up within one turn of the event loop.
 */
export class ThreadedBlockCodec implements BlockCodec {
  readonly name = 'block codec'
  readonly #parts: ThreadedBlockCodecComponents
  readonly #threadsMax: number
  readonly #idleMs: number
  readonly #inlineBytesMax: number
  readonly #startThread: () => CodecThread
  readonly #waiting: Waiting[] = []
  readonly #idle: Idle[] = []
  readonly #threads = new Set<CodecThread>()
  /** The thread that stays when there is nothing to do: the first of those that are alive. */
  #kept: CodecThread | undefined
  #warming: Promise<void> = Promise.resolve()
  /** Jobs that were taken and have not come to an end, and their bytes. */
  #jobs = 0
  #jobBytes = 0
  #inlineBytes = 0
  #isStopped = false

  constructor(components: ThreadedBlockCodecComponents, options: ThreadedBlockCodecOptions = {}) {
    const { idleMs = 30_000, inlineBytesMax = blockInlineBytesMax } = options
    this.#parts = components
    this.#threadsMax = options.threadsMax ?? Math.min(2, Math.max(1, availableParallelism() - 1))
    this.#idleMs = idleMs
    this.#inlineBytesMax = inlineBytesMax
    this.#startThread = options.startThread ?? startCodecThread
  }

  async start(): Promise<void> {
    this.#isStopped = false
  }

  /**
   * Starts a thread before there is work for it, in the background: the first block would wait 50
   * ms for it. One that cannot start is tried again with the first block.
   */
  warmUp(): void {
    this.#warming = this.#warmUp()
  }

  async stop(): Promise<void> {
    this.#isStopped = true
    for (const { reject } of this.#waiting.splice(0)) reject(codecFailed('the codec is stopped'))
    for (const { thread, cancelEnd } of this.#idle.splice(0)) {
      cancelEnd()
      thread.close()
    }
    while (this.#threads.size > 0) await Promise.all([...this.#threads].map(({ ended }) => ended))
    await this.#warming
  }

  async seal(
    block: BlockIdentity,
    rows: BlockRows,
    nonce: Uint8Array = this.#parts.random.bytes(nonceBytes),
  ): Promise<Uint8Array> {
    const form = blockForm(block)
    if (rows.length !== form.rowBytes) throw new RangeError('The rows are of another size')
    if (this.#isInPlace(form)) return sealRows(form, rows, nonce)
    return await this.#sealInThread(form, rows, nonce)
  }

  async open(block: BlockIdentity, sealed: Uint8Array): Promise<BlockRows> {
    const form = blockForm(block)
    if (this.#isOpenedHere(form, sealed)) return openRows(form, sealed)
    return await this.#openInThread(form, sealed)
  }

  async openInPlace(block: BlockIdentity, sealed: Uint8Array): Promise<BlockRows> {
    const form = blockForm(block)
    if (this.#isOpenedHere(form, sealed)) return openRows(form, sealed)
    // What is not shared is copied on its way, and opened in the copy.
    return await this.#inThread(sealed, bytes => ({ work: 'open in place', form, bytes }))
  }

  /** Of another size it is refused at once: there is nothing to send to a thread. */
  #isOpenedHere(form: BlockForm, sealed: Uint8Array): boolean {
    return sealed.length !== sealedBytes(form) || this.#isInPlace(form)
  }

  /** The first block that a thread seals or opens takes twice as long as the second. */
  async #warmUp(): Promise<void> {
    try {
      const form = blockForm(madeUpBlock)
      const rows = new Uint8Array(new SharedArrayBuffer(form.rowBytes))
      const nonce = this.#parts.random.bytes(nonceBytes)
      await this.#openInThread(form, await this.#sealInThread(form, rows, nonce))
    } catch (error) {
      if (!this.#isStopped) this.#parts.log.warn('block codec not ready ahead', { error })
    }
  }

  async #sealInThread(form: BlockForm, rows: BlockRows, nonce: Uint8Array): Promise<Uint8Array> {
    return await this.#inThread(rows, bytes => ({ work: 'seal', form, bytes, nonce }))
  }

  async #openInThread(form: BlockForm, sealed: Uint8Array): Promise<BlockRows> {
    return await this.#inThread(sealed, bytes => ({ work: 'open', form, bytes }))
  }

  /** Takes the bytes from what this turn of the event loop may still do in place. */
  #isInPlace({ rowBytes }: BlockForm): boolean {
    if (this.#isStopped) throw codecFailed('the codec is stopped')
    if (this.#inlineBytes + rowBytes > this.#inlineBytesMax) return false
    if (this.#inlineBytes === 0) {
      afterThisTurn(() => {
        this.#inlineBytes = 0
      })
    }
    this.#inlineBytes += rowBytes
    return true
  }

  async #inThread(bytes: Uint8Array, jobOf: (bytes: Uint8Array) => CodecJob): Promise<Uint8Array> {
    if (this.#jobs >= blockJobsMax || this.#jobBytes + bytes.length > blockJobBytesMax) {
      throw codecFailed('too many blocks are waiting')
    }
    this.#jobs += 1
    this.#jobBytes += bytes.length
    try {
      // At once where nothing is to be copied: `warmUp` has started its thread when it returns.
      const job = jobOf(isShared(bytes) ? bytes : await sharedCopy(bytes))
      if (this.#isStopped) throw codecFailed('the codec is stopped')
      const waiting = { ...Promise.withResolvers<Uint8Array>(), job }
      this.#waiting.push(waiting)
      this.#next()
      return await waiting.promise
    } finally {
      this.#jobs -= 1
      this.#jobBytes -= bytes.length
    }
  }

  /** Gives the job that waits longest to a thread, if one is free or may be started. */
  #next(): void {
    const [first] = this.#waiting
    if (first === undefined) return
    try {
      const thread = this.#takeIdle() ?? this.#newThread()
      if (thread === undefined) return
      this.#waiting.shift()
      this.#give(thread, first)
    } catch (error) {
      this.#waiting.shift()
      first.reject(this.#failureOf(error))
      // No thread will end and call this for those behind it.
      this.#next()
    }
  }

  #give(thread: CodecThread, { job, resolve, reject }: Waiting): void {
    const done = thread.run(job).then(bytesOf)
    done
      .then(resolve, (error: unknown) => reject(this.#failureOf(error)))
      .finally(() => this.#release(thread))
  }

  #failureOf(error: unknown): OperationError {
    if (error instanceof OperationError) return error
    this.#parts.log.warn('block codec failed', { error })
    return codecFailed(error instanceof Error ? error.message : String(error), error)
  }

  #takeIdle(): CodecThread | undefined {
    const idle = this.#idle.pop()
    idle?.cancelEnd()
    return idle?.thread
  }

  #newThread(): CodecThread | undefined {
    if (this.#threads.size >= this.#threadsMax) return undefined
    const thread = this.#startThread()
    this.#threads.add(thread)
    this.#kept ??= thread
    // Whether it was told to or not: where one has died the next job starts another.
    thread.ended.finally(() => this.#forget(thread))
    return thread
  }

  #forget(thread: CodecThread): void {
    this.#threads.delete(thread)
    if (this.#kept === thread) this.#kept = undefined
    const position = this.#idle.findIndex(idle => idle.thread === thread)
    for (const { cancelEnd } of position < 0 ? [] : this.#idle.splice(position, 1)) cancelEnd()
    this.#next()
  }

  #release(thread: CodecThread): void {
    // A dying one is replaced once it has ended.
    if (!thread.isAlive) return
    if (this.#isStopped) {
      thread.close()
      return
    }
    // Taken first, so that the others have nothing to do as soon as one is enough.
    if (thread === this.#kept) this.#idle.push({ thread, cancelEnd: () => undefined })
    else {
      const cancelEnd = this.#parts.clock.after(this.#idleMs, () => this.#endIdle(thread))
      this.#idle.unshift({ thread, cancelEnd })
    }
    this.#next()
  }

  #endIdle(thread: CodecThread): void {
    const position = this.#idle.findIndex(idle => idle.thread === thread)
    if (position < 0) return
    this.#idle.splice(position, 1)
    thread.close()
  }
}

const madeUpKind: StateKind = {
  numericClass: 'none',
  layout: { layers: [{ keyBytes: KiB, valueBytes: KiB }], settings: 'none' },
}

/** Of nobody's model, and 256 KiB large: its loops run for long enough to be compiled. */
const madeUpBlock: BlockIdentity = {
  hash: blockRoot(localScope(new Uint8Array(nodeSecretBytes), undefined), madeUpKind),
  kind: madeUpKind,
  index: 0,
  tokenIds: Array.from({ length: blockTokens }, () => 0),
}

function isShared({ buffer }: Uint8Array): boolean {
  return buffer instanceof SharedArrayBuffer
}

/** The same bytes in memory that threads share. Large ones are copied over several turns. */
async function sharedCopy(bytes: Uint8Array): Promise<Uint8Array> {
  const copy = new Uint8Array(new SharedArrayBuffer(bytes.length))
  for (let start = 0; start < bytes.length; start += copyBytes) {
    if (start > 0) await new Promise<void>(resolve => afterThisTurn(resolve))
    copy.set(bytes.subarray(start, start + copyBytes), start)
  }
  return copy
}

function codecFailed(because: string, cause?: unknown): OperationError {
  return new OperationError('store_failed', `Cannot seal or open the block: ${because}`, {
    origin: 'self',
    retryable: true,
    cause,
  })
}
