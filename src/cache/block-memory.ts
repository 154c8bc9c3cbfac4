import {
  readyMemoryBytesMax,
  readyMemoryIdleMs,
  readyMemoryShare,
  spareMemoryBytesMax,
  spareMemoryIdleMs,
  touchedAtOnceBytes,
} from '../limits.ts'
import type { Clock } from '../std/clock.ts'
import { IdleWork, type TaskScope } from '../std/task-scope.ts'
import { afterThisTurn } from '../std/turn.ts'

export interface BlockMemoryComponents {
  readonly clock: Clock
  /** Owns what makes memory ready. */
  readonly scope: TaskScope
}

/** The system makes room for memory in pages of this size, or larger ones. */
const pageBytes = 4_096

/**
 * Memory for blocks that are read, received or sent. New memory costs the system more than filling
 * it does, while a request waits for it: so some is made ready when nothing happens, and what was
 * sent of is used again. It is shared memory: threads work in it, and the garbage collector does
 * not hurry because of it.
 */
export class BlockMemory {
  readonly #parts: BlockMemoryComponents
  readonly #readyBytesMax: number
  /** By their size: pieces that were written to, each all of its buffer. */
  readonly #ready = new Map<number, Uint8Array[]>()
  /** The same of any size, given back, oldest first. */
  #spare: Uint8Array[] = []
  readonly #filling: IdleWork
  #isClosed = false
  #cancelTrim: () => void = () => undefined

  /** @param bytesMax that may be kept ready: `readyMemoryBytesMax`, or less */
  constructor(components: BlockMemoryComponents, bytesMax: number = readyMemoryBytesMax) {
    this.#parts = components
    this.#readyBytesMax = Math.min(bytesMax, readyMemoryBytesMax)
    const options = { task: 'make memory for blocks ready', idleMs: readyMemoryIdleMs }
    this.#filling = new IdleWork(components, options, signal => this.#fill(signal))
  }

  /** Memory of so many bytes, with anything in it. */
  take(bytes: number): Uint8Array {
    const at = this.#spare.findLastIndex(({ length }) => fits(length, bytes))
    const [spare] = at === -1 ? [] : this.#spare.splice(at, 1)
    const memory = spare ?? this.#takeReady(bytes)
    return memory?.subarray(0, bytes) ?? new Uint8Array(new SharedArrayBuffer(bytes))
  }

  /** Gives back what was taken: nobody looks at it any more. */
  give({ buffer }: Uint8Array): void {
    if (this.#isClosed || buffer.byteLength > spareMemoryBytesMax) return
    this.#spare.push(new Uint8Array(buffer))
    while (bytesOf(this.#spare) > spareMemoryBytesMax) this.#spare.shift()
    this.#cancelTrim()
    this.#cancelTrim = this.#parts.clock.after(spareMemoryIdleMs, () => {
      this.#spare = []
    })
  }

  /** Makes pieces of this size ready, and again whenever they were taken, in the background. */
  keepReady(bytes: number): void {
    if (!this.#ready.has(bytes)) this.#ready.set(bytes, [])
    for (const [size, pieces] of this.#ready) pieces.splice(this.#countOf(size))
    this.#filling.now()
  }

  /** Keeps nothing from now on. */
  close(): void {
    this.#isClosed = true
    this.#filling.close()
    this.#cancelTrim()
    this.#ready.clear()
    this.#spare = []
  }

  #takeReady(bytes: number): Uint8Array | undefined {
    const size = [...this.#ready.keys()].find(size => fits(size, bytes))
    if (size === undefined) return undefined
    this.#filling.later()
    return this.#ready.get(size)?.pop()
  }

  /** How many pieces of a size are kept ready: every size has the same share. */
  #countOf(bytes: number): number {
    return Math.floor(this.#readyBytesMax / this.#ready.size / bytes)
  }

  async #fill(signal: AbortSignal): Promise<void> {
    for (let size = this.#short(); size !== undefined; size = this.#short()) {
      const memory = new Uint8Array(new SharedArrayBuffer(size))
      await touch(memory)
      if (signal.aborted) return
      this.#ready.get(size)?.push(memory)
    }
  }

  /** A size of which a piece is missing, and may be made. */
  #short(): number | undefined {
    if (process.availableMemory() * readyMemoryShare < this.#readyBytesMax) return undefined
    return [...this.#ready].find(([size, pieces]) => pieces.length < this.#countOf(size))?.[0]
  }
}

function bytesOf(pieces: readonly Uint8Array[]): number {
  return pieces.reduce((sum, { length }) => sum + length, 0)
}

/** Whether so many bytes are taken of a piece: whoever keeps them keeps all of it. */
function fits(pieceBytes: number, bytes: number): boolean {
  return pieceBytes >= bytes && pieceBytes <= 1.25 * bytes
}

/** Has the system make room for memory, with turns of the event loop in between. */
async function touch(memory: Uint8Array): Promise<void> {
  for (let start = 0; start < memory.length; start += touchedAtOnceBytes) {
    const end = Math.min(start + touchedAtOnceBytes, memory.length)
    for (let at = start; at < end; at += pageBytes) memory[at] = 0
    await new Promise<void>(afterThisTurn)
  }
}
