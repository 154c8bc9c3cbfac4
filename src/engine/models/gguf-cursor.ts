import { ggufHeaderBytesMax, ggufWindowBytes } from '../../limits.ts'
import { assert } from '../../std/assert.ts'
import type { AbortOptions } from '../../std/signal.ts'

/** Where bytes come from: a file, or an array in tests. */
export interface ByteSource {
  readonly totalBytes: number
  /** Reads into `target` from `position`; returns how many bytes it got, 0 past the end. */
  read(target: Uint8Array, position: number): Promise<number>
}

/**
 * The bytes break the format. The message completes "FILE …"; the header reader turns it into an
 * `OperationError`.
 */
export class GgufFormatError extends Error {
  override readonly name = 'GgufFormatError'
}

/**
 * Walks through a file whose every length is a stranger's claim: one window of fixed size is all it
 * ever holds, and a claim is compared with the file's real size before anything is read or skipped.
 */
export class GgufCursor {
  readonly #source: ByteSource
  readonly #signal: AbortSignal
  readonly #window: Uint8Array<ArrayBuffer> = new Uint8Array(ggufWindowBytes)
  readonly #view: DataView = new DataView(this.#window.buffer)
  /** Position in the file of the window's first byte. */
  #windowStart = 0
  #windowBytes = 0
  #offset = 0

  constructor(source: ByteSource, { signal }: AbortOptions) {
    this.#source = source
    this.#signal = signal
  }

  /** Bytes from the start of the file to the next one to be read. */
  get position(): number {
    return this.#windowStart + this.#offset
  }

  async u8(): Promise<number> {
    return this.#view.getUint8(await this.#take(1))
  }

  async u16(): Promise<number> {
    return this.#view.getUint16(await this.#take(2), true)
  }

  async u32(): Promise<number> {
    return this.#view.getUint32(await this.#take(4), true)
  }

  /** A count or length. @throws GgufFormatError above 2^53, where no honest file gets */
  async u64(): Promise<number> {
    const value = Number(this.#view.getBigUint64(await this.#take(8), true))
    if (!Number.isSafeInteger(value)) throw new GgufFormatError('is damaged: a length is absurd')
    return value
  }

  /** A string, or undefined (and skipped) where it is longer than `bytesMax`. */
  async string(bytesMax: number): Promise<string | undefined> {
    const bytes = await this.u64()
    if (bytes > Math.min(bytesMax, ggufWindowBytes)) {
      this.skip(bytes)
      return undefined
    }
    const start = await this.#take(bytes)
    return new TextDecoder().decode(this.#window.subarray(start, start + bytes))
  }

  /**
   * Passes over strings one by one; reads a window at a time, so vocabularies cost no promise per
   * token.
   */
  async skipStrings(count: number): Promise<void> {
    for (let index = 0; index < count; index++) {
      if (this.#windowBytes - this.#offset < 8) await this.#fill(8)
      const bytes = Number(this.#view.getBigUint64(this.#offset, true))
      this.#offset += 8
      this.skip(bytes)
    }
  }

  skip(bytes: number): void {
    const next = this.position + bytes
    if (next > this.#source.totalBytes) throw endsInHeader()
    if (next > ggufHeaderBytesMax)
      throw new GgufFormatError('is damaged: its header is absurdly long')
    this.#offset += bytes
  }

  /**
   * Makes sure that `bytes` are in the window and moves past them; returns where in the window they
   * start.
   */
  async #take(bytes: number): Promise<number> {
    if (this.#windowBytes - this.#offset < bytes) await this.#fill(bytes)
    const start = this.#offset
    this.#offset += bytes
    return start
  }

  async #fill(bytes: number): Promise<void> {
    assert(bytes <= ggufWindowBytes, 'a value fits the window')
    this.#signal.throwIfAborted()
    const position = this.position
    if (position + bytes > this.#source.totalBytes) throw endsInHeader()
    if (position + bytes > ggufHeaderBytesMax) {
      throw new GgufFormatError('is damaged: its header is absurdly long')
    }
    this.#windowStart = position
    this.#windowBytes = 0
    this.#offset = 0
    while (this.#windowBytes < bytes) {
      const target = this.#window.subarray(this.#windowBytes)
      const got = await this.#source.read(target, position + this.#windowBytes)
      // The file was cut while it was read.
      if (got === 0) throw endsInHeader()
      this.#windowBytes += got
    }
  }
}

function endsInHeader(): GgufFormatError {
  return new GgufFormatError('ends inside its header: its download did not finish, fetch it again')
}
