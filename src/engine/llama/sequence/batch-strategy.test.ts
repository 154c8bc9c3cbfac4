import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { BatchItem } from 'node-llama-cpp'
import { createBatchStrategy } from './batch-strategy.ts'

const item = (count: number): BatchItem => ({
  tokens: Array.from({ length: count }),
  logits: [],
  evaluationPriority: 5,
})
const lengths = (
  strategy: ReturnType<typeof createBatchStrategy>,
  counts: readonly number[],
): number[] =>
  strategy({ items: counts.map(item), size: 512 }).map(chosen => {
    assert.equal(chosen.processAmount, chosen.item.tokens.length, 'items are never cut')
    return chosen.processAmount
  })

describe('createBatchStrategy()', () => {
  it('lets blocks and short work take turns and never mixes them', () => {
    const strategy = createBatchStrategy()
    assert.deepEqual(lengths(strategy, [1, 128, 63, 128]), [128, 128])
    assert.deepEqual(lengths(strategy, [1, 128, 63, 128]), [1, 63])
    assert.deepEqual(lengths(strategy, [1, 128]), [128])
  })

  it('joins only blocks of one length', () => {
    assert.deepEqual(lengths(createBatchStrategy(), [64, 128, 64]), [64, 64])
  })

  it('takes what there is when only one kind waits', () => {
    const strategy = createBatchStrategy()
    assert.deepEqual(lengths(strategy, [128]), [128])
    assert.deepEqual(lengths(strategy, [128]), [128])
    assert.deepEqual(lengths(strategy, [1, 2]), [1, 2])
  })

  it('leaves for the next batch what does not fit', () => {
    assert.deepEqual(lengths(createBatchStrategy(), Array(6).fill(128)), [128, 128, 128, 128])
  })
})
