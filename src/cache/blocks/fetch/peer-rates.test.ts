import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { PeerView } from '../../../interface/network.ts'
import { peerIdOfPublicKey } from '../../../key/peer-id.ts'
import { MiB, transfersPerPeerMax } from '../../../limits.ts'
import { MemoryWorld } from '../../../net/memory-world.ts'
import { VirtualClock } from '../../../std/clock.ts'
import { SeededRandom } from '../../../std/seeded-random.ts'
import { Reputation } from '../../../trust/reputation.ts'
import { PeerRates } from './peer-rates.ts'

const peer = peerIdOfPublicKey(new Uint8Array(32).fill(1))
const other = peerIdOfPublicKey(new Uint8Array(32).fill(2))

function rates(views: readonly Partial<PeerView>[] = []): {
  readonly clock: VirtualClock
  readonly reputation: Reputation
  readonly rates: PeerRates
} {
  const clock = new VirtualClock()
  const reputation = new Reputation(clock)
  const network = new MemoryWorld({ clock, random: new SeededRandom(1) }, {}).createNetwork()
  network.peers = () =>
    views.map((view, at) => ({
      id: [peer, other][at] ?? peer,
      address: '',
      direction: 'outbound',
      isRelayed: false,
      roundTripMs: undefined,
      bandwidth: undefined,
      bytesReceived: 0,
      bytesSent: 0,
      connectedAt: 0,
      ...view,
    }))
  return { clock, reputation, rates: new PeerRates({ network, reputation, clock }) }
}

describe('PeerRates', () => {
  it('goes by what it measured, then by what the network did, then by what is usual', () => {
    const { clock, rates: measured } = rates([{ bandwidth: 1_000_000, roundTripMs: 50 }, {}])
    assert.equal(measured.bandwidthOf(peer), 1_000_000)
    assert.equal(measured.bandwidthOf(other), 12_500_000)
    assert.ok(measured.isMeasured(peer) && !measured.isMeasured(other))
    assert.equal(measured.expectedMs(peer, 1_000_000), 1_050)
    const end = measured.begin(peer)
    clock.advance(150)
    end(MiB)
    assert.equal(Math.round(measured.bandwidthOf(peer)), MiB * 10)
  })

  it('expects more of who is near, and gives who was slow once another chance', () => {
    const { clock, rates: measured } = rates([{ roundTripMs: 0.5 }, { roundTripMs: 40 }])
    assert.equal(measured.bandwidthOf(peer), 125_000_000)
    assert.equal(measured.bandwidthOf(other), 12_500_000)
    const end = measured.begin(peer)
    clock.advance(60_000)
    end(MiB)
    assert.ok(measured.bandwidthOf(peer) < 20_000)
    clock.advance(600_001)
    assert.equal(measured.bandwidthOf(peer), 125_000_000)
  })

  it('learns nothing of small or broken transfers, and counts those that share the link', () => {
    const { clock, rates: measured } = rates([{ roundTripMs: 0 }])
    const ends = [measured.begin(peer), measured.begin(peer), measured.begin(peer)]
    clock.advance(100)
    ends[0]?.(1_000)
    ends[1]?.()
    assert.ok(!measured.isMeasured(peer))
    const second = measured.begin(peer)
    clock.advance(900)
    ends[2]?.(MiB)
    // Two of them for one second at the end.
    assert.equal(measured.bandwidthOf(peer), 2 * MiB)
    second()
  })

  it('expects more of a peer that is busy, asks later whom went wrong, and tells when there is room', () => {
    const { reputation, rates: measured } = rates([{ roundTripMs: 0, bandwidth: 1_000 }])
    const alone = measured.expectedMs(peer, 1_000)
    const ends = Array.from({ length: transfersPerPeerMax }, () => measured.begin(peer))
    assert.equal(measured.expectedMs(peer, 1_000), alone * (1 + transfersPerPeerMax))
    assert.ok(!measured.hasRoom(peer) && measured.hasRoom(other))
    let calls = 0
    const endCalls = measured.onRoom(() => {
      calls += 1
      assert.ok(measured.hasRoom(peer))
    })
    for (const end of ends) end()
    assert.equal(calls, transfersPerPeerMax)
    endCalls()
    measured.begin(peer)()
    assert.equal(calls, transfersPerPeerMax)
    const before = measured.costOf(peer, 1_000)
    reputation.note(peer, 'bad-record')
    assert.ok(measured.costOf(peer, 1_000) > 7 * before)
  })

  it('together peers are not taken for much faster than all ever were', () => {
    const { rates: measured } = rates([{ bandwidth: 10_000_000 }, { bandwidth: 30_000_000 }])
    assert.equal(measured.bandwidthTogether([peer, other]), 40_000_000)
    measured.noteTotal(10_000_000, 1_000)
    assert.equal(measured.bandwidthTogether([peer, other]), 20_000_000)
    measured.noteTotal(20_000_000, 1_000)
    assert.equal(measured.bandwidthTogether([peer, other]), 26_000_000)
    assert.equal(measured.bandwidthTogether([peer]), 10_000_000)
  })
})
