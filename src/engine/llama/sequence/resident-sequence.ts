import { rm } from 'node:fs/promises'
import type { LlamaContextSequence, SequenceEvaluateOptions } from 'node-llama-cpp'
import { OperationError } from '../../../errors.ts'
import { assert } from '../../../std/assert.ts'
import type { AbortOptions } from '../../../std/signal.ts'
import { commonPrefix } from '../../common-prefix.ts'
import type { ResidentPrefix, StateFile } from '../state/native-state.ts'
import {
  nothingResident,
  planPrefill,
  type Resident,
  type ResumePlan,
  sharedBlockTokens,
  wholeBlocks,
} from './plan-resume.ts'
import { asTokens, type RankedInput, type RankedNext, ranked, rankItem } from './ranking.ts'
import type { PoolSlot } from './sequence-pool.ts'
import type { SharedContext } from './shared-context.ts'
import { Turns } from './turns.ts'

export interface PrefillOptions extends AbortOptions {
  readonly plan: ResumePlan
  readonly partition: string
  /** Called behind each chunk of the tiled part. */
  readonly onTiled?: (tokens: number) => void
}

/**
 * One native sequence, and what of it was computed how. Owns the order of native calls: one at a
 * time, none after `close`. A native call cannot be cut short; it ends within one batch.
 *
 * Whoever has leased it calls what changes it; others may look (`resident`), save its state and
 * copy from it: blocks never change once they are computed.
 */
export class ResidentSequence implements PoolSlot {
  readonly #context: SharedContext
  readonly #tokensMax: number
  readonly #turns: Turns = new Turns()
  #sequence: LlamaContextSequence
  #tiledTokens = 0
  #partition = ''
  /** Native memory and the library's account of it may differ. */
  #isBroken = false
  #closed: OperationError | undefined
  #listener: ((resident: ResidentPrefix) => void) | undefined
  #told: ResidentPrefix = { partition: '', tokenIds: [] }

  constructor(context: SharedContext, contextTokens: number) {
    this.#context = context
    this.#sequence = context.openSequence()
    // The library shifts the context when it is full, which would falsify everything after it.
    this.#tokensMax = contextTokens - 1
  }

  get resident(): Resident {
    if (this.#isBroken || this.#closed !== undefined) return nothingResident
    return {
      tokenIds: this.#sequence.contextTokens,
      tiledTokens: this.#tiledTokens,
      partition: this.#partition,
    }
  }

  /**
   * Tells of the whole blocks that it holds, now and whenever they change. One listener at most.
   */
  watch(listener: (resident: ResidentPrefix) => void): void {
    this.#listener = listener
    if (this.#told.tokenIds.length > 0) listener(this.#told)
  }

  /**
   * Evaluates a prompt from what the plan keeps. Returns what is left for the first draw: one short
   * chunk, the prompt's last token at least.
   */
  async prefill(
    promptTokens: readonly number[],
    options: PrefillOptions,
  ): Promise<readonly number[]> {
    const { plan, partition, onTiled, signal } = options
    signal.throwIfAborted()
    let evaluated = plan.reuseTokens
    try {
      await this.#cut(plan.reuseTokens)
      this.#partition = partition
      for (const { start, end } of planPrefill(plan, promptTokens.length)) {
        signal.throwIfAborted()
        await this.#evaluate(promptTokens.slice(start, end))
        evaluated = end
        if (end > plan.tiledTokens) continue
        this.#tiledTokens = end
        onTiled?.(end - start)
      }
      return promptTokens.slice(evaluated)
    } finally {
      this.#tell()
    }
  }

  /** Evaluates tokens that another draw does not need. At most 63: see plan-resume.ts. */
  async evaluate(tokenIds: readonly number[]): Promise<void> {
    if (tokenIds.length > 0) await this.#evaluate(tokenIds)
  }

  /** Evaluates tokens, at most 63 (see plan-resume.ts), and draws the next one. */
  async sample(tokenIds: readonly number[], options: SequenceEvaluateOptions): Promise<number> {
    this.#assertRoom(tokenIds.length)
    return await this.#native(() =>
      this.#context.evaluate(async () => {
        const drawn = await this.#sequence.evaluate(asTokens(tokenIds), options).next()
        assert(typeof drawn.value === 'number', 'A draw that may yield the end always yields')
        return drawn.value
      }),
    )
  }

  /**
   * Evaluates tokens and tells the untouched distribution after each. At most 63: see plan-
   * resume.ts.
   */
  async rank(inputs: readonly RankedInput[], topCount: number): Promise<readonly RankedNext[]> {
    this.#assertRoom(inputs.length)
    const items = inputs.map(input => rankItem(input, topCount))
    const outputs = await this.#native(() =>
      this.#context.evaluate(() => this.#sequence.controlledEvaluate(items)),
    )
    return inputs.map((input, index) => ranked(outputs[index], input.wanted, topCount))
  }

  /** Takes back the last token. */
  async undo(): Promise<void> {
    await this.#cut(this.#sequence.nextTokenIndex - 1)
  }

  /** Forgets everything. */
  async clear(): Promise<void> {
    try {
      await this.#cut(0)
    } finally {
      this.#tell()
    }
  }

  /**
   * Takes over the whole blocks that `source`, which may be busy, shares with the prompt by now.
   * Nothing happens when there are none any more.
   * @throws engine_failed; then nothing is resident
   */
  async forkFrom(
    source: ResidentSequence,
    promptTokens: readonly number[],
    partition: string,
  ): Promise<void> {
    try {
      await this.#context.transfer(async () => {
        // The source's turn: none of its native calls runs while it is copied.
        const tokens = await source.#turns.run(async () => {
          const shared = sharedBlockTokens(source.resident, promptTokens, partition)
          if (shared > 0) await this.#copy(source, shared)
          return shared
        })
        const next = promptTokens.slice(tokens, tokens + 1)
        if (tokens === 0 || next.length === 0) return
        // The copy is carried out by the next evaluation. What comes first may be another
        // transfer, so a token is evaluated for it here, and taken back.
        await this.#evaluate(next)
        await this.#cut(tokens)
        this.#tiledTokens = tokens
        this.#partition = partition
      })
    } finally {
      this.#tell()
    }
  }

  /**
   * Replaces what is resident by a file's state, of blocks.
   * @throws engine_failed; then nothing is resident
   */
  async load(file: StateFile, partition: string): Promise<void> {
    try {
      await this.#context.transfer(async () => {
        await this.#cut(0)
        await this.#native(() => this.#loadFile(file))
        this.#tiledTokens = file.tokenIds.length
        this.#partition = partition
      })
    } finally {
      this.#tell()
    }
  }

  /**
   * Writes the state of all that is resident, if it begins with the file's tokens, as blocks. Any
   * sequence may be saved, a busy one between two native calls.
   * @returns whether it was written
   * @throws engine_failed, when it could not be; then there is no file
   */
  async save(file: StateFile, partition: string): Promise<boolean> {
    return await this.#context.transfer(() =>
      this.#turns.run(async () => {
        if (this.#closed !== undefined) throw this.#closed
        if (!this.holds(file.tokenIds, partition)) return false
        await this.#saveFile(file)
        return true
      }),
    )
  }

  /** Whether these tokens are resident, each computed as a part of a block. */
  holds(tokenIds: readonly number[], partition: string): boolean {
    const { resident } = this
    return (
      resident.partition === partition &&
      resident.tiledTokens >= tokenIds.length &&
      commonPrefix(resident.tokenIds, tokenIds) === tokenIds.length
    )
  }

  /** No native call begins from now on; resolves when the running one has ended. */
  async close(reason: OperationError): Promise<void> {
    this.#closed = reason
    await this.#turns.idle()
  }

  #assertRoom(tokens: number): void {
    assert(
      this.#sequence.nextTokenIndex + tokens <= this.#tokensMax,
      'Callers stop before the context is full',
    )
  }

  async #evaluate(tokenIds: readonly number[]): Promise<void> {
    this.#assertRoom(tokenIds.length)
    const chunk = asTokens(tokenIds)
    await this.#native(() =>
      this.#context.evaluate(() => this.#sequence.evaluateWithoutGeneratingNewTokens(chunk)),
    )
  }

  async #cut(length: number): Promise<void> {
    if (this.#isBroken) {
      await this.#native(() => this.#reopen())
      return
    }
    const end = this.#sequence.nextTokenIndex
    if (length < end) {
      await this.#native(() => this.#sequence.eraseContextTokenRanges([{ start: length, end }]))
    }
    this.#tiledTokens = Math.min(this.#tiledTokens, length)
  }

  /**
   * Begins anew with an empty sequence: after a failure the library may hold it for empty while
   * its native memory is not (engine.md §3), so that erasing would do nothing.
   */
  async #reopen(): Promise<void> {
    await this.#sequence.dispose()
    this.#sequence = this.#context.openSequence()
    this.#tiledTokens = 0
    this.#isBroken = false
  }

  /** Within the source's turn. */
  async #copy(source: ResidentSequence, tokens: number): Promise<void> {
    await this.#cut(0)
    await this.#native(() => this.#context.copy(this.#sequence, source.#sequence, tokens))
  }

  async #loadFile({ path, tokenIds }: StateFile): Promise<void> {
    await this.#sequence.loadStateFromFile(path, { acceptRisk: true })
    const loaded = this.#sequence.contextTokens
    if (loaded.length === tokenIds.length && commonPrefix(loaded, tokenIds) === loaded.length)
      return
    throw new Error('The file holds the state of other tokens')
  }

  async #saveFile({ path }: StateFile): Promise<void> {
    try {
      await this.#sequence.saveStateToFile(path)
    } catch (error) {
      await rm(path, { force: true })
      throw new OperationError('engine_failed', 'llama.cpp could not write KV state', {
        origin: 'engine',
        retryable: true,
        cause: error,
      })
    }
  }

  #tell(): void {
    const { tokenIds, tiledTokens, partition } = this.resident
    const blocks = tokenIds.slice(0, wholeBlocks(tiledTokens))
    const { tokenIds: told } = this.#told
    const isEqual = told.length === blocks.length && commonPrefix(told, blocks) === told.length
    if (isEqual && (told.length === 0 || this.#told.partition === partition)) return
    this.#told = { partition, tokenIds: blocks }
    this.#listener?.(this.#told)
  }

  async #native<Result>(call: () => Promise<Result>): Promise<Result> {
    return await this.#turns.run(async () => {
      if (this.#closed !== undefined) throw this.#closed
      try {
        return await call()
      } catch (error) {
        // Native memory and the library's account of it may differ now: begin anew with the next
        // request.
        this.#isBroken = true
        this.#tell()
        throw new OperationError('engine_failed', 'llama.cpp could not evaluate the request', {
          origin: 'engine',
          retryable: true,
          cause: error,
        })
      }
    })
  }
}
