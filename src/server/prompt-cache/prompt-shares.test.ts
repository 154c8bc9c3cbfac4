import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { promptShares } from './prompt-shares.ts'

describe('promptShares()', () => {
  it('adds up to the prompt, whatever an engine or upstream says', () => {
    const counts = fc.record({
      promptTokens: fc.nat(),
      cachedTokens: fc.nat(),
      cacheWriteTokens: fc.nat(),
      completionTokens: fc.nat(),
      reasoningTokens: fc.nat(),
    })
    fc.assert(
      fc.property(counts, fc.boolean(), (usage, isHit) => {
        const { cachedTokens, writtenTokens, otherTokens } = promptShares(usage, isHit)
        assert.equal(cachedTokens + writtenTokens + otherTokens, usage.promptTokens)
        assert.ok(cachedTokens >= 0 && writtenTokens >= 0 && otherTokens >= 0)
      }),
    )
  })

  it('tells what was cached and what was written, and on a hit that nothing was computed', () => {
    const counts = { promptTokens: 10, cachedTokens: 4, completionTokens: 1, reasoningTokens: 0 }
    const usage = { ...counts, cacheWriteTokens: 5 }
    assert.deepEqual(promptShares(usage, false), {
      cachedTokens: 4,
      writtenTokens: 5,
      otherTokens: 1,
    })
    assert.deepEqual(promptShares(counts, false), {
      cachedTokens: 4,
      writtenTokens: 0,
      otherTokens: 6,
    })
    assert.deepEqual(promptShares(usage, true), {
      cachedTokens: 10,
      writtenTokens: 0,
      otherTokens: 0,
    })
  })
})
