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
import type { NativeStateFacts, Result, ValueCall } from '../engine-messages.ts'
import { type LentFile, PreparedState, type StateParts } from './prepared-state.ts'
import type { ResidentMirror } from './resident-mirror.ts'
import { takeOffer } from './take-offer.ts'

export interface TransferComponents extends StateParts {
  readonly mirror: ResidentMirror
  /** Files that may wait to be loaded: with those of all, the memory that imports take is bound. */
  readonly imports: Permits
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
      this.#components.folder.remove(file.path)
    }
  }

  async recomputeBlock(
    tokenIds: readonly number[],
    before: StateOffer,
    options: AbortOptions,
  ): Promise<BlockRows> {
    const { clock, stopSignal, ask, folder, thread, imports } = this.#components
    const index = tokenIds.length / blockTokens - 1
    assert(Number.isInteger(index) && index >= 0, 'Whole blocks are recomputed')
    using linked = linkSignal(clock, [options.signal, stopSignal])
    const release = await imports.acquire(linked)
    if (release === undefined) throw tooMany()
    const paths: string[] = []
    try {
      const blocks = await this.#take(before, { blocksMax: index, signal: linked.signal })
      if (blocks.length < index) throw incomplete()
      const loaded = index === 0 ? undefined : await this.#join(tokenIds, blocks)
      if (loaded !== undefined) paths.push(loaded.path)
      const { path } = await this.#file(tokenIds)
      paths.push(path)
      const what = { tokenIds, path, ...(loaded === undefined ? {} : { before: loaded }) }
      await ask({ method: 'recompute', what }, linked)
      const range = { from: index, to: index + 1 }
      const cut = await thread.cut({ type: 'cut', path, tokenIds, layout: this.layout, range })
      if (cut?.[0] === undefined) throw incomplete()
      return cut[0]
    } finally {
      for (const path of paths) folder.remove(path)
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
      const blocks = isStillWorthIt ? await this.#take(offer, { blocksMax, ...options }) : []
      if (!isWorthIt(blocks.length)) {
        release()
        return isStillWorthIt ? { load: undefined } : undefined
      }
      const { clock } = this.#components
      const startedMs = clock.monotonicMs()
      const file = await this.#join(tokenIds, blocks)
      return { load: { file, release }, joinMs: clock.monotonicMs() - startedMs }
    } catch (error) {
      release()
      options.signal.throwIfAborted()
      this.#components.log.warn('state not imported', { error })
      return { load: undefined }
    }
  }

  async #take(
    offer: StateOffer,
    options: AbortOptions & { readonly blocksMax: number },
  ): Promise<readonly BlockRows[]> {
    if (options.blocksMax === 0) return []
    const { log, scope, thread } = this.#components
    thread.warmUp()
    return await takeOffer(offer, { ...options, blockBytes: blockBytes(this.layout), log, scope })
  }

  /** Writes a file of the leading blocks of a prompt. */
  async #join(
    tokenIds: readonly number[],
    blocks: readonly BlockRows[],
  ): Promise<LentFile['file']> {
    const { thread, folder } = this.#components
    const { layout, sequences } = this.#options
    const file = await this.#file(tokenIds.slice(0, blocks.length * blockTokens))
    try {
      await thread.join({ type: 'join', ...file, layout, blocks, sequences })
    } catch (error) {
      folder.remove(file.path)
      throw error
    }
    return file
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
