import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { resolveConfig } from './config.ts'
import { bundledModelPath } from './engine/models/model-folder.ts'
import { createEngines, type EngineSet } from './engines.ts'
import { silentLog } from './interface/log.ts'
import { systemClock } from './std/clock.ts'
import { systemRandom } from './std/random.ts'

function engines(test: TestContext, fileName: string, bytes: Uint8Array): Promise<EngineSet> {
  const data = mkdtempSync(join(tmpdir(), 'hs-engines-'))
  test.after(() => rmSync(data, { recursive: true, force: true }))
  const path = join(data, fileName)
  writeFileSync(path, bytes)
  const { config } = resolveConfig({ data, flags: { model: [path] }, env: {} })
  return createEngines({ clock: systemClock, log: silentLog, random: systemRandom }, config, {
    signal: test.signal,
  })
}

const bundled = readFileSync(bundledModelPath)

describe('createEngines()', () => {
  it('says what is wrong with a file that --model names, in one line', async test => {
    const cases: readonly (readonly [string, Uint8Array, RegExp])[] = [
      ['cut.gguf', bundled.subarray(0, 100_000), /cut\.gguf is truncated: 100000 of 2161120 bytes/],
      ['empty.gguf', new Uint8Array(), /empty\.gguf is empty/],
      ['notes', Buffer.from('not a model'), /notes is not a GGUF file/],
    ]
    for (const [name, bytes, message] of cases) {
      await assert.rejects(engines(test, name, bytes), { code: 'model_file_invalid', message })
    }
  })

  it('takes a model whose file has a name of another form, as Ollama keeps them', async test => {
    const { engines: made } = await engines(test, 'sha256-7de9993d', bundled)
    assert.equal(made.length, 1)
  })
})
