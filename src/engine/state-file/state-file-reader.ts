import { OperationError } from '../../errors.ts'

/** Walks through bytes of unknown origin: nothing is read, or believed, beyond their end. */
export class StateFileReader {
  readonly #bytes: Uint8Array
  readonly #view: DataView
  #offset = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }

  get left(): number {
    return this.#bytes.length - this.#offset
  }

  u32(what: string): number {
    return this.#view.getUint32(this.#take(4, what), true)
  }

  i32(what: string): number {
    return this.#view.getInt32(this.#take(4, what), true)
  }

  u64(what: string): number {
    const value = Number(this.#view.getBigUint64(this.#take(8, what), true))
    if (!Number.isSafeInteger(value)) throw stateFileInvalid(`${what} is absurd`)
    return value
  }

  /** A count of items of at least `itemBytes` each, which must be there. */
  count(itemBytes: number, what: string): number {
    const count = this.u32(`the count of ${what}`)
    this.demand(count, itemBytes, what)
    return count
  }

  demand(count: number, itemBytes: number, what: string): void {
    // Products beyond 2^53 lose digits, never their size.
    if (count * itemBytes > this.left) throw stateFileInvalid(`it ends before its ${what} do`)
  }

  /** A view of `count` items. */
  bytes(count: number, itemBytes: number, what: string): Uint8Array {
    this.demand(count, itemBytes, what)
    const start = this.#take(count * itemBytes, what)
    return this.#bytes.subarray(start, this.#offset)
  }

  #take(bytes: number, what: string): number {
    if (bytes > this.left) throw stateFileInvalid(`it ends before ${what}`)
    const start = this.#offset
    this.#offset += bytes
    return start
  }
}

/** A state file is not what it should be. The reason continues "cannot be used:". */
export function stateFileInvalid(reason: string): OperationError {
  return new OperationError('block_invalid', `A state file cannot be used: ${reason}`, {
    origin: 'engine',
  })
}
