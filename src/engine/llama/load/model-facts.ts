import type { LlamaModel } from 'node-llama-cpp'
import type { VocabularyMetadata } from '../text/token-bytes.ts'

/** What a loaded file tells about itself. */
export interface ModelFacts {
  /** Undefined where the file has none. */
  readonly chatTemplate: string | undefined
  readonly vocabulary: VocabularyMetadata
  /**
   * Why KV state cannot be cut at a token, as a clause that continues "because"; undefined where it
   * can.
   */
  readonly uncuttable: string | undefined
  /** What decides the meaning of a row of KV state beside its size (`StateLayout.settings`). */
  readonly stateSettings: string
  readonly isLongRope: boolean
  /** Made to give one vector per text, not to write. */
  readonly isEmbedder: boolean
  readonly quantization: string | undefined
  readonly parameters: string | undefined
}

/** Architectures that only read. Others count as embedders when the file names a pooling. */
const encoders = /bert|embedding|t5encoder/
const poolings: readonly unknown[] = [1, 2, 3]

export function modelFacts(model: LlamaModel, contextTokens: number): ModelFacts {
  const metadata: unknown = model.fileInfo.metadata
  const { architecture } = model.fileInfo.metadata.general
  const rope = lookUp(metadata, architecture, 'rope')
  const vocabulary = lookUp(metadata, 'tokenizer', 'ggml')
  const template = lookUp(metadata, 'tokenizer', 'chat_template')
  return {
    chatTemplate: typeof template === 'string' && template !== '' ? template : undefined,
    vocabulary: {
      model: String(lookUp(vocabulary, 'model')),
      tokens: listOf(lookUp(vocabulary, 'tokens'), isText),
      tokenTypes: listOf(lookUp(vocabulary, 'token_type'), isNumber),
    },
    uncuttable: uncuttable(model),
    stateSettings: stateSettings(architecture, rope),
    isLongRope: isLongRope(rope, contextTokens),
    isEmbedder:
      encoders.test(architecture) ||
      poolings.includes(lookUp(metadata, architecture, 'pooling_type')),
    quantization: / (\w+)$/.exec(model.typeDescription)?.[1],
    parameters: textOf(lookUp(metadata, 'general', 'size_label')),
  }
}

function uncuttable({ fileInsights }: LlamaModel): string | undefined {
  if (fileInsights.isRecurrent)
    return 'the model keeps a recurrent state, which has no tokens to cut at'
  if (fileInsights.isHybrid)
    return 'some layers keep a recurrent state, which has no tokens to cut at'
  if ((fileInsights.swaSize ?? 0) > 0)
    return 'the model forgets tokens that slide out of its attention window'
  return undefined
}

/**
 * One line: the architecture, which decides the kind of rotary embedding, its settings as the file
 * has them, and that no LoRA is applied. An absent setting is llama.cpp's default.
 */
export function stateSettings(architecture: string, rope: unknown): string {
  return [architecture, `rope ${flatten(rope).sort().join(' ') || 'default'}`, 'lora none'].join(
    ' · ',
  )
}

/**
 * Whether positions are turned by the factors for long contexts, where a model has two kinds
 * (Phi's, `long rope`): all of them are, from the first on, as soon as the context that was asked
 * for is longer than the original one (`get_rope_factors` in llama.cpp's src/llama-model.cpp).
 */
export function isLongRope(rope: unknown, contextTokens: number): boolean {
  const original = lookUp(rope, 'scaling', 'original_context_length')
  return original !== undefined && contextTokens > Number(original)
}

/** Nested settings as `dotted.name=value`. */
function flatten(settings: unknown, prefix = ''): string[] {
  if (typeof settings !== 'object' || settings === null) return []
  return Object.entries(settings).flatMap(([name, value]: [string, unknown]) =>
    typeof value === 'object' && value !== null && !Array.isArray(value)
      ? flatten(value, `${prefix}${name}.`)
      : // 64-bit settings are bigints.
        [`${prefix}${name}=${String(value)}`],
  )
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
