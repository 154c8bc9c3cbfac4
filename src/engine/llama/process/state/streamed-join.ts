import type { BlockRows } from '../../../../interface/kv-state.ts'
import { blockTokens } from '../../../../key/state-layout.ts'
import { assert } from '../../../../std/assert.ts'
import type { TaskScope } from '../../../../std/task-scope.ts'
import { type StateForm, stateFileBytes } from '../../../state-file/state-file.ts'
import type { StateFile } from '../../state/native-state.ts'
import type { ReadyFile } from './ready-file.ts'
import type { StateThread } from './state-thread.ts'

export interface StreamedJoinComponents {
  readonly files: Pick<ReadyFile, 'fileFor' | 'remove'>
  readonly thread: Pick<StateThread, 'begin' | 'place'>
  /** Owns the end of a file that nobody waits for. */
  readonly scope: TaskScope
}

/**
 * A state file of the leading blocks of a prompt that is written while they come, so that whoever
 * waits for it waits for the last block only. Every one ends in `finish` or `abandon`.
 */
export class StreamedJoin {
  readonly #parts: StreamedJoinComponents
  readonly #form: StateForm
  /** As many as the announced blocks hold. */
  readonly #tokenIds: readonly number[]
  /** Those that came and are not being written yet. */
  #waiting: BlockRows[] = []
  /** How many came. */
  #count = 0
  #path: string | undefined
  /** Why the file cannot be written; nothing is tried after that. */
  #failure: { readonly error: unknown } | undefined
  #isWriting = false
  /** Never rejects. */
  #written: Promise<void> = Promise.resolve()

  constructor(parts: StreamedJoinComponents, form: StateForm, tokenIds: readonly number[]) {
    this.#parts = parts
    this.#form = form
    this.#tokenIds = tokenIds
  }

  /** The next block, in shared memory. It is written as soon as those before it are. */
  add(rows: BlockRows): void {
    assert(this.#count * blockTokens < this.#tokenIds.length, 'No more blocks than announced')
    this.#count += 1
    this.#waiting.push(rows)
    if (this.#isWriting) return
    this.#isWriting = true
    this.#written = this.#writeWaiting()
  }

  /** The file, once all blocks are in it. Without one when it fails. @throws as `StateThread` */
  async finish(): Promise<StateFile> {
    assert(this.#count * blockTokens === this.#tokenIds.length, 'As many blocks as announced')
    await this.#written
    const [path, failure] = [this.#path, this.#failure]
    if (failure !== undefined) {
      this.#remove()
      throw failure.error
    }
    assert(path !== undefined, 'There is a file when a block was written')
    return { path, tokenIds: this.#tokenIds }
  }

  /** Leaves no file, as soon as nothing writes to it any more. */
  abandon(): void {
    this.#waiting = []
    this.#parts.scope.spawn('abandon state file', async () => {
      await this.#written
      this.#remove()
    })
  }

  /** Blocks that come meanwhile are written together. */
  async #writeWaiting(): Promise<void> {
    try {
      while (this.#failure === undefined && this.#waiting.length > 0) {
        const path = this.#path ?? (await this.#begin())
        const blocks = this.#waiting
        this.#waiting = []
        await this.#place(path, blocks)
      }
    } catch (error) {
      this.#failure = { error }
    } finally {
      this.#isWriting = false
    }
  }

  async #begin(): Promise<string> {
    const { files, thread } = this.#parts
    const [form, tokenIds] = [this.#form, this.#tokenIds]
    const { path, isReady } = await files.fileFor(stateFileBytes(form, tokenIds.length))
    // Known before it is there: nothing is removed while it is being made.
    this.#path = path
    await thread.begin({ type: 'begin', path, isReady, form, tokenIds })
    return path
  }

  async #place(path: string, blocks: readonly BlockRows[]): Promise<void> {
    // Abandoned meanwhile.
    if (blocks.length === 0) return
    const from = this.#count - blocks.length
    const tokens = this.#tokenIds.length
    await this.#parts.thread.place({ type: 'place', path, form: this.#form, tokens, from, blocks })
  }

  #remove(): void {
    if (this.#path !== undefined) this.#parts.files.remove(this.#path)
    this.#path = undefined
  }
}
