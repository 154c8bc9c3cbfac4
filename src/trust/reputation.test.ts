import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import type { PeerId } from '../key/peer-id.ts'
import { reputationPeersMax } from '../limits.ts'
import { VirtualClock } from '../std/clock.ts'
import {
  nextStanding,
  type PeerEvent,
  Reputation,
  type Standing,
  scoreAt,
  unknownStanding,
} from './reputation.ts'

const [anna, bert, cleo] = ['anna', 'bert', 'cleo'] as PeerId[]
assert.ok(anna !== undefined && bert !== undefined && cleo !== undefined)
const hourMs = 3_600_000

function subject(): { clock: VirtualClock; reputation: Reputation } {
  const clock = new VirtualClock()
  return { clock, reputation: new Reputation(clock) }
}

describe('Reputation', () => {
  it('rank() puts the near before the far, and the unknown in between', () => {
    const { reputation } = subject()
    const roundTrips = new Map([
      [anna, 400],
      [bert, 5],
    ])
    const ranked = reputation.rank([anna, cleo, bert], peer => roundTrips.get(peer))
    assert.deepEqual(ranked, [bert, cleo, anna])
    assert.deepEqual(
      reputation.rank([cleo, anna], () => 1),
      [cleo, anna],
      'equal ones stay',
    )
  })

  it('rank() asks those who failed later than their round trip says', () => {
    const { reputation } = subject()
    const rank = (): readonly PeerId[] =>
      reputation.rank([anna, bert], peer => (peer === anna ? 10 : 15))
    assert.deepEqual(rank(), [anna, bert])
    reputation.note(anna, 'timeout')
    reputation.note(anna, 'timeout')
    assert.deepEqual(rank(), [bert, anna])
  })

  it('two wrong records lead to quarantine, which ends by itself', () => {
    const { clock, reputation } = subject()
    reputation.note(anna, 'bad-record')
    assert.ok(!reputation.isQuarantined(anna), 'one may be a bad disk')
    reputation.note(anna, 'bad-receipt')
    assert.ok(reputation.isQuarantined(anna))
    assert.deepEqual(
      reputation.rank([anna, bert], () => 1),
      [bert],
    )
    clock.advance(reputation.quarantineMs(anna))
    assert.ok(!reputation.isQuarantined(anna))
    assert.deepEqual(
      reputation.rank([anna, bert], () => 1),
      [bert, anna],
      'on probation',
    )
  })

  it('each quarantine is twice as long, up to a day, until a day went well', () => {
    const { clock, reputation } = subject()
    const offend = (): number => {
      while (!reputation.isQuarantined(anna)) reputation.note(anna, 'bad-record')
      return reputation.quarantineMs(anna)
    }
    const lengths = Array.from({ length: 10 }, () => {
      const lengthMs = offend()
      clock.advance(lengthMs)
      return lengthMs / 60_000
    })
    assert.deepEqual(lengths, [10, 20, 40, 80, 160, 320, 640, 1_280, 1_440, 1_440])
    clock.advance(24 * hourMs + 1)
    assert.equal(offend() / 60_000, 10)
  })

  it('good and bad fade: half in an hour', () => {
    const { clock, reputation } = subject()
    reputation.note(anna, 'invalid-message')
    assert.equal(reputation.scoreOf(anna), -40)
    clock.advance(hourMs)
    assert.equal(reputation.scoreOf(anna), -20)
    for (let index = 0; index < 1_000; index++) reputation.note(anna, 'good-answer')
    assert.equal(reputation.scoreOf(anna), 20, 'nobody saves up for a wrong answer')
  })

  it('a jump of the wall clock changes nothing', () => {
    const { clock, reputation } = subject()
    reputation.note(anna, 'bad-record')
    reputation.note(anna, 'bad-record')
    const before = reputation.quarantineMs(anna)
    clock.jump(30 * 24 * hourMs)
    assert.equal(reputation.quarantineMs(anna), before)
  })

  it('remembers so many peers and no more', () => {
    const { reputation } = subject()
    reputation.note(anna, 'timeout')
    for (let index = 0; index < reputationPeersMax; index++) {
      reputation.note(`peer ${index}` as PeerId, 'timeout')
    }
    assert.equal(reputation.scoreOf(anna), 0)
    assert.equal(reputation.scoreOf('peer 0' as PeerId), -10)
  })

  it('nextStanding() keeps the score within bounds, whatever happens', () => {
    const events = fc.constantFrom<PeerEvent>(
      'good-answer',
      'bad-record',
      'bad-receipt',
      'invalid-message',
      'timeout',
      'failed',
      'refused',
    )
    fc.assert(
      fc.property(fc.array(fc.tuple(events, fc.nat(2 * hourMs))), steps => {
        let nowMs = 0
        let standing: Standing = unknownStanding
        for (const [event, passedMs] of steps) {
          nowMs += passedMs
          const before = scoreAt(standing, nowMs)
          standing = nextStanding(standing, event, nowMs)
          const after = scoreAt(standing, nowMs)
          assert.ok(after <= 20 && after > -100)
          if (event === 'good-answer') assert.ok(after >= before)
          const leftMs = standing.quarantinedUntilMs - nowMs
          assert.ok(leftMs <= 24 * hourMs)
        }
      }),
    )
  })
})
