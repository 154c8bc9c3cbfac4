import type { Dirent } from 'node:fs'
import { readdir, realpath, rm, stat } from 'node:fs/promises'
import { basename, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { modelNotFound, OperationError, requestInvalid } from '../../errors.ts'
import type { Log } from '../../interface/log.ts'
import { isDigestId, type ModelId } from '../../key/model-id.ts'
import { modelFilesMax } from '../../limits.ts'
import { type GgufHeader, readGgufHeader } from './gguf-header.ts'
import type { DigestOptions, ModelDigests } from './model-digest.ts'
import { namesOfFile, withoutHubPrefix } from './model-name.ts'
import { removePart } from './pull/part-file.ts'

/** The demo model in the package; src/ and dist/ are equally deep, so this holds for both. */
export const bundledModelPath: string = fileURLToPath(
  new URL('../../../models/tiny-chat-q8_0.gguf', import.meta.url),
)

/**
 * A model file that this node can run, as far as its place and name tell: the file itself was not
 * read.
 */
export interface KnownModel {
  /** Unique among the known models. */
  readonly name: string
  /** Other names of it; each belongs to one model only. */
  readonly aliases: readonly string[]
  readonly path: string
  readonly fileBytes: number
  /**
   * `bundled` with the package, pulled or put into the data `folder`, or named by its `path`
   * (--model).
   */
  readonly origin: 'bundled' | 'folder' | 'path'
}

export interface ModelDetails extends KnownModel {
  readonly id: ModelId
  readonly header: GgufHeader
}

export interface ModelFolderComponents {
  readonly digests: ModelDigests
  readonly log: Log
}

export interface ModelFolderOptions {
  readonly dataDir: string
  /** Files given by --model. @default [] */
  readonly paths?: readonly string[]
}

/**
 * The models a node knows: the bundled one, those in `<dataDir>/models`, and those given by path.
 */
export class ModelFolder {
  readonly #digests: ModelDigests
  readonly #log: Log
  readonly #folder: string
  readonly #paths: readonly string[]

  constructor(components: ModelFolderComponents, options: ModelFolderOptions) {
    this.#digests = components.digests
    this.#log = components.log
    this.#folder = resolve(options.dataDir, 'models')
    this.#paths = options.paths ?? []
  }

  /**
   * All known models: the bundled one, the folder's by name, those given. @throws
   * model_file_invalid for a bad path
   */
  async list(): Promise<readonly KnownModel[]> {
    const own = [await bundledModel(), ...(await this.#folderModels())]
    const given = await Promise.all(this.#paths.map(givenModel))
    return withUniqueNames(await withoutRepeats([...own, ...given]))
  }

  /**
   * Finds a model by its name, an alias (both also with `hf:` or `hf.co/` in front, and
   * case-blind), its path, or at least six digits of its digest. Only digests that are remembered
   * count: looking must not read gigabytes. The path may be of a file that is not in the folder.
   *
   * @throws model_not_found with the names there are, request_invalid when a digest prefix fits
   *   several, model_file_invalid for the path of a file that is not there
   */
  async find(wanted: string): Promise<KnownModel> {
    const models = await this.list()
    const name = withoutHubPrefix(wanted)
    const named =
      models.find(model => model.name === name) ??
      models.find(model => isCalled(model, name)) ??
      models.find(model => model.path === resolve(wanted))
    if (named !== undefined) return named
    const matches = await this.#withDigest(models, wanted)
    const names = (some: readonly KnownModel[]): readonly string[] => some.map(({ name }) => name)
    if (matches.length > 1) {
      throw requestInvalid('model', `'${wanted}' fits several models: ${names(matches).join(', ')}`)
    }
    const [match] = matches
    if (match !== undefined) return match
    if (/\.gguf$/i.test(wanted) || (await isFile(wanted))) return await givenModel(wanted)
    throw modelNotFound(wanted, names(models))
  }

  /**
   * Reads a model's header and digest. @throws model_file_invalid in one line that says what to do
   */
  async show(model: KnownModel, options: DigestOptions): Promise<ModelDetails> {
    const header = await readGgufHeader(model.path, options)
    return { ...model, header, id: await this.#digests.modelId(model.path, options) }
  }

  /**
   * Removes a model's file from the data folder.
   *
   * @returns what was removed
   * @throws forbidden for the bundled model and for files outside the folder; model_not_found
   */
  async remove(wanted: string): Promise<KnownModel> {
    const model = await this.find(wanted)
    if (model.origin === 'bundled') {
      throw forbidden(`'${model.name}' comes with the package and cannot be removed`)
    }
    if (model.origin === 'path') {
      throw forbidden(`${model.path} is not in ${this.#folder}: remove the file yourself`)
    }
    await rm(model.path)
    await removePart(`${model.path}.part`)
    await this.#digests.forget(model.path)
    return model
  }

  async #folderModels(): Promise<readonly KnownModel[]> {
    const entries = (await this.#entries())
      .filter(entry => /\.gguf$/i.test(entry.name) && !entry.isDirectory())
      .map(entry => entry.name)
      .sort()
    if (entries.length > modelFilesMax) {
      this.#log.warn('model files left out', { listed: modelFilesMax, found: entries.length })
    }
    const models = await Promise.all(
      entries.slice(0, modelFilesMax).map(async name => {
        const path = join(this.#folder, name)
        // A file may go, or a link dangle, between the listing and now.
        const bytes = await fileBytesOf(path).catch(() => undefined)
        return bytes === undefined ? [] : [modelOfFile(path, bytes, 'folder')]
      }),
    )
    return models.flat()
  }

  async #entries(): Promise<readonly Dirent[]> {
    try {
      return await readdir(this.#folder, { withFileTypes: true })
    } catch (error) {
      const isMissing = error instanceof Error && 'code' in error && error.code === 'ENOENT'
      if (isMissing) return []
      throw new OperationError(
        'data_folder_unusable',
        `Cannot list the models in ${this.#folder} (${error})`,
        { origin: 'store', cause: error },
      )
    }
  }

  async #withDigest(models: readonly KnownModel[], wanted: string): Promise<readonly KnownModel[]> {
    const prefix = /^(?:sha256:)?([0-9a-f]{6,64})$/i.exec(wanted)?.[1]?.toLowerCase()
    if (prefix === undefined) return []
    const matches: KnownModel[] = []
    for (const model of models) {
      const id = await this.#digests.remembered(model.path)
      if (id !== undefined && isDigestId(id) && id.startsWith(`sha256:${prefix}`)) {
        matches.push(model)
      }
    }
    return matches
  }
}

async function givenModel(given: string): Promise<KnownModel> {
  const path = resolve(given)
  try {
    return modelOfFile(path, await fileBytesOf(path), 'path')
  } catch (error) {
    throw new OperationError(
      'model_file_invalid',
      `${path} is no model file: check the path given by --model`,
      { origin: 'client', cause: error },
    )
  }
}

/** Whether it is there: a model's file may have any name, as those in Ollama's folder do. */
async function isFile(path: string): Promise<boolean> {
  return await fileBytesOf(resolve(path)).then(
    () => true,
    () => false,
  )
}

async function bundledModel(): Promise<KnownModel> {
  const fileBytes = await fileBytesOf(bundledModelPath)
  const name = 'hyperspace-tiny-chat'
  return { name, aliases: ['tiny-chat'], path: bundledModelPath, fileBytes, origin: 'bundled' }
}

async function fileBytesOf(path: string): Promise<number> {
  const target = await stat(path)
  if (!target.isFile()) throw new TypeError(`${path} is not a regular file`)
  return target.size
}

function modelOfFile(path: string, fileBytes: number, origin: KnownModel['origin']): KnownModel {
  return { ...namesOfFile(basename(path)), path, fileBytes, origin }
}

/** Each file once: whoever gives the path of a model that is known anyway means that one. */
async function withoutRepeats(models: readonly KnownModel[]): Promise<readonly KnownModel[]> {
  const byFile = new Map<string, KnownModel>()
  for (const model of models) {
    const file = await realpath(model.path)
    if (!byFile.has(file)) byFile.set(file, model)
  }
  return [...byFile.values()]
}

/**
 * A taken name is replaced by the path. An alias that several models could claim belongs to none of
 * them: what it means must not change when another model is pulled. The bundled model, which comes
 * first, keeps its own.
 */
function withUniqueNames(models: readonly KnownModel[]): readonly KnownModel[] {
  const taken = new Set<string>()
  const claims = new Map<string, number>()
  const named = models.map(model => {
    const name = taken.has(model.name.toLowerCase()) ? model.path : model.name
    taken.add(name.toLowerCase())
    const aliases = name === model.name ? model.aliases : []
    for (const claimed of claimedNames({ name, aliases })) {
      claims.set(claimed, (claims.get(claimed) ?? 0) + 1)
    }
    return { ...model, name, aliases }
  })
  return named.map(model => {
    if (model.origin === 'bundled') return model
    const isSole = (alias: string): boolean => claims.get(alias.toLowerCase()) === 1
    return { ...model, aliases: model.aliases.filter(isSole) }
  })
}

function claimedNames(model: Pick<KnownModel, 'name' | 'aliases'>): ReadonlySet<string> {
  return new Set([model.name, ...model.aliases].map(name => name.toLowerCase()))
}

function isCalled(model: KnownModel, wanted: string): boolean {
  return claimedNames(model).has(wanted.toLowerCase())
}

function forbidden(message: string): OperationError {
  return new OperationError('forbidden', message, { origin: 'client', field: 'model' })
}
