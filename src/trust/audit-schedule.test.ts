import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { PeerId } from '../key/peer-id.ts'
import { VirtualClock } from '../std/clock.ts'
import { auditProbability, auditShareLeast } from './audit-schedule.ts'
import { Reputation, unknownStanding } from './reputation.ts'

const peer = 'peer' as PeerId

describe('auditProbability()', () => {
  it('is 1 for a stranger and falls with each audit that agrees, but not to nothing', () => {
    const reputation = new Reputation(new VirtualClock())
    assert.equal(auditProbability(unknownStanding), 1)
    const seen: number[] = []
    for (let audits = 0; audits < 30; audits++) {
      seen.push(auditProbability(reputation.standingOf(peer)))
      reputation.note(peer, 'audit-agreed')
    }
    assert.deepEqual(seen.slice(0, 4), [1, 1 / 2, 1 / 3, 1 / 4])
    assert.equal(auditProbability(reputation.standingOf(peer)), auditShareLeast)
  })

  it('is 1 again after one that did not agree, and the peer is in quarantine at once', () => {
    const clock = new VirtualClock()
    const reputation = new Reputation(clock)
    for (let audits = 0; audits < 30; audits++) reputation.note(peer, 'audit-agreed')
    reputation.note(peer, 'audit-disagreed')
    assert.ok(reputation.isQuarantined(peer))
    assert.equal(auditProbability(reputation.standingOf(peer)), 1)
    clock.advance(reputation.quarantineMs(peer) + 1)
    reputation.note(peer, 'audit-agreed')
    assert.equal(auditProbability(reputation.standingOf(peer)), 1, 'the offence is remembered')
  })

  it('is 1 for a peer whose messages go wrong', () => {
    const reputation = new Reputation(new VirtualClock())
    for (let audits = 0; audits < 3; audits++) reputation.note(peer, 'audit-agreed')
    reputation.note(peer, 'invalid-message')
    assert.equal(auditProbability(reputation.standingOf(peer)), 1)
  })
})
