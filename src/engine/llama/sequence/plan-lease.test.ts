import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { commonPrefix } from '../../common-prefix.ts'
import { type LeaseCandidate, planLease } from './plan-lease.ts'
import { planResume, sharedBlockTokens, wholeBlocks } from './plan-resume.ts'

const cuttable = { isCuttable: true }
const range = (count: number, offset = 0): number[] =>
  Array.from({ length: count }, (_, index) => index + offset)
/** `shared` tokens of the common prompt, then `own` others; all whole blocks computed as such. */
const holds = (shared: number, own = 0, state: 'idle' | 'busy' = 'idle'): LeaseCandidate => ({
  resident: {
    tokenIds: [...range(shared), ...range(own, 9_000)],
    tiledTokens: wholeBlocks(shared + own),
    partition: '',
  },
  isIdle: state === 'idle',
})
const empty = holds(0)
/** In the middle of a block. */
const cut: LeaseCandidate = {
  resident: { tokenIds: range(192), tiledTokens: 192, partition: '' },
  isIdle: true,
}
const prompt = (tokens: number, offeredTokens = 0) => ({
  promptTokens: range(tokens),
  partition: '',
  offeredTokens,
})
const resident = { type: 'resident' }
const load = { type: 'load' }
const fork = (source: number) => ({ type: 'fork', source })

describe('planLease()', () => {
  const cases: readonly [string, LeaseCandidate[], ReturnType<typeof prompt>, number, object][] = [
    ['the longest unused when nothing helps', [empty, empty], prompt(300), 0, resident],
    ['an empty one rather than a warm one', [holds(0, 300), empty], prompt(300), 1, resident],
    ['the longest common prefix', [empty, holds(200), holds(290)], prompt(300), 2, resident],
    ['the one that the prompt goes on', [empty, holds(256)], prompt(600), 1, resident],
    ['it even when its answer is lost', [empty, holds(256, 100)], prompt(600), 1, resident],
    ['a copy when blocks would be lost', [empty, holds(256, 256)], prompt(600), 0, fork(1)],
    ['a copy over what is older', [holds(0, 512), holds(256, 256)], prompt(600), 0, fork(1)],
    ['no copy over what is newer', [holds(256, 256), holds(0, 512)], prompt(600), 0, resident],
    ['a copy over what is empty, if newer', [holds(256, 256), empty], prompt(600), 1, fork(0)],
    ['no copy where there is no other', [holds(256, 256)], prompt(600), 0, resident],
    [
      'an empty one rather than less than a block',
      [empty, holds(100, 400)],
      prompt(600),
      0,
      resident,
    ],
    [
      'even less than a block where all have blocks',
      [holds(0, 300), holds(100, 400)],
      prompt(600),
      0,
      resident,
    ],
    ['a copy of a busy one', [empty, holds(256, 0, 'busy')], prompt(600), 0, fork(1)],
    [
      'a copy of a busy one over what it covers',
      [holds(0, 300), holds(128), holds(512, 0, 'busy')],
      prompt(600),
      1,
      fork(2),
    ],
    [
      'what is idle when a busy one spares less than a block more',
      [cut, holds(256, 0, 'busy')],
      prompt(600),
      0,
      resident,
    ],
    ['the file that reaches further', [empty, holds(256)], prompt(600, 384), 0, load],
    ['the file, over what it covers', [holds(0, 300), holds(256)], prompt(600, 384), 1, load],
    ['no file that reaches no further', [empty, holds(384)], prompt(600, 384), 1, resident],
    [
      'no file that a busy one equals',
      [empty, holds(384, 0, 'busy')],
      prompt(600, 384),
      0,
      fork(1),
    ],
    ['no file of which too little is used', [empty, holds(128)], prompt(256, 256), 1, resident],
  ]
  for (const [name, candidates, request, slot, start] of cases) {
    it(`lends ${name}`, () => {
      assert.deepEqual(planLease(request, candidates, cuttable), { slot, start })
    })
  }

  it('neither copies nor loads where memory cannot be cut', () => {
    const plan = planLease(prompt(600, 512), [empty, holds(256, 0, 'busy')], { isCuttable: false })
    assert.deepEqual(plan, { slot: 0, start: resident })
  })

  it('takes nothing of another partition', () => {
    const request = { ...prompt(600), partition: 'other' }
    const plan = planLease(request, [empty, holds(512), holds(512, 0, 'busy')], cuttable)
    assert.deepEqual(plan, { slot: 0, start: resident })
  })

  const candidate = fc
    .tuple(fc.nat(600), fc.nat(400), fc.boolean())
    .map(([shared, own, isIdle]) => holds(shared, own, isIdle ? 'idle' : 'busy'))

  it('lends an idle one, and within a block of the least prefill that there is', () => {
    fc.assert(
      fc.property(
        fc.array(candidate, { minLength: 1, maxLength: 6 }),
        fc.integer({ min: 1, max: 700 }),
        fc.nat(600),
        (others, tokens, offered) => {
          const candidates = [...others, holds(0, 700)]
          const request = prompt(tokens, Math.min(offered, tokens))
          const { slot, start } = planLease(request, candidates, cuttable)
          assert.equal(candidates[slot]?.isIdle, true)
          const spared = candidates.map(({ resident: held, isIdle }) =>
            isIdle
              ? planResume(held, request.promptTokens, { partition: '', ...cuttable }).reuseTokens
              : sharedBlockTokens(held, request.promptTokens, ''),
          )
          const file = wholeBlocks(Math.min(request.offeredTokens, tokens - 1))
          const gets =
            start.type === 'load'
              ? file
              : start.type === 'fork'
                ? sharedBlockTokens(
                    candidates[start.source]?.resident ?? empty.resident,
                    request.promptTokens,
                    '',
                  )
                : (spared[slot] ?? 0)
          assert.ok(gets > Math.max(file, ...spared) - 128)
          assert.ok(start.type !== 'fork' || start.source !== slot)
        },
      ),
    )
  })

  it('loses blocks of others only where every idle one has some, or newer ones', () => {
    const lostBy = (held: LeaseCandidate['resident'], tokens: readonly number[]): number =>
      wholeBlocks(held.tiledTokens) -
      wholeBlocks(Math.min(held.tiledTokens, commonPrefix(held.tokenIds, tokens)))
    fc.assert(
      fc.property(fc.array(candidate, { minLength: 1, maxLength: 6 }), others => {
        const candidates = [...others, empty]
        const { slot } = planLease(prompt(700), candidates, cuttable)
        const chosen = candidates[slot]
        assert.ok(chosen !== undefined)
        assert.equal(lostBy(chosen.resident, range(700)) < 128 || sharedLess(chosen), true)
      }),
    )
    /** It begins with less than a block of the prompt: nothing to copy from it. */
    function sharedLess({ resident: held }: LeaseCandidate): boolean {
      return commonPrefix(held.tokenIds, range(700)) < 128
    }
  })
})
