import { stat } from 'node:fs/promises'
import { isDeepStrictEqual } from 'node:util'
import { OperationError } from '../../../errors.ts'
import type { LlamaModelOptions } from '../llama-engine.ts'
import type { LoadedFacts } from './engine-messages.ts'

/** What tells a file from another that has taken its place, without reading it. */
export type FileMark = string

/** Of each model's file. One that cannot be looked at is the loader's to complain about. */
export async function fileMarks(
  models: readonly LlamaModelOptions[],
): Promise<readonly FileMark[]> {
  return await Promise.all(
    models.map(async ({ path }) => {
      try {
        const { dev, ino, size, mtimeMs } = await stat(path)
        return [dev, ino, size, mtimeMs].join(' ')
      } catch {
        return ''
      }
    }),
  )
}

/**
 * A model's id is the digest of the file that was there when the node started: another file under
 * its path would be served, and cached, under a wrong name.
 * @throws model_file_invalid
 */
export function assertSameFiles(
  models: readonly LlamaModelOptions[],
  known: readonly FileMark[],
  found: readonly FileMark[],
): void {
  const changed = models.find((_, index) => known[index] !== found[index])
  if (changed === undefined) return
  const { name, path } = changed
  const message =
    `Cannot load model '${name}' again: ${path} is no longer the file that it was. ` +
    'Restart the node to serve the new one'
  throw new OperationError('model_file_invalid', message, { origin: 'engine' })
}

/**
 * Answers and KV state are kept under what was told of the models at first: a process that computes
 * otherwise (without the GPU that there was) must not pass for it. @throws engine_failed
 */
export function assertSameFacts(first: readonly LoadedFacts[], now: readonly LoadedFacts[]): void {
  if (isDeepStrictEqual(first, now)) return
  const message =
    'The engine runs otherwise than before on this machine. Restart the node to go on with it'
  throw new OperationError('engine_failed', message, { origin: 'engine' })
}
