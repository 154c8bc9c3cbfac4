import type { Random } from './random.ts'

/**
 * The same bytes for the same seed: for tests and the simulator, never for secrets. Weyl sequence
 * through splitmix's 32-bit finaliser.
 */
export class SeededRandom implements Random {
  #state: number

  constructor(seed: number) {
    this.#state = seed >>> 0
  }

  /** Uniform in [0, 1). */
  fraction(): number {
    return this.#word() / 0x1_0000_0000
  }

  bytes(count: number): Uint8Array {
    return Uint8Array.from({ length: count }, () => this.#word() >>> 24)
  }

  uuid(): string {
    const hex = Buffer.from(this.bytes(16)).toString('hex')
    const parts = [
      hex.slice(0, 8),
      hex.slice(8, 12),
      `4${hex.slice(13, 16)}`,
      `8${hex.slice(17, 20)}`,
    ]
    return `${parts.join('-')}-${hex.slice(20)}`
  }

  #word(): number {
    this.#state = (this.#state + 0x9e37_79b9) >>> 0
    let word = this.#state
    word = Math.imul(word ^ (word >>> 16), 0x21f0_aaad)
    word = Math.imul(word ^ (word >>> 15), 0x735a_2d97)
    return (word ^ (word >>> 15)) >>> 0
  }
}
