import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { isPlainGreedy, repeatPenalty, samplerOptions, seedAt } from './sampling.ts'

describe('sampling', () => {
  it('samplerOptions() fills in what the client did not say', () => {
    const { temperature, topP, topK, minP } = samplerOptions({ topK: 5 }, 1)
    assert.deepEqual(
      { temperature, topP, topK, minP },
      { temperature: 1, topP: 1, topK: 5, minP: 0.05 },
    )
  })

  it('repeatPenalty() is absent without a penalty, and looks back a bounded way', () => {
    assert.equal(repeatPenalty({ frequencyPenalty: 0, repetitionPenalty: 1 }, [1]), undefined)
    const tokens = Array.from({ length: 1_000 }, (_, index) => index)
    const penalty = repeatPenalty({ presencePenalty: 0.5 }, tokens)
    assert.equal(penalty?.tokens.length, 256)
    assert.equal(penalty?.tokens.at(-1), 999)
  })

  it('isPlainGreedy() sees what moves the likeliest token', () => {
    assert.equal(isPlainGreedy({ temperature: 0 }), true)
    assert.equal(isPlainGreedy({}), false)
    assert.equal(isPlainGreedy({ temperature: 0, logitBias: { '5': 1 } }), false)
    assert.equal(isPlainGreedy({ temperature: 0, presencePenalty: 1 }), false)
  })

  it('seedAt() is SplitMix64, different at every position', () => {
    // First outputs of the reference SplitMix64 for seed 0.
    assert.equal(seedAt(0n, 0), Number(0xe220_a839_7b1d_cdafn & 0xffff_ffffn))
    assert.equal(seedAt(0n, 1), Number(0x6e78_9e6a_a1b9_65f4n & 0xffff_ffffn))
    const seeds = new Set(Array.from({ length: 1_000 }, (_, position) => seedAt(42n, position)))
    assert.equal(seeds.size, 1_000)
    assert.ok(seedAt(2n ** 64n - 1n, 3) >= 0)
  })
})
