import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, readFile, readlink, rm, stat, statfs } from 'node:fs/promises'
import { join, sep } from 'node:path'
import { OperationError } from '../../../../errors.ts'
import type { Log } from '../../../../interface/log.ts'
import type { Random } from '../../../../std/random.ts'
import type { TaskScope } from '../../../../std/task-scope.ts'

export interface StateFolderComponents {
  readonly log: Log
  /** Owns the removal of files. */
  readonly scope: TaskScope
  readonly random: Random
}

export interface StateFolderOptions {
  /** Where files go when memory has no room for them. Made when it is needed. */
  readonly diskRoot: string
  /** A file system in memory. @default `/dev/shm`, where there is one */
  readonly memoryRoot?: string | undefined
}

const sharedMemory = '/dev/shm'

/**
 * Where state files live for the moment that they are needed: in memory where there is room, else
 * on disk; in folders of this process alone, under names that nobody can guess. What a killed
 * process left is removed at start.
 */
export class StateFolder {
  readonly #log: Log
  readonly #scope: TaskScope
  readonly #random: Random
  readonly #memoryRoot: string | undefined
  readonly #diskRoot: string
  /** Made folders by their root. */
  readonly #folders = new Map<string, Promise<string>>()
  #isClosed = false

  constructor(components: StateFolderComponents, options: StateFolderOptions) {
    this.#log = components.log
    this.#scope = components.scope
    this.#random = components.random
    const memoryRoot = 'memoryRoot' in options ? options.memoryRoot : sharedMemory
    this.#memoryRoot = memoryRoot !== undefined && existsSync(memoryRoot) ? memoryRoot : undefined
    this.#diskRoot = options.diskRoot
  }

  /** Removes what processes that are gone have left. Never fails: a leftover does no harm. */
  async open(): Promise<void> {
    for (const root of [this.#memoryRoot, this.#diskRoot]) {
      if (root === undefined) continue
      for (const name of await leftovers(root)) {
        await this.#removeFolder(join(root, name))
        this.#log.info('leftover state removed', { root })
      }
    }
  }

  /**
   * A path for a file of about `bytes`.
   * @throws store_failed, when there is no room for it, or it was closed
   */
  async fileFor(bytes: number): Promise<string> {
    // Twice as much: a generation may read one while another one writes.
    const needed = bytes * 2
    const hasMemory = process.availableMemory() > needed
    const roots = hasMemory ? [this.#memoryRoot, this.#diskRoot] : [this.#diskRoot]
    for (const root of roots) {
      if (root === undefined) continue
      const folder = await this.#folderIn(root)
      if (folder === undefined || (await roomIn(folder)) < needed) continue
      return join(folder, `${Buffer.from(this.#random.bytes(16)).toString('hex')}.state`)
    }
    throw new OperationError('store_failed', 'There is no room for a file of KV state', {
      origin: 'store',
      retryable: true,
    })
  }

  isInMemory(path: string): boolean {
    return this.#memoryRoot !== undefined && path.startsWith(join(this.#memoryRoot, sep))
  }

  /** Removes a file in the background. Of none that was never written, nothing. */
  remove(path: string): void {
    this.#scope.spawn('remove state file', () => rm(path, { force: true }))
  }

  /** Removes everything. Nothing is made any more: nobody would remove it. */
  async close(): Promise<void> {
    this.#isClosed = true
    const folders = [...this.#folders.values()]
    this.#folders.clear()
    for (const folder of folders) {
      const path = await folder.catch(() => undefined)
      if (path !== undefined) await this.#removeFolder(path)
    }
  }

  async #folderIn(root: string): Promise<string | undefined> {
    if (this.#isClosed) return undefined
    let folder = this.#folders.get(root)
    if (folder === undefined) {
      folder = makeFolder(root)
      this.#folders.set(root, folder)
    }
    try {
      return await folder
    } catch (error) {
      this.#folders.delete(root)
      this.#log.warn('state folder not made', { root, error })
      return undefined
    }
  }

  async #removeFolder(path: string): Promise<void> {
    try {
      await rm(path, { recursive: true, force: true })
    } catch (error) {
      this.#log.warn('state folder not removed', { error })
    }
  }
}

/** `hyperspace-state-<pid namespace>-<pid>-<start>-<random>`, readable for its owner only. */
async function makeFolder(root: string): Promise<string> {
  await mkdir(root, { recursive: true, mode: 0o700 })
  const owner = [await pidNamespace(), process.pid, await startOf(process.pid)].join('-')
  return await mkdtemp(join(root, `hyperspace-state-${owner}-`))
}

/** Folders in `root` whose process is gone. */
async function leftovers(root: string): Promise<readonly string[]> {
  const namespace = await pidNamespace()
  const found: string[] = []
  for (const name of await readdir(root).catch(() => [])) {
    const match = /^hyperspace-state-(\d+)-(\d+)-(\d+)-/.exec(name)
    // Memory may be shared with other containers, whose processes cannot be seen from here.
    if (match === null || match[1] !== namespace) continue
    const pid = Number(match[2])
    const isOurs = await stat(join(root, name)).then(
      ({ uid }) => uid === process.getuid?.() || process.getuid === undefined,
      () => false,
    )
    if (isOurs && !(isAlive(pid) && (await startOf(pid)) === match[3])) found.push(name)
  }
  return found
}

async function roomIn(folder: string): Promise<number> {
  const { bavail, bsize } = await statfs(folder)
  return bavail * bsize
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM'
  }
}

/**
 * Clock ticks after boot at which a process began (Linux): a pid is used again after a while.
 * Undefined for one that has ended and only waits to be reaped; 0 where the system shows nothing.
 */
async function startOf(pid: number): Promise<string | undefined> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '')
  // The second field is the command's name in brackets, which may hold spaces: count from behind.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  return fields[0] === 'Z' ? undefined : (fields[19] ?? '0')
}

/** The number of the namespace that pids are counted in (Linux); 0 where there is none. */
async function pidNamespace(): Promise<string> {
  const link = await readlink('/proc/self/ns/pid').catch(() => '')
  return /\d+/.exec(link)?.[0] ?? '0'
}
