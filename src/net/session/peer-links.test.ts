import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { silentLog } from '../../interface/log.ts'
import type { PeerChange, PeerId } from '../../interface/network.ts'
import { membershipTimeoutMs } from '../../limits.ts'
import { VirtualClock } from '../../std/clock.ts'
import { TaskScope } from '../../std/task-scope.ts'
import { Identity } from '../identity.ts'
import { type PeerLink, PeerLinks } from './peer-links.ts'
import { Session } from './session.ts'
import { channelPair, settled, type TestChannel } from './test-channel.ts'

const [self, peer] = [1, 2].map(fill => Identity.fromSeed(new Uint8Array(32).fill(fill)).peerId)
assert.ok(self !== undefined && peer !== undefined)

/** One side's links to the same peer, each over a channel of its own. */
class Side {
  readonly clock: VirtualClock
  readonly scope = new TaskScope(() => undefined)
  readonly links: PeerLinks
  readonly changes: PeerChange['type'][] = []
  isInUse = false

  constructor(clock: VirtualClock) {
    this.clock = clock
    this.links = new PeerLinks(clock, this.scope)
    this.links.onChange(({ type }) => this.changes.push(type))
  }

  connect(channel: TestChannel, dialer: PeerId, other: PeerId): PeerLink {
    const session = new Session(
      { clock: this.clock, log: silentLog },
      {
        peer: other,
        channel,
        handlers: new Map(),
        onRoundTrip: () => undefined,
        onEnd: () => this.links.remove(link),
        onQuiet: () => this.links.fadeOut(link),
      },
    )
    const link: PeerLink = {
      session,
      dialer,
      isRelayed: false,
      connectedMs: this.clock.monotonicMs(),
      address: '/test',
      direction: 'outbound',
      connectedAt: this.clock.now(),
      openChannel: () => Promise.reject(new Error('not here')),
      isInUse: () => this.isInUse,
      close: () => session.end(undefined),
    }
    this.links.add(link)
    session.begin()
    return link
  }

  async close(): Promise<void> {
    await Promise.all(this.links.all().map(({ session }) => session.end(undefined)))
    await this.scope.close()
  }
}

/** Two nodes that have dialled each other at the same moment. */
function crossed() {
  const clock = new VirtualClock()
  const near = new Side(clock)
  const far = new Side(clock)
  const links = [self, peer].map(dialer => {
    const [a, b] = channelPair()
    assert.ok(self !== undefined && peer !== undefined && dialer !== undefined)
    return { link: near.connect(a, dialer, peer), other: far.connect(b, dialer, self), channel: b }
  })
  return { clock, near, far, links }
}

async function pass(clock: VirtualClock, ms: number): Promise<void> {
  for (let passed = 0; passed < ms; passed += 1_000) {
    clock.advance(1_000)
    await settled()
  }
}

describe('PeerLinks', () => {
  it('of two crossed connections closes the same one on both sides', async () => {
    const { clock, near, far, links } = crossed()
    await settled()
    await pass(clock, 5_000)
    assert.deepEqual([near.links.all().length, far.links.all().length], [1, 1])
    const kept = near.links.get(peer)?.dialer
    assert.equal(far.links.get(self)?.dialer, kept)
    assert.equal(kept, [self, peer].toSorted()[0])
    assert.deepEqual([near.changes, far.changes], [['connected'], ['connected']])
    assert.equal(links.filter(({ link }) => link.session.isOpen).length, 1)
    await Promise.all([near.close(), far.close()])
    assert.deepEqual(near.changes, ['connected', 'disconnected'])
  })

  it('does not close a connection over which something still runs', async () => {
    const { clock, near, far } = crossed()
    for (const side of [near, far]) side.isInUse = true
    await settled()
    await pass(clock, 8_000)
    assert.equal(near.links.all().length, 2)
    for (const side of [near, far]) side.isInUse = false
    await pass(clock, 5_000)
    assert.equal(near.links.all().length, 1)
    await Promise.all([near.close(), far.close()])
  })

  it('ends a connection that looks alive but is not, when its peer comes again', async () => {
    const clock = new VirtualClock()
    const side = new Side(clock)
    const [a, b] = channelPair()
    b.isHeld = true
    const dead = side.connect(a, self, peer)
    const [c, d] = channelPair()
    const far = new Side(clock)
    const alive = side.connect(c, self, peer)
    far.connect(d, self, self)
    await settled()
    await pass(clock, membershipTimeoutMs)
    assert.ok(!dead.session.isOpen)
    assert.equal(side.links.get(peer), alive)
    assert.deepEqual(side.changes, ['connected'])
    await Promise.all([side.close(), far.close()])
  })
})
