import type { BlockRange, StateSink } from '../../../../interface/kv-state.ts'
import type { Log } from '../../../../interface/log.ts'
import type { StateLayout } from '../../../../key/state-layout.ts'
import type { Clock } from '../../../../std/clock.ts'
import type { TaskScope } from '../../../../std/task-scope.ts'
import type { NativeStateOptions, StateFile } from '../../state/native-state.ts'
import type { ReadyFile } from './ready-file.ts'
import type { StateFolder } from './state-folder.ts'
import type { StateThread } from './state-thread.ts'

/** What work on state files needs. */
export interface StateParts {
  readonly clock: Clock
  readonly log: Log
  readonly scope: TaskScope
  readonly folder: StateFolder
  readonly files: ReadyFile
  readonly thread: StateThread
}

/** A state file and the place that it takes up. */
export interface LentFile {
  readonly file: StateFile
  /** Gives the place back. */
  release(): void
}

export interface PreparedFiles {
  readonly layout: StateLayout
  /** To begin from. */
  readonly load: LentFile | undefined
  /** How long it was still being written when all blocks were there, in milliseconds. */
  readonly joinMs: number | undefined
  /** Whether the offer was asked: it can be only once. */
  readonly wasOfferAsked: boolean
  /** To be written, and what of it is wanted by whom. */
  readonly save: (LentFile & { readonly range: BlockRange; readonly sink: StateSink }) | undefined
}

/** The state files of one attempt at a generation. Dispose it when the attempt is over. */
export class PreparedState {
  readonly wasOfferAsked: boolean
  /**
   * How long the file that is to be loaded was still being written when all blocks were there, in
   * milliseconds.
   */
  readonly joinMs: number
  readonly #parts: StateParts
  readonly #layout: StateLayout
  #load: PreparedFiles['load']
  #save: PreparedFiles['save']

  constructor(parts: StateParts, files: PreparedFiles) {
    this.#parts = parts
    this.#layout = files.layout
    this.#load = files.load
    this.#save = files.save
    this.wasOfferAsked = files.wasOfferAsked
    this.joinMs = files.joinMs ?? 0
  }

  /** For the engine's process. */
  get options(): NativeStateOptions {
    return {
      ...(this.#load === undefined ? {} : { load: this.#load.file }),
      ...(this.#save === undefined ? {} : { save: this.#save.file }),
    }
  }

  /** Whether blocks are to be handed out when the generation has ended. */
  get keeps(): boolean {
    return this.#save !== undefined
  }

  /** The generation has begun: what it was to begin from has been read. */
  begun(): void {
    this.#drop(this.#load)
    this.#load = undefined
  }

  /**
   * Hands out the blocks once the engine's process has ended the call, whoever waits for that or
   * not. Resolves when they are handed out. Never rejects.
   */
  handOut(ended: Promise<void>): Promise<void> {
    const save = this.#save
    this.#save = undefined
    const { scope, thread, log } = this.#parts
    if (save === undefined || scope.signal.aborted) return Promise.resolve()
    const { promise, resolve } = Promise.withResolvers<void>()
    scope.spawn('hand out KV state', async () => {
      try {
        await ended
        const { file, range, sink } = save
        const blocks = await thread.cut({ type: 'cut', ...file, layout: this.#layout, range })
        for (const [index, rows] of (blocks ?? []).entries()) sink.take(range.from + index, rows)
      } catch (error) {
        if (!scope.signal.aborted) log.warn('state not kept', { error })
      } finally {
        this.#drop(save)
        resolve()
      }
    })
    return promise
  }

  [Symbol.dispose](): void {
    this.begun()
    this.#drop(this.#save)
    this.#save = undefined
  }

  #drop(lent: LentFile | undefined): void {
    if (lent === undefined) return
    this.#parts.files.remove(lent.file.path)
    lent.release()
  }
}
