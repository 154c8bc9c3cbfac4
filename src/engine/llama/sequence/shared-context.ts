import type { LlamaContext, LlamaContextSequence } from 'node-llama-cpp'
import { OperationError } from '../../../errors.ts'
import { assert } from '../../../std/assert.ts'
import { Turns } from './turns.ts'

/**
 * The native memory that all sequences of a model share, as far as state moves through it.
 *
 * llama.cpp puts a copy between sequences off until the next evaluation of *any* sequence, and
 * then copies what the rows are by then: a file loaded into either sequence in between would be
 * overwritten, or copied in place of what was meant; a file saved would hold stale rows. So state
 * moves one transfer at a time, and none begins while a copy is outstanding.
 */
export class SharedContext {
  readonly #context: LlamaContext
  readonly #turns: Turns = new Turns()
  #copies = 0
  /** Of these, how many an evaluation has carried out. */
  #settledCopies = 0

  constructor(context: LlamaContext) {
    this.#context = context
  }

  get sequences(): number {
    return this.#context.totalSequences
  }

  openSequence(): LlamaContextSequence {
    return this.#context.getSequence()
  }

  /** @throws engine_failed, while a copy is outstanding whose evaluation failed */
  async transfer<Result>(work: () => Promise<Result>): Promise<Result> {
    return await this.#turns.run(async () => {
      if (this.#settledCopies === this.#copies) return await work()
      throw new OperationError('engine_failed', 'A copy of KV state is outstanding', {
        origin: 'engine',
        retryable: true,
      })
    })
  }

  /** To be called within a transfer, and to be followed by an evaluation within it. */
  async copy(to: LlamaContextSequence, from: LlamaContextSequence, tokens: number): Promise<void> {
    try {
      const isWhole = await copySequence(to, from, tokens)
      if (!isWhole) throw new Error('llama.cpp copied other positions than it was asked to')
    } finally {
      this.#copies += 1
    }
  }

  /** Runs an evaluation: it carries out what was copied before it began. */
  async evaluate<Result>(call: () => Promise<Result>): Promise<Result> {
    const copies = this.#copies
    const result = await call()
    this.#settledCopies = Math.max(this.#settledCopies, copies)
    return result
  }
}

const copyMethod = '_copyStateFromOtherSequence'

/**
 * Of node-llama-cpp 3.22.1, internal to it: leaves the first `tokens` tokens of `from` in `to`.
 * False when the native memory holds something else than the library thinks.
 */
async function copySequence(
  to: LlamaContextSequence,
  from: LlamaContextSequence,
  tokens: number,
): Promise<boolean> {
  const copy: unknown = Reflect.get(to, copyMethod)
  assert(typeof copy === 'function', `node-llama-cpp has no ${copyMethod} any more`)
  return (await Reflect.apply(copy, to, [from, tokens])) === true
}
