import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import type { Llama, LlamaModel } from 'node-llama-cpp'
import { tinyChatPath } from '../../../../test/support/test-llama.ts'
import { silentLog } from '../../../interface/log.ts'
import { bytesPerToken } from '../../../key/state-layout.ts'
import { isLongRope, stateSettings } from '../load/model-facts.ts'
import { openRuntime } from '../load/native-runtime.ts'
import { ResidentSequence } from '../sequence/resident-sequence.ts'
import { SharedContext } from '../sequence/shared-context.ts'
import { probeState } from './probe-state.ts'

const { signal } = new AbortController()
const facts = { uncuttable: undefined, stateSettings: 'llama · rope default · lora none' }

describe('probeState()', () => {
  const native: { llama?: Llama; model?: LlamaModel } = {}
  before(async () => {
    native.llama = await openRuntime({ threads: 1, log: silentLog })
    native.model = await native.llama.loadModel({ modelPath: tinyChatPath })
  })
  after(async () => {
    await native.model?.dispose()
    await native.llama?.dispose()
  })
  const slotsOf = async (
    options: object,
  ): Promise<readonly [ResidentSequence, ResidentSequence]> => {
    assert.ok(native.model)
    const sizes = { contextSize: 256, sequences: 2, batchSize: 256, flashAttention: true }
    const context = new SharedContext(await native.model.createContext({ ...sizes, ...options }))
    return [new ResidentSequence(context, 256), new ResidentSequence(context, 256)]
  }
  const probed = { facts, hasFlashAttention: true, signal }

  it('tells the rows that the engine writes, and leaves nothing behind', async () => {
    const slots = await slotsOf({})
    const form = await probeState(slots, probed)
    assert.ok('layout' in form)
    assert.equal(form.sequences, 2)
    assert.equal(bytesPerToken(form.layout), 1_024)
    assert.equal(form.layout.settings, facts.stateSettings)
    assert.deepEqual(slots[0].resident.tokenIds, [])
  })

  const cases: readonly [string, object, RegExp][] = [
    ['values are transposed', { flashAttention: false }, /^a trial failed .*transposed/],
    [
      'rows are quantised',
      { experimentalKvCacheKeyType: 'Q8_0', experimentalKvCacheValueType: 'Q8_0' },
      /^a trial failed .*not f16/,
    ],
    ['another count of sequences shares it', { sequences: 3 }, /^all sequences share/],
  ]
  for (const [what, context, expected] of cases) {
    it(`says so when ${what}`, async () => {
      const slots = await slotsOf(context)
      const form = await probeState(slots, probed)
      assert.ok('unavailable' in form)
      assert.match(form.unavailable, expected)
      assert.deepEqual(slots[0].resident.tokenIds, [])
    })
  }

  it('tries nothing where the file or the machine tells already', async () => {
    const slots = await slotsOf({})
    const uncuttable = 'the model forgets tokens that slide out of its attention window'
    const sliding = await probeState(slots, { ...probed, facts: { ...facts, uncuttable } })
    assert.deepEqual(sliding, { unavailable: uncuttable })
    const plain = await probeState(slots, { ...probed, hasFlashAttention: false })
    assert.ok('unavailable' in plain)
    assert.match(plain.unavailable, /^the model runs without flash attention/)
  })
})

describe('stateSettings()', () => {
  it('names all that changes the meaning of a row, in one order', () => {
    const rope = { freq_base: 10_000n, scaling: { type: 'yarn', factor: 4 }, dimension_count: 64 }
    assert.equal(
      stateSettings('llama', rope),
      'llama · rope dimension_count=64 freq_base=10000 scaling.factor=4 scaling.type=yarn · lora none',
    )
    assert.equal(stateSettings('gpt2', undefined), 'gpt2 · rope default · lora none')
    assert.equal(
      stateSettings('qwen2vl', { dimension_sections: [16, 24, 24, 0] }),
      'qwen2vl · rope dimension_sections=16,24,24,0 · lora none',
    )
  })
})

describe('isLongRope()', () => {
  it('tells when the context that was asked for changes all positions', () => {
    const rope = { scaling: { original_context_length: 4_096n } }
    assert.deepEqual([isLongRope(rope, 4_096), isLongRope(rope, 4_097)], [false, true])
    assert.equal(isLongRope({ freq_base: 10_000 }, 1_000_000), false)
    assert.equal(isLongRope(undefined, 1_000_000), false)
  })
})
