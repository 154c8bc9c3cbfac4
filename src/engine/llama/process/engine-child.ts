import { type ChildProcess, fork } from 'node:child_process'
import type { Readable } from 'node:stream'
import { OperationError } from '../../../errors.ts'
import type { EngineModel } from '../../../interface/engine.ts'
import type { Log } from '../../../interface/log.ts'
import {
  engineCallsMax,
  engineOutputTimeoutMs,
  enginePingsUnansweredMax,
  engineStopTimeoutMs,
} from '../../../limits.ts'
import type { Clock } from '../../../std/clock.ts'
import { type AbortOptions, settlesWithin } from '../../../std/signal.ts'
import { ChildStream } from './child-stream.ts'
import type {
  Call,
  FromChild,
  LoadedFacts,
  Result,
  StreamCall,
  ToChild,
  ValueCall,
} from './engine-messages.ts'
import { errorOf } from './error-message.ts'
import { LineReader } from './line-reader.ts'
import type { ResidentChange } from './state/resident-mirror.ts'
import { Watchdog } from './watchdog.ts'

export interface ChildComponents {
  readonly clock: Clock
  readonly log: Log
  /** Hears what the process tells unasked, by the model's place in the list. */
  readonly onResident: (model: number, change: ResidentChange) => void
  readonly onSpeed: (model: number, speed: EngineModel['speed']) => void
  /** Before the calls of a process that has ended are told: what was resident is lost. */
  readonly onEnd: () => void
}

/** How a process ended. */
export interface ChildEnd {
  readonly exitCode: number | null
  readonly killedBy: string | null
  /** What it wrote last: where native code says why it aborts. */
  readonly lastLines: readonly string[]
}

/** A call that the process has not answered yet. */
interface PendingCall {
  readonly stream?: ChildStream
  done(result: Result): void
  failed(error: unknown): void
}

// The file is named at run time, so that the compiler cannot rename it: .ts here, .js in dist.
const entryUrl = new URL(
  import.meta.url.endsWith('.ts') ? './child/engine-main.ts' : './child/engine-main.js',
  import.meta.url,
)

/**
 * One process that runs the engine, from fork to exit. When it ends, however it ends, every call
 * that it owes an answer fails with `engine_failed`, and `hasEnded` is true before that is told.
 * One that lives and gives no sign of life while it owes answers is ended.
 */
export class EngineChild {
  /** Resolves when the process is gone. Never rejects. */
  readonly ended: Promise<ChildEnd>
  readonly #components: ChildComponents
  readonly #child: ChildProcess
  readonly #calls = new Map<number, PendingCall>()
  readonly #loaded = Promise.withResolvers<readonly LoadedFacts[]>()
  readonly #lines: LineReader
  readonly #watchdog: Watchdog
  #isLoading = false
  #nextId = 0
  #hasEnded = false

  constructor(components: ChildComponents) {
    this.#components = components
    this.#lines = new LineReader(line => components.log.warn('engine process wrote', { line }))
    this.#watchdog = new Watchdog({
      clock: components.clock,
      ping: () => this.#send({ type: 'ping' }),
      onStuck: () => this.#endStuck(),
    })
    // The node's own flags are not the child's: an inspector's port, for one, is taken.
    this.#child = fork(entryUrl, {
      serialization: 'advanced',
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      execArgv: [],
    })
    this.#child.on('message', (message: FromChild) => this.#receive(message))
    this.#child.on('disconnect', () => this.kill())
    for (const output of [this.#child.stdout, this.#child.stderr]) this.#readLines(output)
    this.ended = this.#untilEnd()
  }

  get pid(): number | undefined {
    return this.#child.pid
  }

  get hasEnded(): boolean {
    return this.#hasEnded
  }

  /**
   * Tells it to load models, and waits until it serves.
   * @throws what `LlamaEngine.start` throws; engine_failed when the process ends before
   */
  async load(load: ToChild & { readonly type: 'load' }): Promise<readonly LoadedFacts[]> {
    this.#loaded.promise.catch(() => undefined)
    this.#isLoading = true
    this.#watch()
    this.#send(load)
    try {
      return await this.#loaded.promise
    } finally {
      this.#isLoading = false
      this.#watch()
    }
  }

  /**
   * Asks for one answer. When the signal fires the process is told, and its answer awaited: native
   * calls end within one batch.
   * @throws the signal's reason, the call's failure, engine_failed when the process has ended
   */
  async ask(model: number, call: ValueCall, { signal }: AbortOptions): Promise<Result> {
    signal.throwIfAborted()
    const { promise, resolve, reject } = Promise.withResolvers<Result>()
    const id = this.#begin(model, call, { done: resolve, failed: reject })
    const onAbort = (): void => this.#send({ type: 'cancel', id })
    signal.addEventListener('abort', onAbort, { once: true })
    try {
      return await promise
    } catch (error) {
      signal.throwIfAborted()
      throw error
    } finally {
      signal.removeEventListener('abort', onAbort)
    }
  }

  /** Opens a stream. Whoever does reads it to its end, or cancels it and waits for its end. */
  open(model: number, call: StreamCall): ChildStream {
    const stream = new ChildStream({
      cancel: () => this.#send({ type: 'cancel', id }),
      more: count => this.#send({ type: 'more', id, count }),
    })
    const id = this.#begin(model, call, {
      stream,
      done: () => stream.end(),
      failed: error => stream.end(error),
    })
    return stream
  }

  /** Asks it to end, waits a while, then ends it. All calls fail with the reason at once. */
  async stop(reason: OperationError): Promise<void> {
    this.#fail(reason)
    this.#send({ type: 'stop' })
    const isInTime = await settlesWithin(this.#components.clock, this.ended, engineStopTimeoutMs)
    if (!isInTime) this.kill()
    await this.ended
  }

  kill(): void {
    this.#child.kill('SIGKILL')
  }

  async #untilEnd(): Promise<ChildEnd> {
    const { clock } = this.#components
    const exit = Promise.withResolvers<Omit<ChildEnd, 'lastLines'>>()
    const closed = Promise.withResolvers<void>()
    this.#child.on('exit', (exitCode, killedBy) => exit.resolve({ exitCode, killedBy }))
    this.#child.on('close', () => closed.resolve())
    this.#child.on('error', error => {
      this.#lines.push(`${error.message}\n`)
      // A process that could not be made has no exit; one that cannot be talked to is ended.
      if (!this.#child.pid) exit.resolve({ exitCode: null, killedBy: null })
      else this.kill()
    })
    const end = await exit.promise
    this.#end()
    // What it wrote last may be on its way still.
    await settlesWithin(clock, closed.promise, this.#child.pid ? engineOutputTimeoutMs : 0)
    this.#child.stdout?.destroy()
    this.#child.stderr?.destroy()
    return { ...end, lastLines: this.#lines.last }
  }

  #begin(model: number, call: Call, pending: PendingCall): number {
    if (this.#calls.size >= engineCallsMax) throw tooManyCalls()
    const id = this.#nextId
    this.#nextId += 1
    if (!this.#hasEnded) this.#send({ type: 'call', id, model, call })
    this.#calls.set(id, pending)
    if (this.#hasEnded) this.#fail(processEnded())
    this.#watch()
    return id
  }

  #send(message: ToChild): void {
    // A channel that has closed says so to the callback, and its process is at its end.
    if (this.#child.connected) this.#child.send(message, () => undefined)
  }

  #receive(message: FromChild): void {
    if (this.#hasEnded || message === null) return
    this.#watchdog.heard()
    switch (message.type) {
      case 'loaded':
        this.#loaded.resolve(message.models)
        break
      case 'load failed':
        this.#loaded.reject(errorOf(message.error))
        break
      case 'items':
        this.#calls.get(message.id)?.stream?.push(message.items)
        break
      case 'done':
        this.#settle(message.id)?.done(message.result)
        break
      case 'failed':
        this.#settle(message.id)?.failed(errorOf(message.error))
        break
      case 'speed':
        this.#components.onSpeed(message.model, message.speed)
        break
      case 'resident':
        this.#components.onResident(message.model, message.change)
        break
      case 'log':
        this.#components.log[message.level](message.event, message.fields)
        break
      default:
      // Not ours: what a tool or a library writes to the channel does not concern us.
    }
  }

  #settle(id: number): PendingCall | undefined {
    const call = this.#calls.get(id)
    this.#calls.delete(id)
    this.#watch()
    return call
  }

  /** Its watchdog, while it owes something. */
  #watch(): void {
    this.#watchdog.watch(this.#isLoading || this.#calls.size > 0)
  }

  #endStuck(): void {
    const { pid } = this.#child
    const unanswered = enginePingsUnansweredMax
    this.#components.log.warn('engine process gives no sign of life', { pid, unanswered })
    this.kill()
  }

  #end(): void {
    if (this.#hasEnded) return
    this.#hasEnded = true
    this.#components.onEnd()
    this.#fail(processEnded())
  }

  #fail(error: OperationError): void {
    const calls = [...this.#calls.values()]
    this.#calls.clear()
    this.#isLoading = false
    this.#watch()
    this.#loaded.reject(error)
    for (const call of calls) call.failed(error)
  }

  #readLines(output: Readable | null): void {
    output?.setEncoding('utf8').on('data', (text: string) => this.#lines.push(text))
  }
}

export function processEnded(): OperationError {
  return new OperationError(
    'engine_failed',
    'The engine process ended while it worked on this, and is being restarted',
    { origin: 'engine', retryable: true, retryAfterMs: 1_000 },
  )
}

function tooManyCalls(): OperationError {
  const message = `The engine works on ${engineCallsMax} calls already`
  return new OperationError('engine_busy', message, {
    origin: 'engine',
    retryable: true,
    retryAfterMs: 1_000,
  })
}
