import { blockBytesMax, stateLayersMax, stateTextBytesMax } from '../limits.ts'

/** Tokens of one block of KV state. Only full blocks have names. */
export const blockTokens = 128

/**
 * How the KV state of a model is laid out: for every layer, the bytes of one token's row of keys
 * and of values. All rows hold IEEE 754 half-precision numbers, little-endian.
 */
export interface StateLayout {
  readonly layers: readonly LayerLayout[]
  /** Settings that change what a row means at equal sizes: rotary embedding, LoRA. One line. */
  readonly settings: string
}

/** Either may be 0 where a layer has no such rows, but not both. */
export interface LayerLayout {
  readonly keyBytes: number
  readonly valueBytes: number
}

/** One line that is equal for equal layouts only. */
export function layoutName({ layers, settings }: StateLayout): string {
  const rows = layers.map(({ keyBytes, valueBytes }) => `${keyBytes}+${valueBytes}`).join(',')
  return `f16 rows/1 · ${rows} · ${settings}`
}

export function bytesPerToken({ layers }: StateLayout): number {
  return layers.reduce((sum, { keyBytes, valueBytes }) => sum + keyBytes + valueBytes, 0)
}

/**
 * Bytes of the rows of one block: per layer the 128 rows of keys, then the 128 rows of values, in
 * the order of the tokens.
 */
export function blockBytes(layout: StateLayout): number {
  return bytesPerToken(layout) * blockTokens
}

/** Why state of this layout cannot travel in blocks (spec/blocks.md §1); undefined when it can. */
export function layoutFault(layout: StateLayout): string | undefined {
  const { layers, settings } = layout
  if (layers.length === 0) return 'it has no layers'
  if (layers.length > stateLayersMax) return `it has more than ${stateLayersMax} layers`
  if (!layers.every(isLayer)) return 'the rows of a layer are not half-precision numbers'
  const bytes = blockBytes(layout)
  if (bytes > blockBytesMax) return `a block of it has ${bytes} bytes, more than ${blockBytesMax}`
  return textFault('settings', settings)
}

/** Why this is no text of a block's head. */
export function textFault(what: string, text: string): string | undefined {
  const bytes = Buffer.byteLength(text, 'utf8')
  if (bytes > stateTextBytesMax) return `its ${what} has more than ${stateTextBytesMax} bytes`
  // A lone surrogate has no UTF-8: two different texts would have one name.
  return text.isWellFormed() ? undefined : `its ${what} is no Unicode text`
}

function isLayer({ keyBytes, valueBytes }: LayerLayout): boolean {
  const areRows = [keyBytes, valueBytes].every(
    bytes => Number.isSafeInteger(bytes) && bytes >= 0 && bytes % 2 === 0,
  )
  return areRows && keyBytes + valueBytes > 0
}
