import {
  chmodSync,
  closeSync,
  existsSync,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { OperationError } from './errors.ts'
import { nodeSecretBytes } from './key/scope.ts'
import { isJsonObject } from './std/json.ts'
import type { Random } from './std/random.ts'
import { folderUnusable } from './store/lmdb/data-folder.ts'

/** What a running node tells the commands of its folder. */
export interface RunningNode {
  readonly pid: number
  /** `http://127.0.0.1:11500` */
  readonly url: string
  readonly adminToken: string
  readonly version: string
}

export interface KnownModelName {
  readonly name: string
  readonly aliases: readonly string[]
  readonly id: string
  readonly developerRole: boolean
}

export interface DataFolderPaths {
  readonly root: string
  readonly records: string
  /** Sealed KV state of this node, and shards that it holds for its swarm. */
  readonly blocks: string
  readonly shards: string
  readonly models: string
  readonly logFile: string
  readonly modelTable: string
}

export function dataFolderPaths(root: string): DataFolderPaths {
  return {
    root,
    records: join(root, 'records'),
    blocks: join(root, 'kv'),
    shards: join(root, 'kv-shared'),
    models: join(root, 'models'),
    logFile: join(root, 'logs', 'node.log'),
    modelTable: join(root, 'models', 'table.json'),
  }
}

/** The folder of one node, held by one process at a time. */
export class DataFolder {
  readonly paths: DataFolderPaths
  readonly #random: Random
  readonly #lockFile: string
  readonly #nodeFile: string

  constructor(root: string, random: Random) {
    this.paths = dataFolderPaths(root)
    this.#random = random
    this.#lockFile = join(root, 'node.lock')
    this.#nodeFile = join(root, 'node.json')
  }

  /**
   * Makes the folder and takes it for this process.
   * @throws data_folder_locked with the pid of the holder; data_folder_unusable when it cannot be
   * written
   */
  acquire(): void {
    const { root, models, logFile } = this.paths
    try {
      makeFolder(root)
      makeFolder(models)
      makeFolder(dirname(logFile))
      closeSync(openSync(logFile, 'a'))
      this.#lock()
    } catch (error) {
      throw error instanceof OperationError ? error : folderUnusable(root, error)
    }
  }

  release(): void {
    rmSync(this.#nodeFile, { force: true })
    rmSync(this.#lockFile, { force: true })
  }

  /**
   * The node's 32 secret bytes; drawn the first time. Whoever has them can compute this node's
   * keys.
   */
  secret(): Uint8Array {
    const file = join(this.paths.root, 'node.secret')
    const known = readIfThere(file)
    if (known !== undefined) {
      const bytes = Buffer.from(known.trim(), 'hex')
      if (bytes.length === nodeSecretBytes) return bytes
      throw new OperationError(
        'data_folder_unusable',
        `${file} is damaged: it must hold ${nodeSecretBytes * 2} hex digits. Restore it, or ` +
          'delete it to start with a new secret (stored answers are then out of reach)',
        { origin: 'store' },
      )
    }
    const secret = this.#random.bytes(nodeSecretBytes)
    this.#write(file, `${Buffer.from(secret).toString('hex')}\n`)
    return secret
  }

  /** Tells the commands of this folder where the node is. */
  announce(node: RunningNode): void {
    this.#write(this.#nodeFile, `${JSON.stringify(node, null, 2)}\n`)
  }

  /** Keeps what the models are called, for commands that run while the node does not. */
  writeModelTable(models: readonly KnownModelName[]): void {
    this.#write(this.paths.modelTable, `${JSON.stringify({ models }, null, 2)}\n`)
  }

  #lock(): void {
    const own = `${this.#lockFile}.${process.pid}`
    writeFileSync(own, JSON.stringify({ pid: process.pid, started: startTimeOf(process.pid) }))
    try {
      for (let attempt = 0; ; attempt++) {
        try {
          // A link appears whole or not at all: nobody ever reads half a lock.
          linkSync(own, this.#lockFile)
          return
        } catch (error) {
          if (!hasCode(error, 'EEXIST') || attempt === 3) throw error
          const holder = holderOf(this.#lockFile)
          if (holder !== undefined) throw locked(this.paths.root, holder)
          rmSync(this.#lockFile, { force: true })
        }
      }
    } finally {
      rmSync(own, { force: true })
    }
  }

  #write(file: string, text: string): void {
    try {
      const draft = `${file}.new`
      writeFileSync(draft, text, { mode: 0o600 })
      chmodSync(draft, 0o600)
      renameSync(draft, file)
    } catch (error) {
      throw folderUnusable(this.paths.root, error)
    }
  }
}

/** The node that runs on a folder, or undefined. A file left by a killed node does not count. */
export function findRunningNode(root: string): RunningNode | undefined {
  if (holderOf(join(root, 'node.lock')) === undefined) return undefined
  const value = parseJson(readIfThere(join(root, 'node.json')))
  if (!isJsonObject(value)) return undefined
  const { pid, url, adminToken, version } = value
  if (typeof pid !== 'number' || typeof url !== 'string') return undefined
  if (typeof adminToken !== 'string' || typeof version !== 'string') return undefined
  return { pid, url, adminToken, version }
}

/** The live process that holds a lock file. */
function holderOf(lockFile: string): number | undefined {
  const value = parseJson(readIfThere(lockFile))
  if (!isJsonObject(value) || typeof value['pid'] !== 'number') return undefined
  const { pid } = value
  if (typeof pid !== 'number' || !isAlive(pid)) return undefined
  // A pid is used again after a while: the start time tells the processes apart, where the system
  // shows it.
  const started = startTimeOf(pid)
  return value['started'] === started || started === undefined ? pid : undefined
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return hasCode(error, 'EPERM')
  }
}

/** Clock ticks after boot at which a process began (Linux), as text. */
function startTimeOf(pid: number): string | undefined {
  const stat = readIfThere(`/proc/${pid}/stat`)
  // The second field is the command's name in brackets, which may hold spaces: count from behind
  // it.
  return stat?.slice(stat.lastIndexOf(')') + 2).split(' ')[19]
}

function readIfThere(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    if (hasCode(error, 'ENOENT') || hasCode(error, 'ENOTDIR')) return undefined
    throw error
  }
}

function parseJson(text: string | undefined): unknown {
  if (text === undefined) return undefined
  try {
    return JSON.parse(text)
  } catch {
    // Half a file of a killed node is as good as none.
    return undefined
  }
}

function makeFolder(path: string): void {
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 })
  } catch (error) {
    // On a read-only file system Node's recursive call says that the new folder does not exist.
    if (hasCode(error, 'ENOENT') && existsSync(dirname(path))) mkdirSync(path)
    throw error
  }
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code
}

function locked(root: string, pid: number): OperationError {
  return new OperationError(
    'data_folder_locked',
    `Another node (pid ${pid}) runs on ${root}. Stop it, or choose another folder with --data DIR`,
    { origin: 'client' },
  )
}
