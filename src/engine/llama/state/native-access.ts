import { OperationError } from '../../../errors.ts'
import { blockTokens, type StateLayout } from '../../../key/state-layout.ts'
import type { AbortOptions } from '../../../std/signal.ts'
import { commonPrefix } from '../../common-prefix.ts'
import type { StateForm } from '../../state-file/state-file.ts'
import { resume } from '../begin.ts'
import { inBackground } from '../in-background.ts'
import { assertFits, assertTokenIds, callSignal, type LoadedModel } from '../loaded-model.ts'
import type { ResidentSequence } from '../sequence/resident-sequence.ts'
import { loadState } from './load-state.ts'
import type { NativeStateAccess, Recomputation, ResidentPrefix, StateFile } from './native-state.ts'

/** What is recomputed for an audit is nobody's to resume from. */
const auditPartition = '\0audit'

/** The state of a loaded model, as files. */
export class NativeAccess implements NativeStateAccess {
  readonly layout: StateLayout
  readonly sequences: number
  readonly #loaded: LoadedModel

  constructor(loaded: LoadedModel, { layout, sequences }: StateForm) {
    this.layout = layout
    this.sequences = sequences
    this.#loaded = loaded
  }

  /**
   * The file holds all that is resident in the sequence, which begins with the file's tokens:
   * llama.cpp saves whole sequences. Whoever reads it cuts the leading blocks off.
   */
  async save(
    file: StateFile,
    options: AbortOptions & { readonly partition: string },
  ): Promise<boolean> {
    options.signal.throwIfAborted()
    const { slots } = this.#loaded.pool
    const holder = slots.find(slot => slot.holds(file.tokenIds, options.partition))
    return (await holder?.save(file, options.partition)) ?? false
  }

  /**
   * Whatever lay in the sequence that it takes is lost, with one sequence the conversation that
   * goes on: to keep it would cost a file of all of it, and what is worth that has its blocks on
   * disk.
   */
  async recompute(what: Recomputation, options: AbortOptions): Promise<void> {
    const loaded = this.#loaded
    assertOneBlockBehind(what)
    assertTokenIds(loaded, what.tokenIds, 'tokenIds')
    assertFits(loaded, what.tokenIds.length)
    using linked = callSignal(loaded, options.signal)
    // No prompt to begin from: it gets the sequence whose loss hurts least.
    const lent = { promptTokens: [], partition: auditPartition }
    await inBackground(loaded, lent, linked, async ({ slot }, { signal }) => {
      try {
        await this.#recompute(slot, what, signal)
      } finally {
        await slot.clear()
      }
    })
  }

  onResident(listener: (slot: number, resident: ResidentPrefix) => void): void {
    for (const [index, slot] of this.#loaded.pool.slots.entries()) {
      slot.watch(resident => listener(index, resident))
    }
  }

  async #recompute(
    slot: ResidentSequence,
    { tokenIds, before, path }: Recomputation,
    signal: AbortSignal,
  ): Promise<void> {
    signal.throwIfAborted()
    const partition = auditPartition
    if (before === undefined) await slot.clear()
    else await loadState(this.#loaded, slot, { ...before, partition })
    // The last token of a prompt is left for a draw: any may stand at its end.
    await resume(this.#loaded, slot, [...tokenIds, 0], { partition, signal })
    const isSaved = await slot.save({ path, tokenIds }, partition)
    if (isSaved) return
    throw new OperationError('engine_failed', 'The recomputed state is not resident', {
      origin: 'engine',
      retryable: true,
    })
  }
}

function assertOneBlockBehind({ tokenIds, before }: Recomputation): void {
  const start = before?.tokenIds.length ?? 0
  const isBehind = commonPrefix(before?.tokenIds ?? [], tokenIds) === start
  if (isBehind && tokenIds.length === start + blockTokens && start % blockTokens === 0) return
  throw new RangeError('One block is recomputed, behind the whole blocks before it')
}
