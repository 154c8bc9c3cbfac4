import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { defaultRates, planTtft, searchMsMax, type TtftQuestion } from './predict-ttft.ts'

const MB = 1e6

/** 2,000 tokens of a model with 2.9 MB a block, which prefills 100 tokens a second. */
function question(more: Partial<TtftQuestion> = {}): TtftQuestion {
  return {
    promptTokens: 2_000,
    blockTokens: 128,
    rowBytes: 2.9 * MB,
    blocksMax: 15,
    residentTokens: 0,
    local: [],
    queueMs: 0,
    rates: { ...defaultRates, prefillTokensPerSecond: 100 },
    ...more,
  }
}

const disk = (blocks: number): readonly 'disk'[] => Array.from({ length: blocks }, () => 'disk')
const peers = (
  blocks: number,
  bandwidth: number,
  latencyMs = 10,
): NonNullable<TtftQuestion['peers']> => ({
  blockBytes: Array.from({ length: blocks }, () => 2.9 * MB),
  bandwidth,
  latencyMs,
})

describe('planTtft()', () => {
  it('computes what nobody has, and says so', () => {
    const plan = planTtft(question({ queueMs: 50 }))
    assert.deepEqual([plan.localBlocks, plan.peerBlocks, plan.predictedMs], [0, 0, 20_050])
    assert.equal(plan.reason, 'no KV state of it is kept here')
    const short = planTtft(question({ promptTokens: 100, blocksMax: 0 }))
    assert.match(short.reason, /no longer than a block/)
  })

  it('takes everything from disk where that is faster', () => {
    const plan = planTtft(question({ local: disk(15) }))
    assert.equal(plan.localBlocks, 15)
    assert.equal(plan.reason, '1,920 tokens come from disk')
    assert.ok(plan.predictedMs < 1_100 && plan.withoutMs === 20_000, String(plan.predictedMs))
  })

  it('does not take from disk what is resident, nor what is slower than prefilling', () => {
    const resident = planTtft(question({ local: disk(10), residentTokens: 1_500 }))
    assert.equal(resident.localBlocks, 0)
    assert.equal(resident.reason, '1,500 tokens are resident')
    const rates = { ...defaultRates, prefillTokensPerSecond: 1e6 }
    const fast = planTtft(question({ local: disk(15), rates }))
    assert.equal(fast.localBlocks, 0)
    assert.match(fast.reason, /prefilling is faster than importing the 15 blocks/)
  })

  it('fetches from peers what beats prefilling, and says what it compared', () => {
    const plan = planTtft(question({ peers: peers(12, 40 * MB) }))
    assert.equal(plan.peerBlocks, 12)
    assert.equal(
      plan.reason,
      'fetching 12 blocks (35 MB) at 40 MB/s takes 0.9 s, prefilling them 15 s',
    )
    assert.equal(Math.round(plan.fetchMs), 880)
    const slow = planTtft(question({ peers: peers(12, 1 * MB) }))
    assert.equal(slow.peerBlocks, 0)
    assert.equal(
      slow.reason,
      'fetching 12 blocks (35 MB) at 1 MB/s would take 35 s, prefilling them 15 s',
    )
  })

  it('fetches as many blocks as pay, where later ones are larger', () => {
    const uneven = {
      blockBytes: [1, 1, 1, 900].map(size => size * MB),
      bandwidth: 10 * MB,
      latencyMs: 1,
    }
    assert.equal(planTtft(question({ peers: uneven })).peerBlocks, 3)
  })

  it('goes on with peers where this node has no more', () => {
    const plan = planTtft(question({ local: disk(4), peers: peers(20, 40 * MB) }))
    assert.deepEqual([plan.localBlocks, plan.peerBlocks], [4, 11], 'the last token is computed')
    assert.match(plan.reason, /^512 tokens come from disk; fetching 11 blocks/)
  })

  it('never predicts more than without, and is the best of all numbers of blocks', () => {
    fc.assert(
      fc.property(
        fc.record({
          promptTokens: fc.integer({ min: 1, max: 5_000 }),
          residentTokens: fc.integer({ min: 0, max: 5_000 }),
          local: fc.array(fc.constantFrom('memory' as const, 'disk' as const), { maxLength: 30 }),
          fetched: fc.array(fc.integer({ min: 1, max: 20 * MB }), { maxLength: 30 }),
          bandwidth: fc.integer({ min: 1, max: 1_000 * MB }),
          latencyMs: fc.integer({ min: 0, max: 500 }),
          prefill: fc.integer({ min: 1, max: 100_000 }),
        }),
        given => {
          const { promptTokens, local, fetched, bandwidth, latencyMs } = given
          const asked = question({
            promptTokens,
            residentTokens: Math.min(given.residentTokens, promptTokens - 1),
            blocksMax: Math.floor((promptTokens - 1) / 128),
            local,
            peers: { blockBytes: fetched, bandwidth, latencyMs },
            rates: { ...defaultRates, prefillTokensPerSecond: given.prefill },
          })
          const plan = planTtft(asked)
          assert.ok(plan.predictedMs <= plan.withoutMs)
          assert.ok(plan.localBlocks + plan.peerBlocks <= asked.blocksMax)
          assert.ok(plan.peerBlocks === 0 || plan.localBlocks === local.length, 'no gap')
          // Whoever has fewer blocks to choose from cannot do better.
          const fewer = planTtft({ ...asked, local: local.slice(0, -1) })
          if (fetched.length === 0) assert.ok(plan.predictedMs <= fewer.predictedMs)
          assert.match(plan.reason, /^[ -~]+$/, 'it travels in a header')
        },
      ),
    )
  })
})

describe('searchMsMax()', () => {
  it('is a part of what a search could save, and nothing where it could not', () => {
    assert.equal(searchMsMax(question()), 1_000)
    assert.equal(searchMsMax(question({ local: disk(15) })), 0)
    assert.equal(searchMsMax(question({ residentTokens: 1_999 })), 0)
    const rates = { ...defaultRates, prefillTokensPerSecond: 10_000 }
    assert.equal(searchMsMax(question({ rates })), 48)
    const fast = { ...defaultRates, prefillTokensPerSecond: 1e6 }
    assert.equal(searchMsMax(question({ rates: fast })), 0)
  })
})
