import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import {
  chat,
  onlyModel,
  startedEngine,
  storiesPath,
  storiesSkip,
  tinyChatPath,
} from '../../../test/support/test-llama.ts'
import { OperationError } from '../../errors.ts'
import { engineCompliance } from '../../interface/engine.compliance.ts'
import { collect } from '../../interface/generation.compliance.ts'

engineCompliance('llama', async () => ({ engine: await startedEngine(), modelName: 'tiny-chat' }), {
  embeddings: 'The demo model gives none; embedder.test.ts has one that does',
})

describe('LlamaEngine', () => {
  it('start() says in one line which file is no model', async t => {
    const folder = await mkdtemp(join(tmpdir(), 'hyperspace-llama-'))
    t.after(() => rm(folder, { recursive: true }))
    const whole = await readFile(tinyChatPath)
    const files = {
      truncated: whole.subarray(0, whole.length / 2),
      foreign: Buffer.from('hello'),
      empty: Buffer.of(),
    }
    for (const [name, bytes] of Object.entries(files)) {
      const path = join(folder, `${name}.gguf`)
      await writeFile(path, bytes)
      await assert.rejects(startedEngine({ path, name }), error => {
        assert.ok(error instanceof OperationError)
        assert.equal(error.code, 'model_file_invalid')
        assert.ok(error.message.includes(path))
        assert.ok(!error.message.includes('\n'))
        return true
      })
    }
    await assert.rejects(startedEngine({ path: join(folder, 'missing.gguf') }), {
      code: 'model_file_invalid',
    })
  })

  it('stop() refuses who waits and frees the memory while answers are being written', async () => {
    const engine = await startedEngine({ parallel: 1 })
    const model = onlyModel(engine)
    const running = model
      .generate(chat('Who are you?'), {
        seed: 1n,
        signal: new AbortController().signal,
      })
      [Symbol.asyncIterator]()
    // The first token is drawn when the start is told.
    for (const type of ['start', 'text']) assert.equal((await running.next()).value?.type, type)
    const waiting = collect(model, chat('What is Hyperspace?'))
    const refused = assert.rejects(waiting, { code: 'draining' })
    await engine.stop()
    await refused
    await assert.rejects(running.next(), { code: 'draining' })
    assert.deepEqual(engine.models(), [])
  })

  it('can be started again', async () => {
    const engine = await startedEngine()
    await engine.stop()
    await engine.start({ signal: new AbortController().signal })
    assert.notEqual((await collect(onlyModel(engine), chat('Who are you?'))).text(0), '')
    await engine.stop()
  })

  it('runs a model with another tokenizer and unquantised weights', {
    skip: storiesSkip,
  }, async () => {
    const engine = await startedEngine({ path: storiesPath, name: 'stories', contextTokens: 256 })
    const model = onlyModel(engine)
    const greedy = { sampling: { temperature: 0 }, maxTokens: 24 }
    const answer = await collect(
      model,
      chat('', { kind: 'text', messages: [], prompt: 'Once upon a time', ...greedy }),
    )
    assert.match(answer.text(0), /^, there was a little girl named Lily/)
    const { tokens } = model
    const prompt =
      (
        await tokens?.prompt(chat('', { kind: 'text', prompt: 'Once' }), {
          signal: AbortSignal.timeout(60_000),
        })
      )?.tokenIds ?? []
    assert.equal(
      await tokens?.detokenize(prompt),
      '<s> Once',
      'begins with the token the model was trained with',
    )
    await engine.stop()
  })
})
