import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import {
  float32Value,
  type RawValue,
  readMetadata,
  stringValue,
  type Tensor,
  uint32Value,
  writeGguf,
} from './gguf-writer.ts'

/**
 * Models of a real one's exact shape with random weights: real compute, real sizes of KV state, and
 * nonsense for text. 145 and 531 MB.
 */
export type Shape = 'smollm2-135m' | 'qwen2.5-0.5b'

interface ShapeFacts {
  readonly architecture: 'llama' | 'qwen2'
  readonly vocabulary: 'gpt-2' | 'qwen2'
  readonly width: number
  readonly hidden: number
  readonly layers: number
  readonly heads: number
  readonly keyValueHeads: number
  readonly contextTokens: number
  readonly ropeBase: number
  readonly epsilon: number
  readonly hasBias: boolean
}

const shapes: { readonly [shape in Shape]: ShapeFacts } = {
  'smollm2-135m': {
    architecture: 'llama',
    vocabulary: 'gpt-2',
    width: 576,
    hidden: 1_536,
    layers: 30,
    heads: 9,
    keyValueHeads: 3,
    contextTokens: 8_192,
    ropeBase: 1e5,
    epsilon: 1e-5,
    hasBias: false,
  },
  'qwen2.5-0.5b': {
    architecture: 'qwen2',
    vocabulary: 'qwen2',
    width: 896,
    hidden: 4_864,
    layers: 24,
    heads: 14,
    keyValueHeads: 2,
    contextTokens: 32_768,
    ropeBase: 1e6,
    epsilon: 1e-6,
    hasBias: true,
  },
}

const chatTemplate =
  "{% for m in messages %}<|{{ m['role'] }}|>\n{{ m['content'] }}\n{% endfor %}" +
  '{% if add_generation_prompt %}<|assistant|>\n{% endif %}'

/** The source of llama.cpp that lies inside the engine's package; it holds vocabularies. */
const bundle: string = fileURLToPath(
  new URL('../../../node_modules/node-llama-cpp/llama/gitRelease.bundle', import.meta.url),
)
const folder: string = join(tmpdir(), 'hyperspace-synthetic-models')

/** Why no model can be made here; false where it can. */
export const syntheticSkip: string | false = existsSync(bundle)
  ? hasGit()
    ? false
    : 'git is not installed'
  : 'the installed engine package carries no source of llama.cpp'

/** The file of a synthetic model; made once, in the folder for temporary files. */
export function syntheticModel(shape: Shape): string {
  const path = join(folder, `${shape}-q8_0.gguf`)
  if (existsSync(path)) return path
  mkdirSync(folder, { recursive: true })
  const facts = shapes[shape]
  const own = `${path}.${process.pid}`
  const vocabulary = `${own}.vocabulary`
  try {
    writeFileSync(vocabulary, vocabularyFile(facts.vocabulary))
    const metadata = metadataOf(shape, facts, readMetadata(vocabulary))
    writeGguf(own, metadata, tensorsOf(facts, vocabularySize(metadata)))
    // Whole or not at all, whoever else makes it at the same time.
    renameSync(own, path)
  } finally {
    rmSync(vocabulary, { force: true })
    rmSync(own, { force: true })
  }
  return path
}

function hasGit(): boolean {
  try {
    execFileSync('git', ['--version'], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

function vocabularyFile(name: string): Buffer {
  const repository = join(folder, 'llama.cpp.git')
  if (!existsSync(repository)) {
    const own = `${repository}.${process.pid}`
    execFileSync('git', ['clone', '--quiet', '--bare', bundle, own], { stdio: 'ignore' })
    if (existsSync(repository)) rmSync(own, { recursive: true })
    else renameSync(own, repository)
  }
  const file = `HEAD:models/ggml-vocab-${name}.gguf`
  return execFileSync('git', ['-C', repository, 'show', file], { maxBuffer: 64 * 1024 * 1024 })
}

function metadataOf(
  shape: Shape,
  facts: ShapeFacts,
  vocabulary: ReadonlyMap<string, RawValue>,
): ReadonlyMap<string, RawValue> {
  const { architecture, width, heads, keyValueHeads } = facts
  const own: readonly (readonly [string, RawValue])[] = [
    ['context_length', uint32Value(facts.contextTokens)],
    ['embedding_length', uint32Value(width)],
    ['feed_forward_length', uint32Value(facts.hidden)],
    ['block_count', uint32Value(facts.layers)],
    ['attention.head_count', uint32Value(heads)],
    ['attention.head_count_kv', uint32Value(keyValueHeads)],
    ['attention.layer_norm_rms_epsilon', float32Value(facts.epsilon)],
    ['rope.freq_base', float32Value(facts.ropeBase)],
    ['rope.dimension_count', uint32Value(width / heads)],
  ]
  const tokenizer = [...vocabulary].filter(([name]) => name.startsWith('tokenizer.'))
  return new Map<string, RawValue>([
    ['general.architecture', stringValue(architecture)],
    ['general.name', stringValue(`synthetic ${shape} (random weights)`)],
    ['general.file_type', uint32Value(7)],
    ...own.map(([name, value]) => [`${architecture}.${name}`, value] as const),
    ['tokenizer.chat_template', stringValue(chatTemplate)],
    ...tokenizer,
  ])
}

/** The number of tokens is the length of the array of them. */
function vocabularySize(metadata: ReadonlyMap<string, RawValue>): number {
  const tokens = metadata.get('tokenizer.ggml.tokens')
  if (tokens === undefined) throw new TypeError('The vocabulary file has no tokens')
  return Number(Buffer.from(tokens.raw).readBigUInt64LE(4))
}

function tensorsOf(facts: ShapeFacts, tokens: number): readonly Tensor[] {
  const { width, hidden, layers } = facts
  const random = randomWords(1)
  const matrix = (name: string, inputs: number, outputs: number, deviation: number): Tensor => ({
    name,
    dimensions: [inputs, outputs],
    type: 'q8_0',
    fill: bytes => fillQ8(bytes, deviation, random),
  })
  const vector = (name: string, length: number, base: number, spread: number): Tensor => ({
    name,
    dimensions: [length],
    type: 'f32',
    fill: bytes => {
      for (let at = 0; at < bytes.length; at += 4) {
        bytes.writeFloatLE(base + ((random() / 2 ** 32) * 2 - 1) * spread, at)
      }
    },
  })
  const keyValueWidth = (width / facts.heads) * facts.keyValueHeads
  const gain = 1 / Math.sqrt(width)
  const residual = 1 / Math.sqrt(2 * layers)
  const layer = (index: number): readonly Tensor[] => {
    const at = `blk.${index}.`
    const biases = [
      vector(`${at}attn_q.bias`, width, 0, 0.5),
      vector(`${at}attn_k.bias`, keyValueWidth, 0, 0.5),
      vector(`${at}attn_v.bias`, keyValueWidth, 0, 0.05),
    ]
    return [
      vector(`${at}attn_norm.weight`, width, 1, 0.05),
      matrix(`${at}attn_q.weight`, width, width, 1.5 * gain),
      matrix(`${at}attn_k.weight`, width, keyValueWidth, 1.5 * gain),
      matrix(`${at}attn_v.weight`, width, keyValueWidth, gain),
      matrix(`${at}attn_output.weight`, width, width, gain * residual),
      ...(facts.hasBias ? biases : []),
      vector(`${at}ffn_norm.weight`, width, 1, 0.05),
      matrix(`${at}ffn_gate.weight`, width, hidden, gain),
      matrix(`${at}ffn_down.weight`, hidden, width, (2 * residual) / Math.sqrt(hidden)),
      matrix(`${at}ffn_up.weight`, width, hidden, gain),
    ]
  }
  return [
    matrix('token_embd.weight', width, tokens, 0.02),
    vector('output_norm.weight', width, 1, 0.05),
    ...Array.from({ length: layers }, (_, index) => layer(index)).flat(),
  ]
}

/** Blocks of 34 bytes: a half-precision scale and 32 signed bytes, even over their whole range. */
function fillQ8(bytes: Buffer, deviation: number, random: () => number): void {
  // Even over ±127 has a deviation of 73.6.
  const scale = halfOf(deviation / 73.6)
  for (let at = 0; at < bytes.length; at += 34) {
    bytes.writeUInt16LE(scale, at)
    for (let word = 0; word < 8; word++) bytes.writeUInt32LE(random(), at + 2 + word * 4)
  }
}

/** Rounded down; for the range of normal half-precision numbers. */
function halfOf(value: number): number {
  const word = new DataView(new ArrayBuffer(4))
  word.setFloat32(0, value)
  const bits = word.getUint32(0)
  const exponent = ((bits >>> 23) & 0xff) - 112
  if (exponent <= 0) {
    // Subnormal: multiples of 2^-24.
    return Math.round(value * 2 ** 24)
  }
  return (exponent << 10) | ((bits & 0x7f_ffff) >>> 13)
}

/** Xorshift32 (G. Marsaglia, 2003): the same weights everywhere. */
function randomWords(seed: number): () => number {
  let state = (seed * 2_654_435_761) >>> 0
  return () => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    state >>>= 0
    return state
  }
}
