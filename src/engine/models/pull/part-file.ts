import { createHash, type Hash } from 'node:crypto'
import { constants } from 'node:fs'
import { type FileHandle, open, readFile, rm, writeFile } from 'node:fs/promises'
import { OperationError } from '../../../errors.ts'
import { isJsonObject } from '../../../std/json.ts'
import type { AbortOptions } from '../../../std/signal.ts'
import { hashInto } from '../model-digest.ts'

/** What a partial file is a part of: it is only continued with the same. */
export interface PartSource {
  readonly url: string
  readonly sha256: string | undefined
}

/**
 * A download that is not finished: `<path>` holds its first bytes, `<path>.json` where they are
 * from, and `<path>.pid` which process writes. It outlives an abort or a crash and is continued by
 * the next pull.
 */
export class PartFile {
  readonly #path: string
  readonly #source: PartSource
  readonly #handle: FileHandle
  #hash: Hash = createHash('sha256')
  #receivedBytes = 0
  #validator: string | undefined

  private constructor(path: string, source: PartSource, handle: FileHandle) {
    this.#path = path
    this.#source = source
    this.#handle = handle
  }

  /**
   * Opens what an earlier pull of the same source has left, and hashes it; otherwise starts an
   * empty file.
   *
   * @throws download_failed when another process writes the file, or the disk refuses
   */
  static async open(path: string, source: PartSource, options: AbortOptions): Promise<PartFile> {
    await lock(path)
    let handle: FileHandle | undefined
    try {
      handle = await open(path, constants.O_RDWR | constants.O_CREAT)
      const part = new PartFile(path, source, handle)
      await part.#resume(options)
      return part
    } catch (error) {
      await handle?.close()
      await rm(lockPath(path), { force: true })
      throw options.signal.aborted ? error : diskFailure(path, error)
    }
  }

  get receivedBytes(): number {
    return this.#receivedBytes
  }

  /** Strong tag or date of the version that these bytes are from, for `If-Range`. */
  get validator(): string | undefined {
    return this.#validator
  }

  async write(chunk: Uint8Array): Promise<void> {
    await this.#onDisk(() => this.#handle.write(chunk, 0, chunk.byteLength, this.#receivedBytes))
    this.#hash.update(chunk)
    this.#receivedBytes += chunk.byteLength
  }

  /** Throws away what has arrived. */
  async restart(): Promise<void> {
    await this.#onDisk(() => this.#handle.truncate(0))
    this.#hash = createHash('sha256')
    this.#receivedBytes = 0
    this.#validator = undefined
  }

  /** Writes down which version of the source the bytes are from, before the first of them. */
  async setValidator(validator: string | undefined): Promise<void> {
    const { url, sha256 } = this.#source
    const note = JSON.stringify({ v: 1, url, sha256, validator })
    await this.#onDisk(() => writeFile(sourcePath(this.#path), note))
    this.#validator = validator
  }

  /** Puts the bytes on the disk; returns their SHA-256. */
  async finish(): Promise<string> {
    await this.#onDisk(() => this.#handle.sync())
    return this.#hash.digest('hex')
  }

  /** Lets go of the file, which stays. */
  async close(): Promise<void> {
    await this.#handle.close()
    await rm(lockPath(this.#path), { force: true })
  }

  async #resume(options: AbortOptions): Promise<void> {
    const known = await readSource(this.#path)
    const isSame =
      known !== undefined && known.url === this.#source.url && known.sha256 === this.#source.sha256
    if (isSame) {
      this.#receivedBytes = await hashInto(this.#hash, this.#handle, { signal: options.signal })
      this.#validator = known.validator
    } else {
      await this.restart()
      await this.setValidator(undefined)
    }
  }

  /** A full disk is no broken connection: it must not be retried. */
  async #onDisk(work: () => Promise<unknown>): Promise<void> {
    try {
      await work()
    } catch (error) {
      throw diskFailure(this.#path, error)
    }
  }
}

/** Removes a partial file and what belongs to it. */
export async function removePart(path: string): Promise<void> {
  for (const each of [path, sourcePath(path)]) await rm(each, { force: true })
}

/** Removes what belongs to a partial file that has become whole and was renamed. */
export async function removePartNotes(path: string): Promise<void> {
  await rm(sourcePath(path), { force: true })
}

function sourcePath(path: string): string {
  return `${path}.json`
}

function lockPath(path: string): string {
  return `${path}.pid`
}

async function readSource(
  path: string,
): Promise<(PartSource & { readonly validator: string | undefined }) | undefined> {
  try {
    const note: unknown = JSON.parse(await readFile(sourcePath(path), 'utf8'))
    if (!isJsonObject(note) || typeof note['url'] !== 'string') return undefined
    const { url, sha256, validator } = note
    return {
      url,
      sha256: typeof sha256 === 'string' ? sha256 : undefined,
      validator: typeof validator === 'string' ? validator : undefined,
    }
  } catch {
    // Absent or damaged: the bytes are of unknown origin and are fetched again.
    return undefined
  }
}

/** One writer per partial file: two would interleave their bytes. */
async function lock(path: string): Promise<void> {
  const file = lockPath(path)
  for (let attempt = 0; attempt < 2; attempt++) {
    try {
      await writeFile(file, String(process.pid), { flag: 'wx' })
      return
    } catch (error) {
      if (codeOf(error) !== 'EEXIST') throw diskFailure(path, error)
    }
    const pid = Number(await readFile(file, 'utf8').catch(() => ''))
    if (isAlive(pid)) {
      throw new OperationError(
        'download_failed',
        `Process ${pid} is pulling this model already: ` +
          `wait for it (or remove ${file} if that is not so)`,
        { origin: 'client' },
      )
    }
    await rm(file, { force: true })
  }
  throw new OperationError('download_failed', `${file} cannot be taken: another pull is starting`, {
    origin: 'client',
    retryable: true,
  })
}

function isAlive(pid: number): boolean {
  if (!Number.isSafeInteger(pid) || pid <= 0) return false
  try {
    // Signal 0 only asks whether the process is there.
    process.kill(pid, 0)
    return true
  } catch (error) {
    return codeOf(error) === 'EPERM'
  }
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined
}

function diskFailure(path: string, error: unknown): OperationError {
  if (error instanceof OperationError) return error
  const code = codeOf(error)
  const reason =
    code === 'ENOSPC' || code === 'EDQUOT'
      ? 'the disk is full. Make room and pull again: what has arrived is kept'
      : `the disk refuses (${String(code ?? error)})`
  return new OperationError('download_failed', `Cannot write ${path}: ${reason}`, {
    origin: 'store',
    cause: error,
  })
}
