import { createHash, type Hash } from 'node:crypto'
import {
  type FileHandle,
  mkdir,
  open,
  readFile,
  rename,
  rm,
  stat,
  writeFile,
} from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { OperationError } from '../../errors.ts'
import type { Log } from '../../interface/log.ts'
import { type ModelId, modelIdFromDigest } from '../../key/model-id.ts'
import { hashChunkBytes, modelDigestsMax } from '../../limits.ts'
import { isJsonObject } from '../../std/json.ts'
import { systemRandom } from '../../std/random.ts'
import type { AbortOptions } from '../../std/signal.ts'

export interface DigestOptions extends AbortOptions {
  /** Called after each chunk. A 40 GB file takes half a minute. */
  readonly onProgress?: (progress: HashProgress) => void
}

export interface HashProgress {
  readonly hashedBytes: number
  readonly totalBytes: number
}

/** What tells that a file is still the one that was hashed. */
interface FileStamp {
  readonly bytes: number
  /** Nanoseconds do not fit a JSON number. */
  readonly mtimeNs: string
  readonly inode: string
}

interface DigestEntry extends FileStamp {
  readonly sha256: string
}

/**
 * Digests of model files, each computed once and remembered in `<dataDir>/models/digests.json` by
 * path, size, modification time and inode. The memory is a convenience: a damaged or unwritable one
 * costs a second hashing.
 */
export class ModelDigests {
  readonly #log: Log
  readonly #memoryPath: string
  /** Writers queue here: two models that finish together must not lose one another's entry. */
  #writing: Promise<void> = Promise.resolve()

  constructor(components: { readonly log: Log }, options: { readonly dataDir: string }) {
    this.#log = components.log
    this.#memoryPath = join(options.dataDir, 'models', 'digests.json')
  }

  /** The model id of a file: from memory while the file is unchanged, else by reading it whole. */
  async modelId(path: string, options: DigestOptions): Promise<ModelId> {
    const file = resolve(path)
    const known = await this.remembered(file)
    if (known !== undefined) return known
    const before = await stampOf(file)
    const sha256 = await hashFile(file, options)
    if (!isSameFile(before, await stampOf(file))) {
      throw new OperationError(
        'model_file_invalid',
        `${file} changed while it was read: wait until it is written, then try again`,
        { origin: 'client' },
      )
    }
    await this.#remember(file, { ...before, sha256 })
    return modelIdFromDigest(sha256)
  }

  /** The model id where it is known without reading the file. */
  async remembered(path: string): Promise<ModelId | undefined> {
    const file = resolve(path)
    const entry = (await this.#load()).get(file)
    if (entry === undefined || !isSameFile(entry, await stampOf(file))) return undefined
    return modelIdFromDigest(entry.sha256)
  }

  /**
   * Remembers a digest that somebody else has computed over the very bytes of the file (a
   * download).
   */
  async record(path: string, sha256: string): Promise<ModelId> {
    const id = modelIdFromDigest(sha256)
    const file = resolve(path)
    await this.#remember(file, { ...(await stampOf(file)), sha256 })
    return id
  }

  async forget(path: string): Promise<void> {
    await this.#change(entries => entries.delete(resolve(path)))
  }

  async #remember(file: string, entry: DigestEntry): Promise<void> {
    await this.#change(entries => {
      entries.delete(file)
      entries.set(file, entry)
      for (const oldest of entries.keys()) {
        if (entries.size <= modelDigestsMax) break
        entries.delete(oldest)
      }
      return true
    })
  }

  /** Reads the memory anew: other processes (a pull beside a running node) write it, too. */
  async #load(): Promise<Map<string, DigestEntry>> {
    try {
      return parseMemory(await readFile(this.#memoryPath, 'utf8'))
    } catch (error) {
      if (!isMissing(error)) {
        this.#log.warn('digest memory unreadable', { path: this.#memoryPath, error })
      }
      return new Map()
    }
  }

  /** @param edit returns whether it has changed anything */
  async #change(edit: (entries: Map<string, DigestEntry>) => boolean): Promise<void> {
    this.#writing = this.#writing.then(async () => {
      const entries = await this.#load()
      if (!edit(entries)) return
      const temporary = `${this.#memoryPath}.${systemRandom.uuid()}.tmp`
      try {
        await mkdir(dirname(this.#memoryPath), { recursive: true })
        await writeFile(temporary, JSON.stringify({ v: 1, files: Object.fromEntries(entries) }))
        await rename(temporary, this.#memoryPath)
      } catch (error) {
        this.#log.warn('digest not remembered', { path: this.#memoryPath, error })
        // Where it cannot be removed either, it was not written.
        await rm(temporary, { force: true }).catch(() => undefined)
      }
    })
    await this.#writing
  }
}

/** SHA-256 of a whole file, in hexadecimal. @throws model_file_invalid when it cannot be read */
export async function hashFile(path: string, options: DigestOptions): Promise<string> {
  const hash = createHash('sha256')
  try {
    await using handle = await open(path)
    await hashInto(hash, handle, options)
  } catch (error) {
    if (options.signal.aborted) throw options.signal.reason
    throw unreadable(path, error)
  }
  return hash.digest('hex')
}

/** Feeds a file from its start to its end into `hash`; returns how many bytes that were. */
export async function hashInto(
  hash: Hash,
  handle: FileHandle,
  options: DigestOptions,
): Promise<number> {
  const { size: totalBytes } = await handle.stat()
  const chunk = new Uint8Array(hashChunkBytes)
  let hashedBytes = 0
  for (;;) {
    options.signal.throwIfAborted()
    const { bytesRead } = await handle.read(chunk, 0, chunk.byteLength, hashedBytes)
    if (bytesRead === 0) return hashedBytes
    hash.update(chunk.subarray(0, bytesRead))
    hashedBytes += bytesRead
    options.onProgress?.({ hashedBytes, totalBytes })
  }
}

async function stampOf(path: string): Promise<FileStamp> {
  try {
    const { size, mtimeNs, ino } = await stat(path, { bigint: true })
    return { bytes: Number(size), mtimeNs: String(mtimeNs), inode: String(ino) }
  } catch (error) {
    throw unreadable(path, error)
  }
}

function isSameFile(a: FileStamp, b: FileStamp): boolean {
  return a.bytes === b.bytes && a.mtimeNs === b.mtimeNs && a.inode === b.inode
}

/**
 * Keeps the entries that are well-formed. @throws SyntaxError or TypeError when nothing can be kept
 */
function parseMemory(text: string): Map<string, DigestEntry> {
  const memory: unknown = JSON.parse(text)
  if (!isJsonObject(memory) || memory['v'] !== 1 || !isJsonObject(memory['files'])) {
    throw new TypeError('Not a digest memory of version 1')
  }
  const entries = new Map<string, DigestEntry>()
  for (const [path, entry] of Object.entries(memory['files']).slice(0, modelDigestsMax)) {
    if (!isJsonObject(entry)) continue
    const { bytes, mtimeNs, inode, sha256 } = entry
    if (typeof bytes !== 'number' || typeof mtimeNs !== 'string' || typeof inode !== 'string') {
      continue
    }
    if (typeof sha256 !== 'string' || !/^[0-9a-f]{64}$/.test(sha256)) continue
    entries.set(path, { bytes, mtimeNs, inode, sha256 })
  }
  return entries
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT'
}

function unreadable(path: string, error: unknown): OperationError {
  const reason = isMissing(error) ? 'does not exist: check the path' : `cannot be read (${error})`
  return new OperationError('model_file_invalid', `${path} ${reason}`, {
    origin: 'client',
    cause: error,
  })
}
