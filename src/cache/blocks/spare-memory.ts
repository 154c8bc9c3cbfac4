import { servingMemoryBytesMax, servingMemoryIdleMs } from '../../limits.ts'
import type { Clock } from '../../std/clock.ts'

/**
 * Memory of blocks that were sent, for the next ones: new memory costs the system more than reading
 * a block into it, and the garbage collector a walk over everything after every few tens of
 * megabytes. Given up when nothing was sent for a while.
 */
export class SpareMemory {
  readonly #clock: Clock
  #spare: Uint8Array[] = []
  #bytes = 0
  #cancelEnd: () => void = () => undefined
  #isClosed = false

  constructor(clock: Clock) {
    this.#clock = clock
  }

  take(bytes: number): Uint8Array {
    const at = this.#spare.findIndex(({ length }) => length === bytes)
    if (at === -1) return new Uint8Array(bytes)
    const [memory = new Uint8Array(bytes)] = this.#spare.splice(at, 1)
    this.#bytes -= bytes
    return memory
  }

  /** Nobody looks at it any more. */
  give(memory: Uint8Array): void {
    if (this.#isClosed || memory.length > servingMemoryBytesMax) return
    this.#cancelEnd()
    this.#cancelEnd = this.#clock.after(servingMemoryIdleMs, () => this.#clear())
    this.#spare.push(memory)
    this.#bytes += memory.length
    while (this.#bytes > servingMemoryBytesMax) this.#bytes -= this.#spare.shift()?.length ?? 0
  }

  /** Keeps nothing from now on. */
  close(): void {
    this.#isClosed = true
    this.#cancelEnd()
    this.#clear()
  }

  #clear(): void {
    this.#spare = []
    this.#bytes = 0
  }
}
