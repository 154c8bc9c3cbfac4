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
  wholeBlocks,
} from './plan-resume.ts'

type Held = Omit<Resident, 'partition'>
const plan = (held: Held, promptTokens: readonly number[], isCuttable = true): ResumePlan =>
  planResume({ ...held, partition: 'a' }, promptTokens, { partition: 'a', isCuttable })
const range = (count: number, offset = 0): number[] =>
  Array.from({ length: count }, (_, index) => index + offset)

describe('planResume()', () => {
  const cases: readonly [string, Held, number[], number][] = [
    ['nothing resident', { tokenIds: [], tiledTokens: 0 }, range(300), 0],
    ['the same prompt again', { tokenIds: range(300), tiledTokens: 256 }, range(300), 299],
    [
      'the same prompt, its answer behind it',
      { tokenIds: range(320), tiledTokens: 256 },
      range(300),
      299,
    ],
    [
      'a longer prompt with an equal tiled part',
      { tokenIds: range(300), tiledTokens: 256 },
      range(320),
      300,
    ],
    [
      'a longer prompt whose tail is tiled',
      { tokenIds: range(300), tiledTokens: 256 },
      range(380),
      256,
    ],
    ['a tiled tail again', { tokenIds: range(390), tiledTokens: 379 }, range(380), 379],
    [
      'a tiled tail of which little is new',
      { tokenIds: [...range(370), ...range(20, 9000)], tiledTokens: 379 },
      range(380),
      315,
    ],
    [
      'a tiled tail that is a tail no more',
      { tokenIds: range(390), tiledTokens: 379 },
      range(400),
      320,
    ],
    [
      'a tiled tail that the other prompt wants short',
      { tokenIds: range(390), tiledTokens: 379 },
      range(300),
      256,
    ],
    ['a tiled tail without a block', { tokenIds: range(100), tiledTokens: 99 }, range(100), 99],
    [
      'a longer prompt whose block part is longer',
      { tokenIds: range(300), tiledTokens: 256 },
      range(400),
      256,
    ],
    [
      'a shorter prompt whose block part is shorter',
      { tokenIds: range(300), tiledTokens: 256 },
      range(190),
      128,
    ],
    [
      'a shorter prompt whose tail was part of a block',
      { tokenIds: range(300), tiledTokens: 256 },
      range(200),
      199,
    ],
    [
      'a prompt that leaves in the middle of a block',
      { tokenIds: [...range(200), ...range(200, 9000)], tiledTokens: 384 },
      range(400),
      192,
    ],
    [
      'a prefill that was aborted half a block in',
      { tokenIds: range(192), tiledTokens: 192 },
      range(400),
      192,
    ],
    [
      'a tail that the other prompt computes in blocks',
      { tokenIds: range(120), tiledTokens: 0 },
      range(400),
      0,
    ],
    ['a short prompt without any block', { tokenIds: range(50), tiledTokens: 0 }, range(60), 50],
    ['a prompt of one token', { tokenIds: range(50), tiledTokens: 0 }, range(1), 0],
  ]
  for (const [name, resident, prompt, expected] of cases) {
    it(`reuses ${expected} of ${prompt.length} tokens for ${name}`, () => {
      assert.equal(plan(resident, prompt).reuseTokens, expected)
    })
  }

  it('reuses all or nothing where the memory cannot be cut', () => {
    const resident = { tokenIds: range(40), tiledTokens: 0 }
    assert.equal(plan(resident, range(60), false).reuseTokens, 40)
    assert.equal(plan(resident, range(30), false).reuseTokens, 0)
  })

  it('reuses nothing of another partition', () => {
    const resident = { tokenIds: range(300), tiledTokens: 256, partition: 'a' }
    const short = { tokenIds: range(40), tiledTokens: 0, partition: 'a' }
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

  const prompts = fc.integer({ min: 1, max: 700 })
  const residents = fc.record({ shared: fc.nat(600), own: fc.nat(200), tiled: fc.nat(800) })
  const heldOf = ({ shared, own, tiled }: { shared: number; own: number; tiled: number }): Held => {
    const tokenIds = [...range(shared), ...range(own, 9000)]
    return { tokenIds, tiledTokens: Math.min(tokenIds.length, tiled) }
  }

  it('never reuses a token that the other kernel computed, whatever is resident', () => {
    fc.assert(
      fc.property(residents, prompts, (what, prompt) => {
        const held = heldOf(what)
        const made = plan(held, range(prompt))
        assert.ok(made.reuseTokens <= commonPrefix(held.tokenIds, range(prompt)))
        assert.ok(made.reuseTokens < prompt, 'one token is left to evaluate')
        assert.equal(
          Math.min(made.reuseTokens, held.tiledTokens),
          Math.min(made.reuseTokens, made.tiledTokens),
          'each reused token lies in the same part of both',
        )
      }),
    )
  })

  it('reuses less than a chunk less than it could', () => {
    fc.assert(
      fc.property(residents, prompts, (what, prompt) => {
        const held = heldOf(what)
        const made = plan(held, range(prompt))
        const shared = Math.min(what.shared, prompt - 1)
        const fit = Math.min(shared, held.tiledTokens, made.tiledTokens)
        assert.ok(made.reuseTokens > fit - tiledChunkTokensMin)
        assert.ok(made.reuseTokens >= wholeBlocks(fit), 'whole blocks are never computed again')
      }),
    )
  })

  it('prefills every token once, tiled as far as the prompt alone says, and leaves a chunk', () => {
    fc.assert(
      fc.property(residents, prompts, (what, prompt) => {
        const made = plan(heldOf(what), range(prompt))
        const tail = prompt - 1 - blockPart(prompt)
        const isTiled = tail >= tiledChunkTokensMin
        assert.equal(made.tiledTokens, isTiled ? prompt - 1 : blockPart(prompt))
        let position = made.reuseTokens
        for (const { start, end } of planPrefill(made, prompt)) {
          assert.equal(start, position)
          position = end
          if (start < made.tiledTokens) {
            assert.ok(end % blockTokens === 0 || end === made.tiledTokens)
            assert.ok(end - start >= tiledChunkTokensMin && end - start <= blockTokens)
          } else assert.ok(end - start <= tailChunkTokensMax)
        }
        const left = prompt - position
        assert.ok(left >= 1 && left <= tailChunkTokensMax, 'the first draw has one short chunk')
        assert.ok(position >= made.tiledTokens)
      }),
    )
  })
})
