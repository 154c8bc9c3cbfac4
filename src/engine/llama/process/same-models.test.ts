import assert from 'node:assert/strict'
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { testModel } from '../../../../test/support/test-llama.ts'
import type { LoadedFacts } from './engine-messages.ts'
import { assertSameFacts, assertSameFiles, fileMarks } from './same-models.ts'

describe('assertSameFiles()', () => {
  it('tells a file from another of the same size that took its place', async t => {
    const folder = mkdtempSync(join(tmpdir(), 'hyperspace-same-'))
    t.after(() => rmSync(folder, { recursive: true }))
    const models = ['a.gguf', 'b.gguf'].map(name => testModel({ path: join(folder, name), name }))
    for (const { path } of models) writeFileSync(path, 'one')
    const first = await fileMarks(models)
    assertSameFiles(models, first, await fileMarks(models))
    writeFileSync(join(folder, 'new'), 'two')
    renameSync(join(folder, 'new'), join(folder, 'b.gguf'))
    const now = await fileMarks(models)
    assert.throws(() => assertSameFiles(models, first, now), {
      code: 'model_file_invalid',
      message: /'b.gguf' again/,
    })
    rmSync(join(folder, 'b.gguf'))
    const gone = await fileMarks(models)
    assert.throws(() => assertSameFiles(models, first, gone), { code: 'model_file_invalid' })
  })
})

describe('assertSameFacts()', () => {
  it('tells an engine that computes otherwise from the first one', () => {
    const facts: LoadedFacts = {
      ...{ id: testModel().id, name: 'm', aliases: [], contextTokens: 8 },
      capabilities: { chat: true, text: true, embeddings: false, developerRole: false },
      numericClass: 'm · cuda',
      details: { origin: 'embedded' },
      tokens: { vocabularySize: 8, state: { layout: { layers: [], settings: '' }, sequences: 4 } },
    }
    assertSameFacts([facts], [structuredClone(facts)])
    const without = { ...facts, numericClass: 'm · cpu' }
    assert.throws(() => assertSameFacts([facts], [without]), { code: 'engine_failed' })
  })
})
