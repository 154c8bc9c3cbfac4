import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import {
  chat,
  onlyModel,
  startedEngine,
  startedProcessEngine,
  tinyChatPath,
} from '../../../test/support/test-llama.ts'
import type { EngineModel } from '../../interface/engine.ts'
import { collect } from '../../interface/generation.compliance.ts'
import type { LlamaEngine } from './llama-engine.ts'

const signal = new AbortController().signal

/**
 * No embedding model is small enough for the repository: the demo model becomes one by a line in
 * its metadata.
 */
describe('embed() of the embedded engine', () => {
  const shared: { engine?: LlamaEngine; folder?: string } = {}
  before(async () => {
    shared.folder = await mkdtemp(join(tmpdir(), 'hyperspace-embed-'))
    const path = join(shared.folder, 'embedder.gguf')
    await writeFile(path, withMeanPooling(await readFile(tinyChatPath)))
    shared.engine = await startedEngine({ path, contextTokens: 512 })
  })
  after(async () => {
    await shared.engine?.stop()
    if (shared.folder !== undefined) await rm(shared.folder, { recursive: true })
  })
  const model = (): EngineModel => {
    assert.ok(shared.engine !== undefined)
    return onlyModel(shared.engine)
  }

  it('gives one vector of length 1 per input, equal for equal inputs', async () => {
    assert.equal(model().capabilities.embeddings, true)
    const { vectors, promptTokens } = await model().embed(['a dog', 'a cat', 'a dog', [1, 2, 3]], {
      signal,
    })
    assert.equal(vectors.length, 4)
    assert.ok(promptTokens > 6)
    for (const vector of vectors) {
      assert.equal(vector.length, 192)
      assert.ok(Math.abs(Math.hypot(...vector) - 1) < 1e-5)
    }
    assert.deepEqual(vectors[0], vectors[2])
    assert.notDeepEqual(vectors[0], vectors[1])
  })

  it('gives the same vectors from a process of its own', async () => {
    const path = join(shared.folder ?? '', 'embedder.gguf')
    const engine = await startedProcessEngine({ path, contextTokens: 512 })
    const inputs = ['a dog', [1, 2, 3]]
    const [theirs, ours] = await Promise.all(
      [onlyModel(engine), model()].map(each => each.embed(inputs, { signal })),
    )
    await engine.stop()
    assert.deepEqual(theirs, ours)
    assert.ok(theirs?.vectors.every(vector => vector instanceof Float32Array))
  })

  it('shortens vectors on request', async () => {
    const { vectors } = await model().embed(['a dog'], { signal, dimensions: 16 })
    assert.equal(vectors[0]?.length, 16)
    const wrong = model().embed(['a dog'], { signal, dimensions: 193 })
    await assert.rejects(wrong, { code: 'request_invalid', field: 'dimensions' })
  })

  it('names what it cannot take', async () => {
    const long = model().embed(['fine', 'dog '.repeat(600)], { signal })
    await assert.rejects(long, { code: 'context_length_exceeded' })
    await assert.rejects(model().embed(['a', ''], { signal }), {
      code: 'request_invalid',
      field: 'input[1]',
    })
    await assert.rejects(model().embed(['a'], { signal: AbortSignal.abort() }), {
      name: 'AbortError',
    })
    await assert.rejects(collect(model(), chat('Hi')), { code: 'unsupported' })
  })
})

/**
 * Adds `llama.pooling_type = 1` (mean) to a GGUF file. Its tensors keep their places, counted from
 * the padding.
 */
function withMeanPooling(file: Buffer): Buffer {
  const [alignment, u32Type, textType] = [32, 4, 8]
  const pooling = Buffer.concat([ggufText('llama.pooling_type'), u32(u32Type), u32(1)])
  const note = (text: string): Buffer =>
    Buffer.concat([ggufText('note'), u32(textType), ggufText(text)])
  // Grown by whole alignments, so that the padding before the tensors stays right.
  const excess = (pooling.length + note('').length) % alignment
  const entries = Buffer.concat([pooling, note(' '.repeat(alignment - excess))])
  const preamble = Buffer.from(file.subarray(0, 24))
  preamble.writeBigUInt64LE(preamble.readBigUInt64LE(16) + 2n, 16)
  return Buffer.concat([preamble, entries, file.subarray(24)])
}

function ggufText(text: string): Buffer {
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(text.length))
  return Buffer.concat([length, Buffer.from(text)])
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return bytes
}
