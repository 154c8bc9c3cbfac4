import type { LlamaModel } from 'node-llama-cpp'
import type { VocabularyMetadata } from '../text/token-bytes.ts'

/** What a loaded file tells about itself. */
export interface ModelFacts {
  /** Undefined where the file has none. */
  readonly chatTemplate: string | undefined
  readonly vocabulary: VocabularyMetadata
  /** Bytes of KV state per token, all layers, F16. */
  readonly stateBytesPerToken: number
  /** Why KV state cannot be cut at a token; undefined where it can. */
  readonly uncuttable: string | undefined
  /** Made to give one vector per text, not to write. */
  readonly isEmbedder: boolean
  readonly quantization: string | undefined
  readonly parameters: string | undefined
}

const keyValueBytes = 2
/** Architectures that only read. Others count as embedders when the file names a pooling. */
const encoders = /bert|embedding|t5encoder/
const poolings: readonly unknown[] = [1, 2, 3]

export function modelFacts(model: LlamaModel): ModelFacts {
  const metadata: unknown = model.fileInfo.metadata
  const { architecture } = model.fileInfo.metadata.general
  const vocabulary = lookUp(metadata, 'tokenizer', 'ggml')
  const template = lookUp(metadata, 'tokenizer', 'chat_template')
  return {
    chatTemplate: typeof template === 'string' && template !== '' ? template : undefined,
    vocabulary: {
      model: String(lookUp(vocabulary, 'model')),
      tokens: listOf(lookUp(vocabulary, 'tokens'), isText),
      tokenTypes: listOf(lookUp(vocabulary, 'token_type'), isNumber),
    },
    stateBytesPerToken: stateBytesPerToken(lookUp(metadata, architecture)),
    uncuttable: uncuttable(model),
    isEmbedder:
      encoders.test(architecture) ||
      poolings.includes(lookUp(metadata, architecture, 'pooling_type')),
    quantization: / (\w+)$/.exec(model.typeDescription)?.[1],
    parameters: textOf(lookUp(metadata, 'general', 'size_label')),
  }
}

function uncuttable({ fileInsights }: LlamaModel): string | undefined {
  if (fileInsights.isRecurrent)
    return 'The model keeps a recurrent state, which has no tokens to cut at'
  if (fileInsights.isHybrid)
    return 'Some layers keep a recurrent state, which has no tokens to cut at'
  if ((fileInsights.swaSize ?? 0) > 0)
    return 'The model forgets tokens that slide out of its attention window'
  return undefined
}

function stateBytesPerToken(architecture: unknown): number {
  const layers = numberOf(lookUp(architecture, 'block_count')) ?? 0
  const attention = lookUp(architecture, 'attention')
  const heads = numberOf(lookUp(attention, 'head_count')) ?? 1
  const width = (numberOf(lookUp(architecture, 'embedding_length')) ?? 0) / heads
  const rowWidth =
    (numberOf(lookUp(attention, 'key_length')) ?? width) +
    (numberOf(lookUp(attention, 'value_length')) ?? width)
  const keyValueHeads = lookUp(attention, 'head_count_kv')
  // Some models have another count of heads in every layer.
  const perLayer = listOf(keyValueHeads, isNumber)
  const headsOfAllLayers =
    perLayer.length > 0
      ? perLayer.reduce((sum, count) => sum + count, 0)
      : layers * (numberOf(keyValueHeads) ?? heads)
  return headsOfAllLayers * rowWidth * keyValueBytes
}

function lookUp(value: unknown, ...path: readonly string[]): unknown {
  let found = value
  for (const key of path) {
    if (typeof found !== 'object' || found === null) return undefined
    found = Reflect.get(found, key)
  }
  return found
}

function listOf<Item>(value: unknown, isItem: (item: unknown) => item is Item): readonly Item[] {
  return Array.isArray(value) && value.every(isItem) ? value : []
}
const isText = (value: unknown): value is string => typeof value === 'string'
const isNumber = (value: unknown): value is number => typeof value === 'number'
const textOf = (value: unknown): string | undefined => (isText(value) ? value : undefined)
const numberOf = (value: unknown): number | undefined => (isNumber(value) ? value : undefined)
