import { stat } from 'node:fs/promises'
import { OperationError } from '../../../errors.ts'
import { stateFileBytes } from '../../state-file/state-file.ts'
import type { LoadedModel } from '../loaded-model.ts'
import type { ResidentSequence } from '../sequence/resident-sequence.ts'
import type { StateFile } from './native-state.ts'

/**
 * Replaces what is resident in a sequence by a file's state. What the file says was checked by
 * whoever made it; here only its size is looked at, because llama.cpp ends the process on a file
 * that a full disk cut short.
 *
 * @throws engine_failed
 */
export async function loadState(
  { state }: LoadedModel,
  slot: ResidentSequence,
  file: StateFile & { readonly partition: string },
): Promise<void> {
  if ('unavailable' in state) throw notLoaded('the state of this model cannot be cut')
  const tokens = file.tokenIds.length
  const bytes = await bytesOf(file.path)
  if (bytes !== stateFileBytes(state, tokens)) {
    throw notLoaded(`the file has ${bytes} bytes, which is no state of ${tokens} tokens`)
  }
  await slot.load(file, file.partition)
}

async function bytesOf(path: string): Promise<number> {
  try {
    const { size } = await stat(path)
    return size
  } catch (error) {
    throw notLoaded('the file cannot be read', error)
  }
}

function notLoaded(reason: string, cause?: unknown): OperationError {
  return new OperationError('engine_failed', `KV state cannot be loaded: ${reason}`, {
    origin: 'engine',
    retryable: true,
    cause,
  })
}
