import { constants, mkdir, open, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { OperationError } from '../../../errors.ts'
import { stateFileBytesMax } from '../../../limits.ts'
import { isJsonObject } from '../../../std/json.ts'
import type { Random } from '../../../std/random.ts'
import { type ParsedState, parseStateFile } from '../../state-file/state-file.ts'
import type { UpstreamHttp } from '../http/upstream-http.ts'

/** Saving a slot writes its whole state: a gigabyte on a slow disk takes a while. */
const slotCallTimeoutMs = 60_000

/**
 * Saves and restores a llama-server's slots through the folder that it was started with
 * (`--slot-save-path`). Files live for one call.
 */
export class SlotFiles {
  readonly #http: UpstreamHttp
  readonly #folder: string
  readonly #random: Random

  constructor(http: UpstreamHttp, folder: string, random: Random) {
    this.#http = http
    this.#folder = folder
    this.#random = random
  }

  /** The state that a slot holds now. @throws block_invalid, upstream_failed */
  async save(slot: number, signal: AbortSignal): Promise<ParsedState> {
    const name = this.#newName()
    const path = join(this.#folder, name)
    try {
      await this.#call(slot, 'save', signal, name)
      return parseStateFile(await this.#read(path, signal))
    } finally {
      await rm(path, { force: true })
    }
  }

  /** Puts a state, in pieces of a state file, into a slot. @throws upstream_failed, store_failed */
  async restore(slot: number, pieces: readonly Uint8Array[], signal: AbortSignal): Promise<void> {
    const name = this.#newName()
    const path = join(this.#folder, name)
    try {
      await writePieces(path, pieces)
      await this.#call(slot, 'restore', signal, name)
    } finally {
      await rm(path, { force: true })
    }
  }

  async erase(slot: number, signal: AbortSignal): Promise<void> {
    await this.#call(slot, 'erase', signal)
  }

  async #call(
    slot: number,
    action: 'save' | 'restore' | 'erase',
    signal: AbortSignal,
    filename?: string,
  ): Promise<void> {
    const reply = await this.#http.json({
      method: 'POST',
      base: 'root',
      path: `/slots/${slot}?action=${action}`,
      body: filename === undefined ? {} : { filename },
      signal,
      timeoutMs: slotCallTimeoutMs,
    })
    if (isJsonObject(reply) && reply['id_slot'] === slot) return
    throw failed(`llama-server did not confirm the ${action} of a slot`)
  }

  async #read(path: string, signal: AbortSignal): Promise<Uint8Array> {
    try {
      return await readState(path, signal)
    } catch (error) {
      signal.throwIfAborted()
      if (error instanceof OperationError) throw error
      throw failed('llama-server saves its slots into another folder than --upstream-slots', error)
    }
  }

  /** The server's own files beside ours are not touched. */
  #newName(): string {
    return `hyperspace-${Buffer.from(this.#random.bytes(12)).toString('hex')}.state`
  }
}

/** Only what a plain file holds: nothing is waited for, and no link followed. */
async function readState(path: string, signal: AbortSignal): Promise<Uint8Array> {
  const { O_RDONLY, O_NOFOLLOW = 0, O_NONBLOCK = 0 } = constants
  const file = await open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
  try {
    const facts = await file.stat()
    if (!facts.isFile())
      throw failed('llama-server saved a slot into something else than a plain file')
    if (facts.size > stateFileBytesMax) throw failed('llama-server saved a slot of an absurd size')
    return await file.readFile({ signal })
  } finally {
    await file.close()
  }
}

async function writePieces(path: string, pieces: readonly Uint8Array[]): Promise<void> {
  const file = await open(path, 'wx', 0o600)
  try {
    const { bytesWritten } = await file.writev([...pieces])
    const bytes = pieces.reduce((sum, piece) => sum + piece.length, 0)
    if (bytesWritten !== bytes) throw failed('the folder of --upstream-slots is full')
  } finally {
    await file.close()
  }
}

/** The folder must be there before the server saves into it. */
export async function makeSlotFolder(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true })
}

function failed(message: string, cause?: unknown): OperationError {
  return new OperationError('upstream_failed', message, { origin: 'upstream', cause })
}
