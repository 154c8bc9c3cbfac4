import type { LlamaModel } from 'node-llama-cpp'
import { contextLengthExceeded, requestInvalid } from '../../errors.ts'
import type { Log } from '../../interface/log.ts'
import type { Clock } from '../../std/clock.ts'
import { type LinkedSignal, linkSignal } from '../../std/signal.ts'
import type { StateForm } from '../state-file/state-file.ts'
import type { ModelFacts } from './load/model-facts.ts'
import type { PromptBuilder } from './prompt.ts'
import type { Rates } from './rates.ts'
import type { ResidentSequence } from './sequence/resident-sequence.ts'
import type { SequencePool } from './sequence/sequence-pool.ts'
import type { ChatTemplate } from './text/chat-template.ts'
import type { TokenBytes } from './text/token-bytes.ts'

/** The parts of a loaded model that generation, scoring and embedding share. */
export interface LoadedModel {
  readonly native: LlamaModel
  readonly facts: ModelFacts
  readonly template: ChatTemplate
  readonly prompts: PromptBuilder
  readonly tokenBytes: TokenBytes
  readonly contextTokens: number
  readonly pool: SequencePool<ResidentSequence>
  readonly rates: Rates
  /** How its KV state is written to files, or why it cannot be cut into blocks. */
  readonly state: StateForm | { readonly unavailable: string }
  readonly clock: Clock
  readonly log: Log
  /** Fires when the engine stops. */
  readonly stopSignal: AbortSignal
}

/** A signal for one call: the caller's, or the engine's end. Dispose it. */
export function callSignal(loaded: LoadedModel, signal: AbortSignal): LinkedSignal {
  return linkSignal(loaded.clock, [signal, loaded.stopSignal])
}

/** @throws context_length_exceeded, when not even one token would fit behind the prompt */
export function assertFits(loaded: LoadedModel, promptTokens: number): void {
  if (promptTokens < loaded.contextTokens) return
  throw contextLengthExceeded(promptTokens, loaded.contextTokens)
}

/** @throws request_invalid, for an id that the vocabulary does not have */
export function assertTokenIds(
  loaded: LoadedModel,
  tokenIds: readonly number[],
  field: string,
): void {
  const { size } = loaded.tokenBytes
  const isKnown = (id: number): boolean => Number.isInteger(id) && id >= 0 && id < size
  if (tokenIds.length === 0) throw requestInvalid(field, `'${field}' holds no token`)
  const wrong = tokenIds.find(id => !isKnown(id))
  if (wrong === undefined) return
  throw requestInvalid(
    field,
    `'${field}' holds ${wrong}, but this model's token ids are 0 to ${size - 1}`,
  )
}
