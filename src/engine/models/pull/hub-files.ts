import { OperationError } from '../../../errors.ts'
import { hubFilesMax, modelFileBytesMax } from '../../../limits.ts'
import { isJsonObject, type JsonObject } from '../../../std/json.ts'

/** One GGUF file of a repository. */
export interface HubFile {
  /** Path inside the repository. */
  readonly path: string
  readonly bytes: number | undefined
  readonly sha256: string | undefined
  /** Quantisation in upper case, read off the path: `Q4_K_M`. */
  readonly quant: string | undefined
  /** How many files the model is split into. */
  readonly partCount: number
}

/**
 * The models among the files of a repository, from the hub's reply to
 * `/api/models/ORG/REPO?blobs=true`.
 *
 * @throws download_failed when the reply has another form or a file's path leads out of the
 *   repository
 */
export function modelFilesOf(reply: unknown): readonly HubFile[] {
  const siblings = isJsonObject(reply) ? reply['siblings'] : undefined
  if (!Array.isArray(siblings)) throw hubReplyInvalid('it lists no files')
  if (siblings.length > hubFilesMax) throw hubReplyInvalid(`it lists ${siblings.length} files`)
  const files: HubFile[] = []
  for (const sibling of siblings) {
    const path = isJsonObject(sibling) ? sibling['rfilename'] : undefined
    if (!isJsonObject(sibling) || typeof path !== 'string')
      throw hubReplyInvalid('a file has no name')
    if (!/\.gguf$/i.test(path)) continue
    if (!isPlainPath(path)) throw hubReplyInvalid('a file name leads out of its folder')
    if (!isNoModel(path)) files.push(modelFile(path, sibling))
  }
  return files
}

/** Every segment a plain name: no `..`, no backslash, nothing absolute, no control characters. */
function isPlainPath(path: string): boolean {
  if (path.length > 512) return false
  return path
    .split('/')
    .every(part => /^[A-Za-z0-9_+ ()[\]=,.-]+$/.test(part) && !/^\.+$/.test(part))
}

/** Companions of models: image projectors and the statistics that quantisers use. */
function isNoModel(path: string): boolean {
  return /(^|[/._-])(mmproj|imatrix)([._-]|$)/i.test(path)
}

function modelFile(path: string, sibling: JsonObject): HubFile {
  const lfs = sibling['lfs']
  const sha256 = isJsonObject(lfs) ? lfs['sha256'] : undefined
  const size = sibling['size'] ?? (isJsonObject(lfs) ? lfs['size'] : undefined)
  const isDigest = typeof sha256 === 'string' && /^[0-9a-f]{64}$/i.test(sha256)
  return {
    path,
    bytes: checkedBytes(size),
    sha256: isDigest ? sha256.toLowerCase() : undefined,
    quant: quantOf(path),
    partCount: Number(/-\d{5}-of-(\d{5})\.gguf$/i.exec(path)?.[1] ?? 1),
  }
}

function checkedBytes(size: unknown): number | undefined {
  if (size === undefined || size === null) return undefined
  if (typeof size !== 'number' || !Number.isSafeInteger(size) || size <= 0) {
    throw hubReplyInvalid('a file has no sensible size')
  }
  if (size > modelFileBytesMax) throw hubReplyInvalid(`a file claims ${size} bytes`)
  return size
}

const quantForms: readonly string[] = [
  '(?:UD-)?I?Q[1-8](?:_(?:[01248KSML]|NL|X{1,2}[SL]))*',
  'TQ[12]_0',
  'BF16',
  'FP?(?:16|32)',
  'MXFP4(?:_MOE)?',
  'NVFP4',
]
const quantForm = new RegExp(`(?<![A-Za-z0-9])(${quantForms.join('|')})(?![A-Za-z0-9])`, 'gi')

/** The last quantisation that the file's name mentions, else the one of its folder. */
function quantOf(path: string): string | undefined {
  const segments = path
    .replace(/\.gguf$/i, '')
    .split('/')
    .toReversed()
  for (const segment of segments) {
    const last = [...segment.matchAll(quantForm)].at(-1)?.[1]
    if (last !== undefined) return last.toUpperCase()
  }
  return undefined
}

/**
 * What is taken when nothing is asked for: first what llama.cpp and Ollama take, then by use and
 * size.
 */
const preferred: readonly string[] = [
  ...['Q4_K_M', 'Q8_0', 'UD-Q4_K_XL', 'Q4_K_S', 'Q4_K', 'Q4_0', 'IQ4_XS', 'IQ4_NL', 'Q4_1'],
  ...['MXFP4', 'MXFP4_MOE', 'Q5_K_M', 'Q5_K_S', 'Q5_0', 'Q6_K', 'Q3_K_M', 'Q3_K_L', 'Q3_K_S'],
  ...['Q4', 'Q8', 'F16', 'BF16', 'FP16', 'Q2_K', 'F32', 'FP32'],
]

/**
 * Picks the file that a tag means: a quantisation, or the name of a file with or without `.gguf`,
 * both case-blind.
 *
 * @throws model_not_found with the tags that there are, unsupported for a model that is split into
 *   parts
 */
export function chooseHubFile(
  files: readonly HubFile[],
  repository: string,
  tag: string | undefined,
): HubFile {
  if (files.length === 0) throw noModels(repository)
  const found = tag === undefined ? defaultFile(files) : fileOfTag(files, tag)
  const [chosen] = found
  if (chosen === undefined) {
    const message = `${repository} has no '${tag}'. Available: ${tagsOf(files).join(', ')}`
    throw new OperationError('model_not_found', message, { origin: 'client', field: 'model' })
  }
  if (chosen.partCount > 1) throw inParts(files, repository, chosen)
  if (found.length > 1) {
    throw new OperationError(
      'model_not_found',
      `${repository} has ${found.length} files for '${tag}': ` +
        `name one of ${found.map(stemOf).join(', ')}`,
      { origin: 'client', field: 'model' },
    )
  }
  return chosen
}

function fileOfTag(files: readonly HubFile[], tag: string): readonly HubFile[] {
  const wanted = tag.toLowerCase().replace(/\.gguf$/, '')
  const named = files.filter(file => stemOf(file).toLowerCase() === wanted)
  return named.length > 0 ? named : files.filter(file => file.quant?.toLowerCase() === wanted)
}

function defaultFile(files: readonly HubFile[]): readonly HubFile[] {
  const whole = files.filter(file => file.partCount === 1)
  for (const quant of preferred) {
    const first = whole.find(file => file.quant === quant)
    if (first !== undefined) return [first]
  }
  return [...whole, ...files].slice(0, 1)
}

/**
 * What distinguishes a file in its repository: its quantisation where no other file has it, else
 * its own name.
 */
export function labelOf(file: HubFile, files: readonly HubFile[]): string {
  const sameQuant = files.filter(other => other.quant === file.quant)
  return file.quant !== undefined && sameQuant.length === 1 ? file.quant : stemOf(file)
}

function stemOf(file: HubFile): string {
  return (file.path.split('/').at(-1) ?? '')
    .replace(/\.gguf$/i, '')
    .replace(/[^A-Za-z0-9._-]/g, '_')
}

function tagsOf(files: readonly HubFile[]): readonly string[] {
  const whole = files.filter(file => file.partCount === 1)
  return [...new Set(whole.map(file => labelOf(file, files)))].sort()
}

function hubReplyInvalid(reason: string): OperationError {
  return new OperationError('download_failed', `The model hub's reply cannot be used: ${reason}`, {
    origin: 'upstream',
  })
}

function noModels(repository: string): OperationError {
  return new OperationError(
    'model_not_found',
    `${repository} holds no GGUF file: ` +
      'look for a repository of that model whose name ends in -GGUF',
    { origin: 'client', field: 'model' },
  )
}

/** A model id is the digest of one file (spec/keys.md), so a model in parts has none here. */
function inParts(files: readonly HubFile[], repository: string, file: HubFile): OperationError {
  const tags = tagsOf(files)
  const others = tags.length === 0 ? 'It has none in one file' : `In one file: ${tags.join(', ')}`
  return new OperationError(
    'unsupported',
    `'${file.quant ?? file.path}' of ${repository} comes in ${file.partCount} parts, ` +
      `which cannot be pulled. ${others}. Or download the parts, ` +
      'join them with `llama-gguf-split --merge`, and use --model',
    { origin: 'client', field: 'model' },
  )
}
