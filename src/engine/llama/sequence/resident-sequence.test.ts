import assert from 'node:assert/strict'
import { mkdtempSync } from 'node:fs'
import { readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it, type TestContext } from 'node:test'
import { type Llama, LlamaContextSequence, type LlamaModel } from 'node-llama-cpp'
import { tinyChatPath } from '../../../../test/support/test-llama.ts'
import { OperationError } from '../../../errors.ts'
import { silentLog } from '../../../interface/log.ts'
import { cutBlock, parseStateFile } from '../../state-file/state-file.ts'
import { createSequences } from '../load/create-context.ts'
import { openRuntime } from '../load/native-runtime.ts'
import { blockPart, planResume } from './plan-resume.ts'
import type { ResidentSequence } from './resident-sequence.ts'

const signal = new AbortController().signal
const partition = 'p'
const prompt = Array.from({ length: 700 }, (_, index) => 3 + ((index * 7_919) % 1_990))
const other = prompt.toReversed()

describe('ResidentSequence', () => {
  const folder = mkdtempSync(join(tmpdir(), 'hyperspace-sequence-'))
  const native: { llama?: Llama; model?: LlamaModel } = {}
  before(async () => {
    native.llama = await openRuntime({ threads: 1, log: silentLog })
    native.model = await native.llama.loadModel({ modelPath: tinyChatPath })
  })
  after(async () => {
    await native.model?.dispose()
    await native.llama?.dispose()
    await rm(folder, { recursive: true })
  })
  const open = async (): Promise<[ResidentSequence, ResidentSequence, ResidentSequence]> => {
    assert.ok(native.model)
    const options = { name: 'tiny-chat', contextTokens: 1_000, parallel: 3, threads: 1 }
    const [a, b, c] = await createSequences(native.model, options)
    assert.ok(a && b && c)
    return [a, b, c]
  }
  /** All but the last. */
  const prefill = async (slot: ResidentSequence, tokens: readonly number[]): Promise<void> => {
    const plan = planResume(slot.resident, tokens, { partition, isCuttable: true })
    const left = await slot.prefill(tokens, { plan, partition, signal })
    await slot.evaluate(left.slice(0, -1))
  }
  let files = 0
  const saved = async (slot: ResidentSequence, tokenIds: readonly number[]): Promise<string> => {
    files += 1
    const path = join(folder, `${files}`)
    assert.equal(await slot.save({ path, tokenIds }, partition), true)
    return path
  }
  const layersOf = async (slot: ResidentSequence): Promise<unknown> =>
    parseStateFile(await readFile(await saved(slot, []))).layers
  const blocks = async (slot: ResidentSequence, tokenIds: readonly number[]): Promise<Buffer[]> => {
    const state = parseStateFile(await readFile(await saved(slot, tokenIds)))
    return Array.from({ length: tokenIds.length / 128 }, (_, index) =>
      Buffer.from(cutBlock(state, index)),
    )
  }

  it('sample() computes the end of a prompt as by itself, to the last bit', async () => {
    const [a, b] = await open()
    for (const length of [2, 20, 62, 63, 64, 129, 142, 191, 192, 300, 318]) {
      const tokens = prompt.slice(0, length)
      const options = { temperature: 0 }
      await prefill(a, tokens)
      const alone = await a.sample(tokens.slice(-1), options)
      const plan = planResume(b.resident, tokens, { partition, isCuttable: true })
      const left = await b.prefill(tokens, { plan, partition, signal })
      const together = await b.sample(left, options)
      const [first, second] = await Promise.all([a, b].map(slot => layersOf(slot)))
      assert.deepEqual([together, second], [alone, first], `${length} tokens`)
      await a.clear()
      await b.clear()
    }
  })

  it('forkFrom() leaves true rows at once, whatever happens to the source next', async () => {
    const [a, b, c] = await open()
    await prefill(a, prompt.slice(0, 300))
    await prefill(b, other.slice(0, 300))
    const shared = prompt.slice(0, 256)
    const original = await blocks(a, shared)
    await c.forkFrom(a, prompt, partition)
    assert.deepEqual(await blocks(c, shared), original, 'exported right after the copy')
    assert.deepEqual(c.resident, { tokenIds: shared, tiledTokens: 256, partition })
    await prefill(b, other.slice(0, 257))
    await b.forkFrom(a, prompt, partition)
    await prefill(a, other.slice(0, 300))
    assert.deepEqual(await blocks(b, shared), original, 'the source was overwritten')
  })

  it('forkFrom() is not undone by a file that is loaded right after it', async () => {
    const [a, b] = await open()
    await prefill(a, other.slice(0, 257))
    const file = { path: await saved(a, other.slice(0, 256)), tokenIds: other.slice(0, 256) }
    const foreign = await blocks(a, file.tokenIds)
    await prefill(a, prompt.slice(0, 257))
    const shared = prompt.slice(0, 256)
    const original = await blocks(a, shared)
    await b.forkFrom(a, prompt, partition)
    await a.load(file, partition)
    assert.deepEqual(await blocks(b, shared), original)
    assert.deepEqual(await blocks(a, file.tokenIds), foreign)
    await a.forkFrom(b, prompt, partition)
    await a.load(file, partition)
    await prefill(a, other.slice(0, 300))
    assert.deepEqual(await blocks(a, file.tokenIds), foreign)
    await prefill(a, prompt.slice(0, 257))
    await b.clear()
    await Promise.all([b.forkFrom(a, prompt, partition), a.load(file, partition)])
    assert.deepEqual(await blocks(b, shared), original, 'loaded while it was copied')
    assert.deepEqual(await blocks(a, file.tokenIds), foreign)
  })

  it('forkFrom() copies from a sequence that is computing', async () => {
    const [a, b] = await open()
    await prefill(a, prompt.slice(0, 130))
    const original = await blocks(a, prompt.slice(0, 128))
    for (let round = 0; round < 4; round++) {
      const end = 260 + round * 128
      const running = prefill(a, prompt.slice(0, end))
      await b.forkFrom(a, prompt, partition)
      const { tokenIds, tiledTokens } = b.resident
      assert.equal(tokenIds.length, tiledTokens)
      assert.ok(tiledTokens >= 128, `${tiledTokens}`)
      assert.deepEqual(tokenIds, prompt.slice(0, tiledTokens))
      assert.deepEqual((await blocks(b, prompt.slice(0, 128))).at(0), original[0])
      await running
      assert.equal(a.resident.tiledTokens, blockPart(end))
    }
  })

  it('forkFrom() copies between two native calls of the source', async t => {
    const [a, b] = await open()
    const calls: string[] = []
    let source: unknown
    watchCalls(t, 'evaluateWithoutGeneratingNewTokens', (sequence, step) => {
      source ??= sequence
      if (sequence === source) calls.push(step)
    })
    watchCalls(t, '_copyStateFromOtherSequence', (_, step) => calls.push(`copy ${step}`))
    await prefill(a, prompt.slice(0, 140))
    for (let round = 1; round <= 4; round++) {
      const running = prefill(a, prompt.slice(0, 140 + round * 128))
      await b.forkFrom(a, prompt, partition)
      await running
      await b.clear()
    }
    assert.equal(calls.filter(step => step === 'copy begins').length, 4)
    for (let index = 0; index < calls.length; index += 2) {
      const pair = calls.slice(index, index + 2).map(step => step.replace('copy ', ''))
      assert.deepEqual(pair, ['begins', 'ends'], `${calls}`)
    }
  })

  it('forkFrom() takes nothing of a source that has moved on, nor of another partition', async () => {
    const [a, b] = await open()
    await prefill(a, other.slice(0, 300))
    await prefill(b, prompt.slice(0, 20))
    await b.forkFrom(a, prompt, partition)
    await b.forkFrom(a, other, 'q')
    assert.deepEqual(b.resident.tokenIds, prompt.slice(0, 19), 'and what it holds stays')
  })

  it('watch() tells whole blocks, only when they change', async () => {
    const [a] = await open()
    const told: string[] = []
    a.watch(resident => told.push(`${resident.partition} ${resident.tokenIds.length}`))
    await prefill(a, prompt.slice(0, 20))
    await prefill(a, prompt.slice(0, 300))
    await prefill(a, prompt.slice(0, 310))
    await a.clear()
    const late: string[] = []
    await prefill(a, prompt.slice(0, 140))
    a.watch(resident => late.push(`${resident.partition} ${resident.tokenIds.length}`))
    assert.deepEqual([told, late], [['p 256', 'p 0', 'p 128'], ['p 128']])
  })

  it('watch() tells at once that nothing is left when a call has failed', async t => {
    const [a] = await open()
    await prefill(a, prompt.slice(0, 300))
    const told: number[] = []
    a.watch(({ tokenIds }) => told.push(tokenIds.length))
    const { mock } = t.mock.method(LlamaContextSequence.prototype, 'controlledEvaluate', () =>
      Promise.reject(new Error('out of memory')),
    )
    await assert.rejects(a.rank([{ tokenId: 5, wanted: undefined }], 1), { code: 'engine_failed' })
    assert.deepEqual([told, a.resident.tokenIds], [[256, 0], []])
    mock.restore()
    await prefill(a, prompt.slice(0, 300))
    assert.deepEqual(told, [256, 0, 256], 'and begins anew')
  })

  it('close() lets no call begin, and waits for the one that runs', async () => {
    const [a, b] = await open()
    await prefill(a, prompt.slice(0, 300))
    const reason = new OperationError('draining', 'The engine was stopped', { origin: 'self' })
    const running = assert.rejects(prefill(b, prompt.slice(0, 600)), reason)
    await b.close(reason)
    await running
    assert.deepEqual(b.resident.tokenIds, [])
    await assert.rejects(b.forkFrom(a, prompt, partition), reason)
    await assert.rejects(b.save({ path: join(folder, 'x'), tokenIds: [] }, partition), reason)
    await assert.rejects(b.load({ path: join(folder, 'x'), tokenIds: [] }, partition), reason)
  })
})

/** Tells of every call of a method of the library's sequences, until the test ends. */
function watchCalls(
  t: TestContext,
  name: string,
  tell: (sequence: unknown, step: 'begins' | 'ends') => void,
): void {
  const { prototype } = LlamaContextSequence
  const method: unknown = Reflect.get(prototype, name)
  assert.ok(typeof method === 'function')
  Reflect.set(prototype, name, async function watched(this: unknown, ...given: unknown[]) {
    tell(this, 'begins')
    try {
      return await Reflect.apply(method, this, given)
    } finally {
      tell(this, 'ends')
    }
  })
  t.after(() => Reflect.set(prototype, name, method))
}
