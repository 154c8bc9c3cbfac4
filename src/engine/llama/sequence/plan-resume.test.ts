import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import {
  blockPart,
  blockTokens,
  commonPrefix,
  planPrefill,
  planResume,
  type Resident,
  tailChunkTokensMax,
  tiledChunkTokensMin,
} from './plan-resume.ts'

const cuttable = { isCuttable: true }
const range = (count: number, offset = 0): number[] =>
  Array.from({ length: count }, (_, index) => index + offset)

describe('planResume()', () => {
  const cases: readonly [string, Resident, number[], number][] = [
    ['nothing resident', { tokenIds: [], blockTokens: 0 }, range(300), 0],
    ['the same prompt again', { tokenIds: range(300), blockTokens: 256 }, range(300), 299],
    [
      'the same prompt, its answer behind it',
      { tokenIds: range(320), blockTokens: 256 },
      range(300),
      299,
    ],
    [
      'a longer prompt with an equal block part',
      { tokenIds: range(300), blockTokens: 256 },
      range(380),
      300,
    ],
    [
      'a longer prompt whose block part is longer',
      { tokenIds: range(300), blockTokens: 256 },
      range(400),
      256,
    ],
    [
      'a shorter prompt whose block part is shorter',
      { tokenIds: range(300), blockTokens: 256 },
      range(200),
      128,
    ],
    [
      'a prompt that leaves in the middle of a block',
      { tokenIds: [...range(200), ...range(200, 9000)], blockTokens: 384 },
      range(400),
      192,
    ],
    [
      'a prefill that was aborted half a block in',
      { tokenIds: range(192), blockTokens: 192 },
      range(400),
      192,
    ],
    [
      'a tail that the other prompt computes in blocks',
      { tokenIds: range(120), blockTokens: 0 },
      range(400),
      0,
    ],
    ['a short prompt without any block', { tokenIds: range(50), blockTokens: 0 }, range(60), 50],
    ['a prompt of one token', { tokenIds: range(50), blockTokens: 0 }, range(1), 0],
  ]
  for (const [name, resident, prompt, expected] of cases) {
    it(`reuses ${expected} of ${prompt.length} tokens for ${name}`, () => {
      assert.equal(planResume(resident, prompt, cuttable).reuseTokens, expected)
    })
  }

  it('reuses all or nothing where the memory cannot be cut', () => {
    const resident = { tokenIds: range(40), blockTokens: 0 }
    assert.equal(planResume(resident, range(60), { isCuttable: false }).reuseTokens, 40)
    assert.equal(planResume(resident, range(30), { isCuttable: false }).reuseTokens, 0)
  })

  const residents = fc.record({
    shared: fc.nat(600),
    own: fc.nat(200),
    blocks: fc.nat(12),
    prompt: fc.integer({ min: 1, max: 700 }),
  })

  it('never reuses a token that the other kernel computed, whatever is resident', () => {
    fc.assert(
      fc.property(residents, ({ shared, own, blocks, prompt }) => {
        const tokenIds = [...range(shared), ...range(own, 9000)]
        const tiled = Math.min(tokenIds.length, blocks * tiledChunkTokensMin)
        const resident = { tokenIds, blockTokens: tiled - (tiled % tiledChunkTokensMin) }
        const plan = planResume(resident, range(prompt), cuttable)
        assert.ok(plan.reuseTokens <= commonPrefix(tokenIds, range(prompt)))
        assert.ok(plan.reuseTokens < prompt, 'one token is left to evaluate')
        assert.equal(
          Math.min(plan.reuseTokens, resident.blockTokens),
          Math.min(plan.reuseTokens, blockPart(prompt)),
          'each reused token lies in the same part of both',
        )
      }),
    )
  })

  it('prefills every token once, blocks aligned and tiled, tails short', () => {
    fc.assert(
      fc.property(residents, ({ shared, blocks, prompt }) => {
        const tokenIds = range(shared)
        const tiled = Math.min(shared, blocks * tiledChunkTokensMin)
        const resident = { tokenIds, blockTokens: tiled - (tiled % tiledChunkTokensMin) }
        const plan = planResume(resident, range(prompt), cuttable)
        let position = plan.reuseTokens
        for (const { start, end } of planPrefill(plan, prompt)) {
          assert.equal(start, position)
          position = end
          if (start < plan.blockTokens) {
            assert.equal(end % blockTokens, 0)
            assert.ok(end - start >= tiledChunkTokensMin && end <= plan.blockTokens)
          } else assert.ok(end - start <= tailChunkTokensMax)
        }
        assert.equal(position, prompt - 1)
      }),
    )
  })
})
