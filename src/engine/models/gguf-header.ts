import { type FileHandle, open, stat } from 'node:fs/promises'
import { OperationError } from '../../errors.ts'
import { ggufEntriesMax, ggufTensorsMax } from '../../limits.ts'
import { type AbortOptions, isAbort } from '../../std/signal.ts'
import { describeForeignFile } from './foreign-file.ts'
import { type ByteSource, GgufCursor, GgufFormatError } from './gguf-cursor.ts'
import { fileTypeNames, type Pooling, poolings, tensorTypeById } from './gguf-types.ts'

/** What a GGUF file says about itself, checked against the file's size. */
export interface GgufHeader {
  readonly version: 2 | 3
  /** `llama`, `qwen3`, `bert` … */
  readonly architecture: string
  /** `general.name`: the author's own name of the model. */
  readonly name: string | undefined
  /** Longest context the model was made for. */
  readonly contextTokens: number | undefined
  /** `Q4_K_M`, `F16` …: from `general.file_type`, else the type that most weights have. */
  readonly quantization: string
  /** Weights, counted over the tensors. */
  readonly parameterCount: number
  readonly hasChatTemplate: boolean
  /** How an embedding model pools; undefined for models that only generate. */
  readonly pooling: Pooling | undefined
  readonly tensorCount: number
  readonly fileBytes: number
  /** Bytes that header and tensors need; never above `fileBytes`. */
  readonly neededBytes: number
}

export interface GgufHeaderOptions extends AbortOptions {
  /** What errors call the file. @default its path */
  readonly label?: string
}

/**
 * Reads and checks the header of a model file. Holds one window of the file at a time, whatever its
 * lengths claim.
 *
 * @throws model_file_invalid in one line that names the file, what is wrong and what to do
 */
export async function readGgufHeader(
  path: string,
  options: GgufHeaderOptions,
): Promise<GgufHeader> {
  try {
    await using handle = await openFile(path)
    const { size } = await handle.stat()
    return await parseGgufHeader(fileSource(handle, size), options)
  } catch (error) {
    throw modelFileInvalid(options.label ?? path, error)
  }
}

/**
 * The parser behind `readGgufHeader`. @throws GgufFormatError for every byte sequence that is no
 * usable model
 */
export async function parseGgufHeader(
  source: ByteSource,
  options: AbortOptions,
): Promise<GgufHeader> {
  const cursor = new GgufCursor(source, options)
  const { version, tensorCount, entryCount } = await readPreamble(cursor, source)
  const metadata = await readMetadata(cursor, entryCount)
  const architecture = checkedArchitecture(metadata)
  const tensors = await readTensors(cursor, tensorCount, alignmentOf(metadata))
  if (tensors.endBytes > source.totalBytes) {
    throw new GgufFormatError(
      `is truncated: ${source.totalBytes} of ${tensors.endBytes} bytes are there. ` +
        'Its download did not finish, fetch it again',
    )
  }
  const pooling = numberOf(metadata, `${architecture}.pooling_type`)
  return {
    version,
    architecture,
    name: textOf(metadata, 'general.name'),
    contextTokens: numberOf(metadata, `${architecture}.context_length`),
    quantization: quantizationOf(metadata, tensors.elementsByType),
    parameterCount: tensors.elements,
    hasChatTemplate: metadata.has('tokenizer.chat_template'),
    pooling: pooling === undefined ? undefined : poolings[pooling],
    tensorCount,
    fileBytes: source.totalBytes,
    neededBytes: tensors.endBytes,
  }
}

interface Preamble {
  readonly version: 2 | 3
  readonly tensorCount: number
  readonly entryCount: number
}

async function readPreamble(cursor: GgufCursor, source: ByteSource): Promise<Preamble> {
  const head = new Uint8Array(256)
  const headBytes = await source.read(head, 0)
  if (Buffer.from(head.subarray(0, 4)).toString('latin1') !== 'GGUF') {
    throw new GgufFormatError(describeForeignFile(head.subarray(0, headBytes), source.totalBytes))
  }
  cursor.skip(4)
  const version = await cursor.u32()
  if (version === 1) throw new GgufFormatError('is of GGUF version 1, too old: get a newer file')
  if (version === 0x0200_0000 || version === 0x0300_0000) {
    throw new GgufFormatError('is a big-endian GGUF file: get the little-endian one')
  }
  if (version !== 2 && version !== 3) {
    throw new GgufFormatError(`is of GGUF version ${version}; versions 2 and 3 can be read`)
  }
  const tensorCount = await cursor.u64()
  const entryCount = await cursor.u64()
  if (tensorCount > ggufTensorsMax || entryCount > ggufEntriesMax) {
    throw new GgufFormatError(
      `is damaged: it claims ${tensorCount} tensors and ${entryCount} metadata entries`,
    )
  }
  if (tensorCount === 0) throw new GgufFormatError('holds no weights, so it cannot be run')
  return { version, tensorCount, entryCount }
}

type Metadata = ReadonlyMap<string, string | number>

/** Names are short; a longer one is none that we look for. */
const keyBytesMax = 256
const wantedKey = /^(general\.(architecture|name|type|file_type|alignment)|split\.count)$/
const wantedSuffix = /\.(context_length|pooling_type)$/
/**
 * `<architecture>.…` entries are kept before the architecture is known; honest files have two of
 * them.
 */
const keptEntriesMax = 64

async function readMetadata(cursor: GgufCursor, entryCount: number): Promise<Metadata> {
  const kept = new Map<string, string | number>()
  for (let index = 0; index < entryCount; index++) {
    const key = await cursor.string(keyBytesMax)
    const type = await cursor.u32()
    if (key === 'tokenizer.chat_template') {
      await readValue(cursor, type)
      kept.set(key, 1)
    } else if (key !== undefined && (wantedKey.test(key) || wantedSuffix.test(key))) {
      const value = await readValue(cursor, type)
      if (value !== undefined && kept.size < keptEntriesMax) kept.set(key, value)
    } else await readValue(cursor, type)
  }
  return kept
}

/** Longest text kept of a value. */
const valueBytesMax = 4_096
/** Bytes of the value types with a fixed size, by their id in the file. */
const fixedBytes: readonly (number | undefined)[] = [
  1,
  1,
  2,
  2,
  4,
  4,
  4,
  1,
  undefined,
  undefined,
  8,
  8,
  8,
]
const stringType = 8
const arrayType = 9

/** An unsigned whole number or a text; undefined for everything else, which is skipped. */
async function readValue(cursor: GgufCursor, type: number): Promise<string | number | undefined> {
  if (type === 0) return await cursor.u8()
  if (type === 2) return await cursor.u16()
  if (type === 4) return await cursor.u32()
  if (type === stringType) return await cursor.string(valueBytesMax)
  if (type === arrayType) return await skipArray(cursor)
  const bytes = fixedBytes[type]
  if (bytes === undefined) throw new GgufFormatError(`is damaged: it has a value of type ${type}`)
  cursor.skip(bytes)
  return undefined
}

async function skipArray(cursor: GgufCursor): Promise<undefined> {
  const type = await cursor.u32()
  const count = await cursor.u64()
  const bytes = fixedBytes[type]
  if (type === stringType) await cursor.skipStrings(count)
  else if (bytes !== undefined) cursor.skip(count * bytes)
  else throw new GgufFormatError(`is damaged: it has an array of type ${type}`)
}

function checkedArchitecture(metadata: Metadata): string {
  const architecture = textOf(metadata, 'general.architecture')
  if (architecture === undefined || architecture === '') {
    throw new GgufFormatError('does not tell its architecture, so it cannot be run')
  }
  const partCount = numberOf(metadata, 'split.count') ?? 1
  if (partCount > 1) {
    // A model id is the digest of one file: it would not tell models apart that share this part.
    throw new GgufFormatError(
      `is one of ${partCount} parts of a model: ` +
        'join them with `llama-gguf-split --merge` of llama.cpp first',
    )
  }
  const type = textOf(metadata, 'general.type') ?? 'model'
  if (type === 'mmproj' || architecture === 'clip') {
    throw new GgufFormatError('is a vision projector, not a language model: name the model itself')
  }
  if (type !== 'model') {
    throw new GgufFormatError(`is of type '${type}', not a model: name the model it belongs to`)
  }
  return architecture
}

const alignmentDefault = 32
const alignmentMax = 65_536

function alignmentOf(metadata: Metadata): number {
  const alignment = numberOf(metadata, 'general.alignment') ?? alignmentDefault
  const isPowerOfTwo = alignment > 0 && (alignment & (alignment - 1)) === 0
  if (!isPowerOfTwo || alignment > alignmentMax) {
    throw new GgufFormatError(`is damaged: it claims an alignment of ${alignment} bytes`)
  }
  return alignment
}

interface Tensors {
  /** Where the last tensor ends, from the start of the file. */
  readonly endBytes: number
  readonly elements: number
  readonly elementsByType: ReadonlyMap<string, number>
}

/** ggml's own limits of a tensor. */
const dimensionsMax = 4
const tensorNameBytesMax = 64

async function readTensors(
  cursor: GgufCursor,
  tensorCount: number,
  alignment: number,
): Promise<Tensors> {
  const elementsByType = new Map<string, number>()
  let elements = 0
  let dataBytes = 0
  for (let index = 0; index < tensorCount; index++) {
    if ((await cursor.string(tensorNameBytesMax)) === undefined) {
      throw new GgufFormatError('is damaged: a tensor has an absurdly long name')
    }
    const tensor = await readTensor(cursor)
    if (tensor.offset % alignment !== 0) {
      throw new GgufFormatError('is damaged: a tensor is not where it can be')
    }
    dataBytes = Math.max(dataBytes, tensor.offset + tensor.bytes)
    elements += tensor.elements
    const name = tensor.typeName
    elementsByType.set(name, (elementsByType.get(name) ?? 0) + tensor.elements)
  }
  const dataStart = Math.ceil(cursor.position / alignment) * alignment
  return { endBytes: exact(dataStart + dataBytes), elements: exact(elements), elementsByType }
}

interface Tensor {
  readonly typeName: string
  readonly elements: number
  readonly bytes: number
  /** From the start of the tensor data. */
  readonly offset: number
}

async function readTensor(cursor: GgufCursor): Promise<Tensor> {
  const dimensionCount = await cursor.u32()
  if (dimensionCount > dimensionsMax) {
    throw new GgufFormatError(`is damaged: a tensor has ${dimensionCount} dimensions`)
  }
  let elements = 1
  let rowElements = 1
  for (let dimension = 0; dimension < dimensionCount; dimension++) {
    const length = await cursor.u64()
    if (dimension === 0) rowElements = length
    elements = exact(elements * length)
  }
  const typeId = await cursor.u32()
  const offset = await cursor.u64()
  const type = tensorTypeById.get(typeId)
  if (type === undefined) {
    throw new GgufFormatError(
      `has weights of type ${typeId}, which this version does not know: get another quantisation`,
    )
  }
  if (rowElements % type.blockElements !== 0) {
    throw new GgufFormatError(`is damaged: a tensor's rows do not fill blocks of ${type.name}`)
  }
  const bytes = exact((elements / type.blockElements) * type.blockBytes)
  return { typeName: type.name, elements, bytes, offset }
}

function exact(value: number): number {
  if (!Number.isSafeInteger(value))
    throw new GgufFormatError('is damaged: a tensor is absurdly big')
  return value
}

function quantizationOf(metadata: Metadata, elementsByType: ReadonlyMap<string, number>): string {
  const told = fileTypeNames.get(numberOf(metadata, 'general.file_type') ?? -1)
  if (told !== undefined) return told
  const byCount = [...elementsByType].sort(([, a], [, b]) => b - a)
  return byCount[0]?.[0] ?? 'unknown'
}

function textOf(metadata: Metadata, key: string): string | undefined {
  const value = metadata.get(key)
  return typeof value === 'string' ? value : undefined
}

function numberOf(metadata: Metadata, key: string): number | undefined {
  const value = metadata.get(key)
  return typeof value === 'number' ? value : undefined
}

async function openFile(path: string): Promise<FileHandle> {
  // Asked before opening: opening a named pipe would wait for its writer.
  const target = await stat(path)
  if (target.isDirectory()) throw new GgufFormatError('is a folder: name the .gguf file in it')
  if (!target.isFile()) throw new GgufFormatError('is not a regular file')
  return await open(path)
}

function fileSource(handle: FileHandle, totalBytes: number): ByteSource {
  return {
    totalBytes,
    async read(target, position) {
      const { bytesRead } = await handle.read(target, 0, target.byteLength, position)
      return bytesRead
    },
  }
}

function modelFileInvalid(label: string, error: unknown): unknown {
  if (isAbort(error)) return error
  return new OperationError('model_file_invalid', `${label} ${reasonOf(error)}`, {
    origin: 'client',
    cause: error,
  })
}

function reasonOf(error: unknown): string {
  if (error instanceof GgufFormatError) return error.message
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  if (code === 'ENOENT') return 'does not exist: check the path'
  if (code === 'EACCES' || code === 'EPERM') return 'cannot be read: this user lacks the permission'
  return `cannot be read (${String(code ?? error)})`
}
