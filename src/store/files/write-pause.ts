import { OperationError } from '../../errors.ts'
import type { Log } from '../../interface/log.ts'
import type { Clock } from '../../std/clock.ts'
import type { TaskScope } from '../../std/task-scope.ts'
import { explainWriteFailure } from '../lmdb/data-folder.ts'
import type { BlobFolder } from './blob-folder.ts'

export interface WritePauseComponents {
  readonly clock: Clock
  readonly log: Log
  readonly scope: TaskScope
  readonly folder: BlobFolder
}

const firstDelayMs = 1_000
const delayMsMax = 60_000

/**
 * Whether the folder can be written to. After a failure nothing is written until a probe has found,
 * after a doubling delay, that it works again.
 */
export class WritePause {
  readonly #parts: WritePauseComponents
  #because: string | undefined
  #cancel: (() => void) | undefined
  #delayMs = firstDelayMs
  #isClosed = false

  constructor(components: WritePauseComponents) {
    this.#parts = components
  }

  /** Why nothing is written at present. */
  get because(): string | undefined {
    return this.#because
  }

  /** Only a write that succeeds resets the delay: a probe may fit where a blob does not. */
  succeeded(): void {
    this.#delayMs = firstDelayMs
  }

  /** What whoever wanted to write is told. Errors of ours are passed on, and pause nothing. */
  failed(error: unknown): unknown {
    const cause = systemErrorOf(error)
    if (cause === undefined) return error
    const because = explainWriteFailure(this.#parts.folder.folder, cause)
    // Too many open files of this process say nothing of the disk.
    if (cause.code !== 'EMFILE' && cause.code !== 'ENFILE') this.#pause(because, cause)
    return storeFailed(because, true, cause)
  }

  close(): void {
    this.#isClosed = true
    this.#cancel?.()
  }

  #pause(because: string, error: Error): void {
    if (this.#isClosed) return
    const { clock, log, scope } = this.#parts
    if (this.#because === undefined) log.warn('store read-only', { because, error })
    this.#because = because
    // Of writes that fail together the first one has set the time.
    if (this.#cancel !== undefined) return
    this.#cancel = clock.after(this.#delayMs, () => {
      this.#cancel = undefined
      scope.spawn('store probe', () => this.#probe())
    })
    this.#delayMs = Math.min(2 * this.#delayMs, delayMsMax)
  }

  async #probe(): Promise<void> {
    try {
      await this.#parts.folder.probe()
      this.#because = undefined
      this.#parts.log.info('store writable again')
    } catch (error) {
      this.failed(error)
    }
  }
}

interface SystemError extends Error {
  readonly errno: number
  readonly code: string
}

/** Without the path that the system's message tells: it holds the name of a blob. */
function systemErrorOf(error: unknown): SystemError | undefined {
  if (!(error instanceof Error) || !('errno' in error) || !('code' in error)) return undefined
  const { errno, code } = error
  if (typeof errno !== 'number' || typeof code !== 'string') return undefined
  return Object.assign(new Error(`the system says ${code}`), { errno, code })
}

export function storeFailed(because: string, retryable: boolean, cause?: unknown): OperationError {
  return new OperationError('store_failed', `Cannot store: ${because}`, {
    origin: 'store',
    retryable,
    cause,
  })
}
