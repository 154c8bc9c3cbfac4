import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { type PeerId, peerIdOfPublicKey } from '../../../key/peer-id.ts'
import { firstShards, indicesOf, maskOf, union } from '../shard-mask.ts'
import {
  extraAtOnce,
  lateAfterMs,
  nextTransfer,
  type Source,
  type Transfer,
} from './plan-transfers.ts'

function peer(number: number): PeerId {
  return peerIdOfPublicKey(new Uint8Array(32).fill(number))
}

const [a, b, c] = [peer(1), peer(2), peer(3)]
const none = { got: 0, active: [], hasFailed: () => false }
const costs = new Map([
  [a, 10],
  [b, 20],
  [c, 30],
])
const options = { costOf: (of: PeerId) => costs.get(of) ?? 100, dataShards: 2 }

describe('nextTransfer()', () => {
  it('takes the fastest peer, and of equal ones data shards first', () => {
    const sources = [
      { peer: b, shards: maskOf(0) },
      { peer: a, shards: union(maskOf(3), maskOf(1)) },
    ]
    assert.deepEqual(nextTransfer({ ...none, sources }, options, { isUrgent: false }), {
      peer: a,
      index: 1,
    })
    // A parity shard from a much faster one is worth its decoding.
    const parity = [
      { peer: c, shards: maskOf(0) },
      { peer: a, shards: maskOf(2) },
    ]
    assert.equal(nextTransfer({ ...none, sources: parity }, options, { isUrgent: false })?.peer, a)
  })

  it('asks a second one for a shard on its way only when it is urgent', () => {
    const sources = [
      { peer: a, shards: maskOf(0) },
      { peer: b, shards: maskOf(0) },
    ]
    const state = { ...none, sources, active: [{ peer: a, index: 0 }] }
    assert.equal(nextTransfer(state, options, { isUrgent: false }), undefined)
    assert.deepEqual(nextTransfer(state, options, { isUrgent: true }), { peer: b, index: 0 })
  })

  it('never asks for what is here, has failed or is on its way from there, and ends', () => {
    const source = fc.record({ peer: fc.constantFrom(a, b, c), shards: fc.nat(0xff) })
    fc.assert(
      fc.property(fc.array(source), fc.nat(0xff), fc.boolean(), (sources, got, isUrgent) => {
        const active: Transfer[] = []
        for (let step = 0; step < 100; step++) {
          const next = nextTransfer({ ...none, sources, got, active }, options, { isUrgent })
          if (next === undefined) break
          assert.ok(!indicesOf(got).includes(next.index))
          assert.ok(isOffered(sources, next))
          const isTwice = active.some(({ index }) => index === next.index)
          assert.ok(isUrgent || !isTwice)
          assert.ok(active.every(other => other.index !== next.index || other.peer !== next.peer))
          active.push(next)
          assert.ok(step < 99)
        }
      }),
    )
    const sources = [{ peer: a, shards: firstShards(4) }]
    const state = { ...none, sources, hasFailed: ({ index }: Transfer) => index !== 3 }
    assert.equal(nextTransfer(state, options, { isUrgent: true })?.index, 3)
  })
})

function isOffered(sources: readonly Source[], { peer: from, index }: Transfer): boolean {
  return sources.some(source => source.peer === from && indicesOf(source.shards).includes(index))
}

describe('extraAtOnce()', () => {
  it('is two for a single block over slow paths, and nothing elsewhere', () => {
    const slow = { expectedMs: 900, isMeasured: true }
    const fast = { expectedMs: 5, isMeasured: true }
    const unknown = { expectedMs: 5, isMeasured: false }
    assert.equal(extraAtOnce({ dataShards: 8 }, slow, { isOnly: true }), 2)
    assert.equal(extraAtOnce({ dataShards: 4 }, unknown, { isOnly: true }), 2)
    assert.equal(extraAtOnce({ dataShards: 2 }, slow, { isOnly: true }), 1)
    assert.equal(extraAtOnce({ dataShards: 1 }, slow, { isOnly: true }), 0)
    assert.equal(extraAtOnce({ dataShards: 8 }, fast, { isOnly: true }), 0)
    assert.equal(extraAtOnce({ dataShards: 8 }, slow, { isOnly: false }), 0)
  })
})

describe('lateAfterMs()', () => {
  it('is twice the predicted time, and patient where nothing was measured', () => {
    assert.equal(lateAfterMs({ expectedMs: 900, isMeasured: true }), 1_800)
    assert.equal(lateAfterMs({ expectedMs: 5, isMeasured: true }), 50)
    assert.equal(lateAfterMs({ expectedMs: 5, isMeasured: false }), 500)
  })
})

describe('shard masks', () => {
  it('are unsigned up to the last shard', () => {
    assert.equal(maskOf(31), 0x8000_0000)
    assert.equal(firstShards(32), 0xffff_ffff)
    assert.deepEqual(indicesOf(0x8000_0001), [0, 31])
    assert.equal(union(0x8000_0000, 1), 0x8000_0001)
  })
})
