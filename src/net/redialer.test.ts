import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { silentLog } from '../interface/log.ts'
import type { PeerId } from '../interface/network.ts'
import { discoveredAttemptsMax, membersMax, redialFirstMs, redialLongestMs } from '../limits.ts'
import { VirtualClock } from '../std/clock.ts'
import { SeededRandom } from '../std/seeded-random.ts'
import { nextTurn } from '../std/turn.ts'
import { Identity } from './identity.ts'
import { peerError } from './peer-error.ts'
import { pauseMs, Redialer } from './redialer.ts'

const peer: PeerId = Identity.fromSeed(new Uint8Array(32).fill(1)).peerId

function bed(dial: () => Promise<PeerId>) {
  const clock = new VirtualClock()
  const lost = { resolve: (): void => undefined }
  const state = { dials: 0 }
  const redialer = new Redialer({
    clock,
    log: silentLog,
    random: new SeededRandom(1),
    dial: () => {
      state.dials += 1
      return dial()
    },
    disconnected: (_, signal) =>
      new Promise(resolve => {
        lost.resolve = resolve
        signal.addEventListener('abort', () => resolve())
      }),
  })
  const pass = async (ms: number): Promise<void> => {
    clock.advance(ms)
    await nextTurn()
  }
  return { redialer, clock, lost, state, pass }
}

describe('Redialer', () => {
  it('dials again after a loss, and not while connected', async () => {
    const { redialer, lost, state, pass } = bed(async () => peer)
    redialer.keep('a', { peer: undefined, isPinned: true })
    await pass(10 * redialLongestMs)
    assert.equal(state.dials, 1)
    assert.ok(redialer.isKept(peer), 'learned by dialling')
    lost.resolve()
    await nextTurn()
    await pass(redialFirstMs)
    assert.equal(state.dials, 2)
    await redialer.close()
  })

  it('waits longer after each failure, up to a minute, and differently each time', () => {
    const random = new SeededRandom(2)
    for (let failures = 0; failures < 30; failures++) {
      const fullMs = Math.min(redialFirstMs * 2 ** failures, redialLongestMs)
      const pauses = Array.from({ length: 50 }, () => pauseMs(failures, random))
      assert.ok(pauses.every(pause => pause > fullMs / 2 && pause <= fullMs))
      assert.ok(new Set(pauses).size > 10)
    }
  })

  it('gives up on a discovered peer, never on one that a person named', async () => {
    for (const isPinned of [false, true]) {
      const { redialer, state, pass } = bed(async () => {
        throw peerError('peer_unreachable')
      })
      redialer.keep('a', { peer, isPinned })
      for (let round = 0; round < 2 * discoveredAttemptsMax; round++) await pass(redialLongestMs)
      assert.equal(state.dials > discoveredAttemptsMax, isPinned)
      assert.equal(redialer.isKept(peer), isPinned)
      await redialer.close()
    }
  })

  it('forgets a discovered peer of another swarm at once', async () => {
    const { redialer } = bed(async () => {
      throw peerError('swarm_refused')
    })
    redialer.keep('a', { peer, isPinned: false })
    await nextTurn()
    assert.deepEqual(redialer.addresses, [])
    await redialer.close()
  })

  it('suspend() ends the dialling until resume(), of what a person named', async () => {
    const { redialer, state, pass } = bed(async () => {
      throw peerError('peer_unreachable')
    })
    redialer.keep('named', { peer, isPinned: true })
    redialer.keep('found', { peer, isPinned: false })
    await nextTurn()
    redialer.suspend(peer)
    redialer.suspend(peer)
    await pass(redialLongestMs)
    assert.deepEqual([state.dials, redialer.addresses], [2, []])
    redialer.resume(peer)
    redialer.resume(peer)
    await nextTurn()
    assert.deepEqual([state.dials, redialer.addresses], [3, ['named']])
    await redialer.close()
  })

  it('forget() and close() end the dialling, and keep() is bounded', async () => {
    const { redialer, state, pass } = bed(async () => {
      throw peerError('peer_unreachable')
    })
    redialer.keep('a', { peer, isPinned: true })
    await nextTurn()
    redialer.forget(peer)
    await pass(redialLongestMs)
    assert.deepEqual([state.dials, redialer.addresses], [1, []])
    for (let index = 0; index < membersMax + 5; index++) {
      redialer.keep(`${index}`, { peer: undefined, isPinned: true })
    }
    assert.equal(redialer.addresses.length, membersMax)
    await redialer.close()
    const { dials } = state
    await pass(redialLongestMs)
    assert.equal(state.dials, dials)
  })
})
