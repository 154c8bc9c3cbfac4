import { OperationError } from '../../errors.ts'
import type { AbortOptions } from '../../std/signal.ts'
import { commonPrefix } from '../common-prefix.ts'
import type { LoadedModel } from './loaded-model.ts'
import { planResume } from './sequence/plan-resume.ts'
import type { ResidentSequence } from './sequence/resident-sequence.ts'
import type { Lease } from './sequence/sequence-pool.ts'
import { loadState } from './state/load-state.ts'
import type { NativeStateOptions, StateFile } from './state/native-state.ts'

export interface BeginOptions extends AbortOptions {
  readonly partition: string
  readonly load?: StateFile | undefined
}

/** A prompt that was prefilled. */
export interface Resumed {
  /** How many of its tokens did not have to be computed. */
  readonly cachedTokens: number
  /** Its end, which is evaluated with the first draw: a short chunk, its last token at least. */
  readonly left: readonly number[]
}

export interface Begun extends Resumed {
  /** Of these, how many came from the file. */
  readonly importedTokens: number
  /** How long loading the file took, in milliseconds. */
  readonly importMs: number
}

/** A sequence for a prompt. Give it back. @throws engine_busy, the signal's reason */
export async function leaseFor(
  loaded: LoadedModel,
  promptTokens: readonly number[],
  { partition, load, signal }: BeginOptions,
): Promise<Lease<ResidentSequence>> {
  const offeredTokens = load === undefined ? 0 : commonPrefix(load.tokenIds, promptTokens)
  return await loaded.pool.lease({ promptTokens, partition, offeredTokens }, { signal })
}

/**
 * Brings a sequence that was lent for a prompt to where its first token is drawn, by the least
 * work, and measures how fast that was. State that cannot be taken over is computed instead.
 */
export async function begin(
  loaded: LoadedModel,
  { slot, start }: Lease<ResidentSequence>,
  promptTokens: readonly number[],
  { partition, load, signal }: BeginOptions,
): Promise<Begun> {
  let importedTokens = 0
  const startedMs = loaded.clock.monotonicMs()
  if (start.type === 'fork') {
    const fork = slot.forkFrom(start.source, promptTokens, partition)
    await orCompute(loaded, fork, 'state not copied')
  } else if (start.type === 'load' && load !== undefined) {
    const isLoaded = await orCompute(
      loaded,
      loadState(loaded, slot, { ...load, partition }),
      'state not loaded',
    )
    if (isLoaded) importedTokens = load.tokenIds.length
  }
  const importMs = loaded.clock.monotonicMs() - startedMs
  const resumed = await resume(loaded, slot, promptTokens, { partition, signal })
  importedTokens = Math.min(importedTokens, resumed.cachedTokens)
  return { ...resumed, importedTokens, importMs }
}

/** Prefills what the sequence does not hold of a prompt. */
export async function resume(
  loaded: LoadedModel,
  slot: ResidentSequence,
  promptTokens: readonly number[],
  options: AbortOptions & { readonly partition: string },
): Promise<Resumed> {
  const isCuttable = loaded.facts.uncuttable === undefined
  const { partition, signal } = options
  const plan = planResume(slot.resident, promptTokens, { partition, isCuttable })
  const startedMs = loaded.clock.monotonicMs()
  // Not a short tail: it goes through another kernel, several times as slow where a prompt is long,
  // and whoever compares computing with importing has the same tail either way.
  let tiledMs = 0
  let tiledTokens = 0
  const onTiled = (tokens: number): void => {
    tiledTokens += tokens
    tiledMs = loaded.clock.monotonicMs() - startedMs
  }
  const left = await slot.prefill(promptTokens, { plan, partition, onTiled, signal })
  loaded.rates.prefilled(tiledTokens, tiledMs)
  return { cachedTokens: plan.reuseTokens, left }
}

/**
 * Writes the file that was asked for, before the sequence is given back. The answer is out by
 * then: a failure is logged, and there is no file.
 */
export async function saveWanted(
  loaded: LoadedModel,
  slot: ResidentSequence,
  { save, partition }: NativeStateOptions & { readonly partition: string },
): Promise<void> {
  if (save === undefined) return
  await orCompute(loaded, slot.save(save, partition), 'state not saved')
}

/** Whether it was done. The engine can do without. */
async function orCompute(
  { log }: LoadedModel,
  work: Promise<unknown>,
  event: string,
): Promise<boolean> {
  try {
    await work
    return true
  } catch (error) {
    if (!(error instanceof OperationError)) throw error
    // Else the engine is being stopped, which the next native call tells.
    if (error.code === 'engine_failed') {
      const { cause } = error
      log.warn(event, { reason: cause instanceof Error ? cause.message : error.message })
    }
    return false
  }
}
