import type { Log } from '../../../../interface/log.ts'
import {
  blockInlineBytesMax,
  readyMemoryIdleMs,
  readyMemoryShare,
  touchedAtOnceBytes,
} from '../../../../limits.ts'
import type { Clock } from '../../../../std/clock.ts'
import { IdleWork, type TaskScope } from '../../../../std/task-scope.ts'
import type { StateFolder } from './state-folder.ts'
import type { StateThread } from './state-thread.ts'

export interface ReadyFileComponents {
  readonly clock: Clock
  readonly log: Log
  readonly folder: Pick<StateFolder, 'fileFor' | 'remove' | 'isInMemory'>
  readonly thread: Pick<StateThread, 'zero'>
  /** Owns what makes a file ready. */
  readonly scope: TaskScope
}

export interface NewFile {
  readonly path: string
  /** There is a file already, full of zeros, to be written over. */
  readonly isReady: boolean
}

/**
 * Keeps one state file in memory ready, full of zeros: to make room for a new one costs the system
 * as much as to write it, while a request waits. Once it has been used, and nothing happens, it is
 * made the next one.
 */
export class ReadyFile {
  readonly #parts: ReadyFileComponents
  /** How large it is to be; 0: none is kept. */
  #bytes = 0
  #ready: { readonly path: string; readonly bytes: number } | undefined
  /** Files that were ready, and are in use, with their sizes. */
  readonly #lent = new Map<string, number>()
  /** One that is not in use any more. */
  #used: string | undefined
  readonly #filling: IdleWork
  #isClosed = false

  constructor(components: ReadyFileComponents) {
    this.#parts = components
    const options = { task: 'make a state file ready', idleMs: readyMemoryIdleMs }
    this.#filling = new IdleWork(components, options, () => this.#fill())
  }

  /** Keeps a file of so many bytes, or more, ready from now on. */
  keep(bytes: number): void {
    if (bytes <= this.#bytes) return
    this.#bytes = bytes
    this.#used ??= this.#ready?.path
    this.#ready = undefined
    this.#filling.now()
  }

  /** For a file of about so many bytes. @throws store_failed, when there is no room for it */
  async fileFor(bytes: number): Promise<NewFile> {
    const { folder } = this.#parts
    // A small one costs nothing.
    if (bytes <= blockInlineBytesMax) return { path: await folder.fileFor(bytes), isReady: false }
    const ready = this.#ready
    this.#ready = undefined
    this.#filling.later()
    if (ready !== undefined) {
      if (await this.#hasRoom(bytes - ready.bytes)) {
        this.#lent.set(ready.path, bytes)
        return { path: ready.path, isReady: true }
      }
      folder.remove(ready.path)
    }
    return { path: await folder.fileFor(bytes), isReady: false }
  }

  /** Of a file that nobody needs any more. */
  remove(path: string): void {
    const bytes = this.#lent.get(path)
    this.#lent.delete(path)
    const isOfUse = bytes !== undefined && bytes <= 2 * this.#bytes && !this.#isClosed
    const isMissing =
      this.#ready === undefined && this.#used === undefined && !this.#filling.isRunning
    if (isOfUse && isMissing) {
      this.#used = path
      this.#filling.later()
    } else {
      this.#parts.folder.remove(path)
    }
  }

  /** Makes nothing ready from now on. What there is goes with its folder. */
  close(): void {
    this.#isClosed = true
    this.#filling.close()
  }

  async #hasRoom(bytes: number): Promise<boolean> {
    const { folder } = this.#parts
    // That there is room nowhere is told when a new file is asked for.
    return bytes <= 0 || folder.isInMemory(await folder.fileFor(bytes).catch(() => ''))
  }

  async #fill(): Promise<void> {
    if (this.#bytes === 0 || this.#ready !== undefined) return
    const { folder, thread, log } = this.#parts
    let path = this.#used
    this.#used = undefined
    try {
      path ??= await this.#newPath()
      if (path === undefined) return
      // Whether it is to be larger may turn out meanwhile.
      for (let start = 0; start < this.#bytes; start += touchedAtOnceBytes) {
        const total = this.#bytes
        const bytes = Math.min(touchedAtOnceBytes, total - start)
        await thread.zero({ type: 'zero', path, start, bytes, total })
      }
      this.#ready = { path, bytes: this.#bytes }
    } catch (error) {
      if (path !== undefined) folder.remove(path)
      if (!this.#isClosed) log.info('no state file ready', { error })
    }
  }

  /** Undefined where memory is short: others must find as much room beside it as without it. */
  async #newPath(): Promise<string | undefined> {
    if (process.availableMemory() * readyMemoryShare < this.#bytes) return undefined
    const { folder } = this.#parts
    const path = await folder.fileFor(2 * this.#bytes)
    return folder.isInMemory(path) ? path : undefined
  }
}
