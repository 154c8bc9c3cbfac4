import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { peerIdOfPublicKey } from '../../../key/peer-id.ts'
import {
  holdBurst,
  holdsMax,
  holdsPerPeerMax,
  holdsPerSecond,
  MiB,
  shardsServedBytesMax,
  shardsServedPerPeerBytesMax,
} from '../../../limits.ts'
import { VirtualClock } from '../../../std/clock.ts'
import { ShardLedger } from '../shard-ledger.ts'
import { HoldLimits } from './hold-limits.ts'
import { ServingBudget } from './serving-budget.ts'

const peers = Array.from({ length: 16 }, (_, number) =>
  peerIdOfPublicKey(new Uint8Array(32).fill(number + 1)),
)
const [peer = assert.fail(), other = assert.fail()] = peers

function limits(clock = new VirtualClock(), held = 0): HoldLimits {
  return new HoldLimits({ clock, bytesMax: () => 1_000 * MiB, bytesFor: () => held })
}

describe('HoldLimits', () => {
  it('pace() allows a burst and then a rate; who goes on at once floods', () => {
    const clock = new VirtualClock()
    const limit = limits(clock)
    for (let count = 0; count < holdBurst; count++) assert.equal(limit.pace(peer), undefined)
    assert.equal(limit.pace(peer), 'busy')
    assert.equal(limit.pace(peer), 'flood')
    assert.equal(limit.pace(other), undefined)
    clock.advance(1_000)
    for (let count = 0; count < holdsPerSecond; count++) assert.equal(limit.pace(peer), undefined)
    assert.equal(limit.pace(peer), 'busy')
  })

  it('begin() counts what is being pulled beside what is held, until it ends', () => {
    const limit = limits(new VirtualClock(), 240 * MiB)
    const end = limit.begin(peer, 10 * MiB)
    assert.ok(typeof end === 'function')
    assert.equal(limit.begin(peer, MiB), 'quota')
    end()
    assert.ok(typeof limit.begin(peer, MiB) === 'function')
    assert.equal(limit.begin(peer, 1_001 * MiB), 'full')
  })

  it('begin() bounds how many are pulled at once, from one peer and in all', () => {
    const limit = limits()
    for (let count = 0; count < holdsPerPeerMax; count++) {
      assert.equal(typeof limit.begin(peer, 1), 'function')
    }
    assert.equal(limit.begin(peer, 1), 'busy')
    for (const each of peers.slice(1)) {
      for (let count = 0; count < holdsPerPeerMax; count++) limit.begin(each, 1)
    }
    assert.equal(limit.begin(peerIdOfPublicKey(new Uint8Array(32).fill(99)), 1), 'busy')
    assert.ok(holdsMax < peers.length * holdsPerPeerMax)
  })

  it('begin() bounds the bytes that are pulled at once, but lets a single one through', () => {
    const limit = limits()
    const end = limit.begin(peer, 240 * MiB)
    assert.ok(typeof end === 'function')
    assert.equal(limit.begin(other, 20 * MiB), 'busy')
    end()
    assert.equal(typeof limit.begin(other, 20 * MiB), 'function')
  })
})

describe('ServingBudget', () => {
  it('bounds what is sent to one peer and to all, and gives it back', () => {
    const budget = new ServingBudget(new ShardLedger())
    const giveBack = budget.take(peer, shardsServedPerPeerBytesMax)
    assert.throws(() => budget.take(peer, 1), { code: 'peer_overloaded' })
    giveBack()
    budget.take(peer, shardsServedPerPeerBytesMax)
    const full = shardsServedBytesMax / shardsServedPerPeerBytesMax
    for (const each of peers.slice(1, full)) budget.take(each, shardsServedPerPeerBytesMax)
    assert.throws(() => budget.take(peers[full] ?? peer, 1), { code: 'peer_overloaded' })
  })

  it('under contention serves those who have given as much as they took', () => {
    const ledger = new ShardLedger()
    ledger.noteGiven(peer, 10)
    const budget = new ServingBudget(ledger)
    budget.take(peer, 1)
    const half = shardsServedBytesMax / 2 / shardsServedPerPeerBytesMax
    for (const each of peers.slice(2, 2 + half)) budget.take(each, shardsServedPerPeerBytesMax)
    assert.throws(() => budget.take(peer, 1), { code: 'peer_overloaded' })
    budget.take(other, 1)
    ledger.noteTaken(peer, 10)
    budget.take(peer, 1)
  })
})
