import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { blockTokens } from '../../../key/state-layout.ts'
import { commonPrefix } from '../../common-prefix.ts'
import {
  blockPart,
  planPrefill,
  planResume,
  type Resident,
  type ResumePlan,
  sharedBlockTokens,
  tailChunkTokensMax,
  tiledChunkTokensMin,
} from './plan-resume.ts'

type Held = Omit<Resident, 'partition'>
const plan = (held: Held, promptTokens: readonly number[], isCuttable = true): ResumePlan =>
  planResume({ ...held, partition: 'a' }, promptTokens, { partition: 'a', isCuttable })
const range = (count: number, offset = 0): number[] =>
  Array.from({ length: count }, (_, index) => index + offset)

describe('planResume()', () => {
  const cases: readonly [string, Held, number[], number][] = [
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
      assert.equal(plan(resident, prompt).reuseTokens, expected)
    })
  }

  it('reuses all or nothing where the memory cannot be cut', () => {
    const resident = { tokenIds: range(40), blockTokens: 0 }
    assert.equal(plan(resident, range(60), false).reuseTokens, 40)
    assert.equal(plan(resident, range(30), false).reuseTokens, 0)
  })

  it('reuses nothing of another partition', () => {
    const resident = { tokenIds: range(300), blockTokens: 256, partition: 'a' }
    const short = { tokenIds: range(40), blockTokens: 0, partition: 'a' }
    for (const [held, prompt] of [
      [resident, range(300)],
      [short, range(60)],
    ] as const) {
      const made = planResume(held, prompt, { partition: 'b', isCuttable: true })
      assert.equal(made.reuseTokens, 0)
      assert.equal(sharedBlockTokens(held, prompt, 'b'), 0)
    }
    assert.equal(sharedBlockTokens(resident, range(300), 'a'), 256)
    assert.equal(sharedBlockTokens(resident, range(256), 'a'), 128, 'one token is left')
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
        const made = plan(resident, range(prompt))
        assert.ok(made.reuseTokens <= commonPrefix(tokenIds, range(prompt)))
        assert.ok(made.reuseTokens < prompt, 'one token is left to evaluate')
        assert.equal(
          Math.min(made.reuseTokens, resident.blockTokens),
          Math.min(made.reuseTokens, blockPart(prompt)),
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
        const made = plan(resident, range(prompt))
        let position = made.reuseTokens
        for (const { start, end } of planPrefill(made, prompt)) {
          assert.equal(start, position)
          position = end
          if (start < made.blockTokens) {
            assert.equal(end % blockTokens, 0)
            assert.ok(end - start >= tiledChunkTokensMin && end <= made.blockTokens)
          } else assert.ok(end - start <= tailChunkTokensMax)
        }
        assert.equal(position, prompt - 1)
      }),
    )
  })
})
