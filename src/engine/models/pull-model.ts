import { mkdir, rename, stat } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { OperationError } from '../../errors.ts'
import type { ModelId } from '../../key/model-id.ts'
import type { Clock } from '../../std/clock.ts'
import type { AbortOptions } from '../../std/signal.ts'
import { type GgufHeader, readGgufHeader } from './gguf-header.ts'
import type { ModelDigests } from './model-digest.ts'
import { namesOfFile, parseModelReference } from './model-name.ts'
import { type DownloadComponents, downloadFile } from './pull/download-file.ts'
import type { DownloadProgress } from './pull/download-meter.ts'
import { createAgent, placeOf } from './pull/http-get.ts'
import { removePart, removePartNotes } from './pull/part-file.ts'
import { type HubSettings, type ResolvedModel, resolveModel } from './pull/resolve-model.ts'

export type { DownloadProgress }

export interface PullComponents {
  readonly clock: Clock
  readonly digests: ModelDigests
}

/**
 * `checking` reads what is on the disk already: a file of that name, or the start of an earlier
 * download.
 */
export type PullStep = 'resolving' | 'checking' | 'downloading' | 'verifying'

export interface PullOptions extends AbortOptions, HubSettings {
  readonly dataDir: string
  readonly onStep?: (step: PullStep) => void
  readonly onProgress?: (progress: DownloadProgress) => void
}

export interface PulledModel {
  /** `present`: it was there already, and is what the hub has. */
  readonly outcome: 'pulled' | 'present'
  /** What to call it: `bartowski/Llama-3.2-1B-Instruct-GGUF:Q4_K_M`. */
  readonly name: string
  readonly aliases: readonly string[]
  readonly path: string
  readonly id: ModelId
  readonly header: GgufHeader
}

/**
 * Fetches a model into `<dataDir>/models`: `hf:ORG/REPO[:QUANT]`, or the https address of a .gguf
 * file. The file appears under its name only when size, digest and header are right; until then it
 * is a `.part` that an abort or a crash keeps for the next pull.
 *
 * @throws request_invalid, model_not_found, download_failed, model_file_invalid, unsupported: each
 *   says what to do
 */
export async function pullModel(
  reference: string,
  components: PullComponents,
  options: PullOptions,
): Promise<PulledModel> {
  const parsed = parseModelReference(reference)
  const agent = createAgent()
  try {
    options.onStep?.('resolving')
    const model = await resolveModel(parsed, { ...options, ...components, agent })
    return await fetchModel(model, { ...components, agent }, options)
  } finally {
    await agent.destroy()
  }
}

async function fetchModel(
  model: ResolvedModel,
  components: PullComponents & DownloadComponents,
  options: PullOptions,
): Promise<PulledModel> {
  const path = join(options.dataDir, 'models', model.fileName)
  const { signal } = options
  options.onStep?.('checking')
  if (await isPresent(path, model, components, options)) {
    const id = await components.digests.modelId(path, { signal })
    return pulled('present', { path, id, header: await readGgufHeader(path, { signal }) })
  }
  await makeFolder(join(options.dataDir, 'models'))
  const partPath = `${path}.part`
  options.onStep?.('downloading')
  const sha256 = await downloadFile({ ...model, partPath }, components, options)
  options.onStep?.('verifying')
  const header = await checkedHeader(partPath, model, signal)
  await rename(partPath, path)
  await removePartNotes(partPath)
  const id = await components.digests.record(path, sha256)
  return pulled('pulled', { path, id, header })
}

/** Whether the folder has the very file that the hub has. Of a plain URL only the name is known. */
async function isPresent(
  path: string,
  model: ResolvedModel,
  components: PullComponents,
  options: PullOptions,
): Promise<boolean> {
  const found = await stat(path).catch(() => undefined)
  if (found === undefined) return false
  if (model.expectedBytes !== undefined && found.size !== model.expectedBytes) return false
  if (model.expectedSha256 === undefined) return true
  const id = await components.digests.modelId(path, { signal: options.signal })
  return id === `sha256:${model.expectedSha256}`
}

/** What arrived as it was sent may still be no model: then it is of no use to keep. */
async function checkedHeader(
  partPath: string,
  model: ResolvedModel,
  signal: AbortSignal,
): Promise<GgufHeader> {
  try {
    return await readGgufHeader(partPath, { signal, label: `What ${placeOf(model.url)} sent` })
  } catch (error) {
    if (!signal.aborted) await removePart(partPath)
    throw error
  }
}

async function makeFolder(path: string): Promise<void> {
  try {
    await mkdir(path, { recursive: true })
  } catch (error) {
    throw new OperationError('download_failed', `Cannot make the folder ${path} (${error})`, {
      origin: 'store',
      cause: error,
    })
  }
}

function pulled(
  outcome: PulledModel['outcome'],
  model: Pick<PulledModel, 'path' | 'id' | 'header'>,
): PulledModel {
  return { outcome, ...namesOfFile(basename(model.path)), ...model }
}
