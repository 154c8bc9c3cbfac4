import type { Random } from '../../std/random.ts'

/**
 * Names requests in logs and replies: a random start per process and a count. Nobody needs to be
 * unable to guess them, and a counter costs a tenth of a UUID.
 */
export class RequestIds {
  readonly #start: string
  #count = 0

  constructor(random: Random) {
    this.#start = `req_${random.uuid().replaceAll('-', '').slice(0, 16)}`
  }

  next(): string {
    this.#count += 1
    return this.#start + this.#count.toString(16).padStart(8, '0')
  }
}
