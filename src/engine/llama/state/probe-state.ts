import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { layoutOf, parseStateFile, type StateForm } from '../../state-file/state-file.ts'
import type { ResidentSequence } from '../sequence/resident-sequence.ts'

export interface StateFacts {
  /** Why KV state cannot be cut at a token, as far as the model's file tells. */
  readonly uncuttable: string | undefined
  /** Of the rows (`StateLayout.settings`). */
  readonly stateSettings: string
}

export interface ProbeOptions {
  readonly facts: StateFacts
  readonly hasFlashAttention: boolean
  readonly signal: AbortSignal
}

/** Two tokens, which every vocabulary has. */
const probePrompt: readonly number[] = [0, 1]
const partition = 'probe'

/**
 * How the state of a model that was just loaded (`slots`: all sequences of its context) is laid
 * out: what it writes for two tokens tells, whatever its architecture. Or why its state cannot be
 * cut into blocks and joined again: a clause that continues "because".
 */
export async function probeState(
  slots: readonly ResidentSequence[],
  options: ProbeOptions,
): Promise<StateForm | { readonly unavailable: string }> {
  const { facts, hasFlashAttention, signal } = options
  const [slot] = slots
  if (slot === undefined) return { unavailable: 'the model gives vectors and writes nothing' }
  if (facts.uncuttable !== undefined) return { unavailable: facts.uncuttable }
  if (!hasFlashAttention) {
    return { unavailable: 'the model runs without flash attention, which keeps values transposed' }
  }
  const plan = { reuseTokens: 0, tiledTokens: 0 }
  try {
    await slot.evaluate(await slot.prefill(probePrompt, { plan, partition, signal }))
    const state = parseStateFile(await savedState(slot))
    if (state.sequences !== slots.length) return { unavailable: 'all sequences share one memory' }
    return { layout: layoutOf(state, facts.stateSettings), sequences: slots.length }
  } catch (error) {
    signal.throwIfAborted()
    const message = error instanceof Error ? error.message : String(error)
    return { unavailable: `a trial failed when the model was loaded: ${message}` }
  } finally {
    await slot.clear()
  }
}

async function savedState(slot: ResidentSequence): Promise<Uint8Array> {
  const folder = await mkdtemp(join(tmpdir(), 'hyperspace-probe-'))
  try {
    const path = join(folder, 'state')
    await slot.save({ path, tokenIds: [] }, partition)
    return await readFile(path)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}
