import { OperationError } from '../../../../errors.ts'
import type {
  BlockRange,
  BlockRows,
  PrefixUse,
  StateAccess,
  StateOffer,
} from '../../../../interface/kv-state.ts'
import { blockBytes, blockTokens, type StateLayout } from '../../../../key/state-layout.ts'
import { stateFileBytesMax, stateSavesMax } from '../../../../limits.ts'
import { assert } from '../../../../std/assert.ts'
import type { Permits } from '../../../../std/permits.ts'
import { type AbortOptions, linkSignal } from '../../../../std/signal.ts'
import { stateFileBytes } from '../../../state-file/state-file.ts'
import type { StateFile } from '../../state/native-state.ts'
import type { NativeStateFacts, Result, ValueCall } from '../engine-messages.ts'
import { type LentFile, PreparedState, type StateParts } from './prepared-state.ts'
import type { ResidentMirror } from './resident-mirror.ts'
import { StreamedJoin } from './streamed-join.ts'
import { takeOffer } from './take-offer.ts'
import { warmUpState } from './warm-up-state.ts'

export interface TransferComponents extends StateParts {
  readonly mirror: ResidentMirror
  /** Files that may wait to be loaded: with those of all, the memory that imports take is bound. */
  readonly imports: Permits
  /** The same for what is computed again: it yields to answers, and must not take their places. */
  readonly recomputations: Permits
  readonly stopSignal: AbortSignal
  /** A call of the engine's process; not repeated when that ends over it. */
  readonly ask: (call: ValueCall, options: AbortOptions) => Promise<Result>
}

export interface TransferOptions extends NativeStateFacts {
  readonly contextTokens: number
}

/**
 * KV state of one model in blocks, on the node's side of the process border: state files are joined
 * here before the engine's process loads them, and cut here after it has written them.
 */
export class StateTransfer implements StateAccess {
  readonly layout: StateLayout
  readonly #components: TransferComponents
  readonly #options: TransferOptions
  #saves = 0

  constructor(components: TransferComponents, options: TransferOptions) {
    this.layout = options.layout
    this.#components = components
    this.#options = options
  }

  /**
   * Makes the thread for state files and their folder ready, in the background: a request that
   * comes before that has ended waits as long as without it.
   */
  warmUp(): void {
    const { scope, log, stopSignal } = this.#components
    scope.spawn('make the thread for state files ready', async () => {
      try {
        await warmUpState(this.#components)
      } catch (error) {
        if (!stopSignal.aborted) log.warn('thread for state files not ready ahead', { error })
      }
    })
  }

  keepReady(bytesMax: number): void {
    const bytes = stateFileBytes(this.#options, this.#options.contextTokens)
    this.#components.files.keep(Math.min(bytes, bytesMax))
  }

  residentTokens(tokenIds: readonly number[], partition: string): number {
    return this.#components.mirror.residentTokens(tokenIds, partition)
  }

  /**
   * Files for a generation to begin from and to leave its state in. Whatever fails here costs the
   * saving and not the answer.
   * @throws the signal's reason
   */
  async prepare(
    prefix: PrefixUse | undefined,
    options: AbortOptions & { readonly partition: string },
  ): Promise<PreparedState> {
    const offered = prefix && (await this.#takeOver(prefix, options))
    const save = prefix?.keep && (await this.#reserve(prefix.tokenIds, prefix.keep.range))
    return new PreparedState(this.#components, {
      layout: this.layout,
      load: offered?.load,
      joinMs: offered?.joinMs,
      wasOfferAsked: offered !== undefined,
      save: save && prefix?.keep && { ...save, sink: prefix.keep },
    })
  }

  async exportBlocks(
    tokenIds: readonly number[],
    range: BlockRange,
    options: AbortOptions & { readonly partition: string },
  ): Promise<readonly BlockRows[] | undefined> {
    const { clock, stopSignal, ask, thread } = this.#components
    if (range.to * blockTokens > tokenIds.length) return undefined
    using linked = linkSignal(clock, [options.signal, stopSignal])
    const wanted = tokenIds.slice(0, range.to * blockTokens)
    const file = await this.#file(wanted, tokenIds.length)
    try {
      const call: ValueCall = { method: 'saveState', file, partition: options.partition }
      const result = await ask(call, linked)
      assert(result.method === 'saveState', 'The engine process answers what it was asked')
      if (!result.value) return undefined
      return await thread.cut({ type: 'cut', ...file, layout: this.layout, range })
    } finally {
      this.#components.files.remove(file.path)
    }
  }

  async recomputeBlock(
    tokenIds: readonly number[],
    before: StateOffer,
    options: AbortOptions,
  ): Promise<BlockRows> {
    const { clock, stopSignal, ask, files, thread, recomputations } = this.#components
    const index = tokenIds.length / blockTokens - 1
    assert(Number.isInteger(index) && index >= 0, 'Whole blocks are recomputed')
    using linked = linkSignal(clock, [options.signal, stopSignal])
    const release = await recomputations.acquire(linked)
    if (release === undefined) throw tooMany()
    const paths: string[] = []
    try {
      const isEnough = (blocks: number): boolean => blocks === index
      const wanted = { blocksMax: index, isEnough, signal: linked.signal }
      const loaded = index === 0 ? undefined : await this.#import(before, tokenIds, wanted)
      if (index > 0 && loaded === undefined) throw incomplete()
      if (loaded !== undefined) paths.push(loaded.file.path)
      const { path } = await this.#file(tokenIds)
      paths.push(path)
      const what = { tokenIds, path, ...(loaded === undefined ? {} : { before: loaded.file }) }
      await ask({ method: 'recompute', what }, linked)
      const range = { from: index, to: index + 1 }
      const cut = await thread.cut({ type: 'cut', path, tokenIds, layout: this.layout, range })
      if (cut?.[0] === undefined) throw incomplete()
      return cut[0]
    } finally {
      for (const path of paths) files.remove(path)
      release()
    }
  }

  /** What an offer came to; undefined when it was not asked. */
  async #takeOver(
    { offer, tokenIds }: PrefixUse,
    options: AbortOptions & { readonly partition: string },
  ): Promise<{ readonly load: LentFile | undefined; readonly joinMs?: number } | undefined> {
    if (offer === undefined) return undefined
    const blocksMax = Math.min(Math.floor(offer.tokens / blockTokens), this.#wholeBlocks(tokenIds))
    const isWorthIt = (blocks: number): boolean =>
      blocks * blockTokens > this.residentTokens(tokenIds, options.partition)
    if (!isWorthIt(blocksMax)) return undefined
    const release = await this.#components.imports.acquire(options)
    if (release === undefined) return undefined
    try {
      // What came before may have been computed while this waited.
      const isStillWorthIt = isWorthIt(blocksMax)
      const wanted = { blocksMax, isEnough: isWorthIt, ...options }
      const imported = isStillWorthIt ? await this.#import(offer, tokenIds, wanted) : undefined
      if (imported !== undefined) {
        return { load: { file: imported.file, release }, joinMs: imported.joinMs }
      }
      release()
      return isStillWorthIt ? { load: undefined } : undefined
    } catch (error) {
      release()
      options.signal.throwIfAborted()
      this.#components.log.warn('state not imported', { error })
      return { load: undefined }
    }
  }

  /**
   * A file of the leading blocks of a prompt, written while they come; undefined when not enough
   * come. `joinMs`: what the file cost behind the last block.
   */
  async #import(
    offer: StateOffer,
    tokenIds: readonly number[],
    options: AbortOptions & {
      readonly blocksMax: number
      readonly isEnough: (blocks: number) => boolean
    },
  ): Promise<{ readonly file: StateFile; readonly joinMs: number } | undefined> {
    const { clock, log, scope } = this.#components
    const { blocksMax, isEnough, signal } = options
    const { layout, sequences } = this.#options
    const joinOf = (blocks: number): StreamedJoin => {
      const covered = tokenIds.slice(0, blocks * blockTokens)
      return new StreamedJoin(this.#components, { layout, sequences }, covered)
    }
    let join = joinOf(blocksMax)
    try {
      const blocks = await takeOffer(offer, {
        ...{ signal, blocksMax, log, scope },
        blockBytes: blockBytes(this.layout),
        onBlock: rows => join.add(rows),
      })
      const takenMs = clock.monotonicMs()
      if (!isEnough(blocks.length)) {
        join.abandon()
        return undefined
      }
      if (blocks.length < blocksMax) {
        // In a file of fewer tokens everything lies elsewhere.
        join.abandon()
        join = joinOf(blocks.length)
        for (const rows of blocks) join.add(rows)
      }
      return { file: await join.finish(), joinMs: clock.monotonicMs() - takenMs }
    } catch (error) {
      join.abandon()
      throw error
    }
  }

  /** A place for the state that a generation computes; undefined when it cannot be kept. */
  async #reserve(
    tokenIds: readonly number[],
    range: BlockRange,
  ): Promise<(LentFile & { readonly range: BlockRange }) | undefined> {
    const to = Math.min(range.to, this.#wholeBlocks(tokenIds))
    if (to <= range.from || this.#saves >= stateSavesMax) return undefined
    this.#saves += 1
    const release = (): void => {
      this.#saves -= 1
    }
    try {
      const wanted = tokenIds.slice(0, to * blockTokens)
      const file = await this.#file(wanted, tokenIds.length)
      return { file, release, range: { from: range.from, to } }
    } catch (error) {
      release()
      this.#components.log.warn('state not kept', { error })
      return undefined
    }
  }

  /** @param fileTokens that the file will hold, about: the engine's process saves all it holds */
  async #file(
    tokenIds: readonly number[],
    fileTokens: number = tokenIds.length,
  ): Promise<LentFile['file']> {
    const bytes = stateFileBytes(this.#options, fileTokens)
    return { path: await this.#components.folder.fileFor(bytes), tokenIds }
  }

  /** Blocks of a prompt that can be imported or kept: its last token is always computed. */
  #wholeBlocks(tokenIds: readonly number[]): number {
    const tokens = Math.min(tokenIds.length, this.#options.contextTokens) - 1
    const all = Math.max(0, Math.floor(tokens / blockTokens))
    // Of which a file can hold the first.
    const bytes = stateFileBytes(this.#options, all * blockTokens)
    const excess = Math.max(0, bytes - stateFileBytesMax)
    return Math.max(0, all - Math.ceil(excess / blockBytes(this.layout)))
  }
}

function incomplete(): OperationError {
  const message = 'A block cannot be computed again: the blocks before it did not all arrive'
  return new OperationError('engine_failed', message, { origin: 'engine', retryable: true })
}

function tooMany(): OperationError {
  const message = 'Too many requests wait for KV state to be loaded'
  return new OperationError('engine_busy', message, {
    origin: 'engine',
    retryable: true,
    retryAfterMs: 1_000,
  })
}
