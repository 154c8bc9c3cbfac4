import assert from 'node:assert/strict'
import { afterEach, describe, it } from 'node:test'
import {
  type DirectoryNode,
  directoryCompliance,
  testKeys,
} from '../../interface/directory.compliance.ts'
import type { PeerId } from '../../interface/network.ts'
import type { LookupKey } from '../../key/response-key.ts'
import { directoryAnnounceBurst } from '../../limits.ts'
import { encodeDirectoryMessage } from '../../wire/directory-messages.ts'
import { Members } from './members.ts'
import { directoryProtocol } from './rendezvous-directory.ts'
import { type TestWorld, testWorld } from './test-world.ts'

directoryCompliance('RendezvousDirectory', async () => testWorld(), { members: 64, keys: 500 })
directoryCompliance(
  'RendezvousDirectory on a bad network',
  async () => testWorld({ latencyMs: 40, jitterMs: 80, bandwidth: 2_000_000, seed: 2 }),
  { members: 16, keys: 100 },
)

const signal = new AbortController().signal
const minuteMs = 60_000

describe('RendezvousDirectory', () => {
  let world: TestWorld = testWorld()
  afterEach(() => world.close())

  async function find(node: DirectoryNode, key: LookupKey | undefined): Promise<readonly PeerId[]> {
    assert.ok(key)
    const asked = Array.fromAsync(node.directory.find(key, { signal, deadlineMs: 1_000 }))
    return await world.settle(asked)
  }

  async function foundCount(node: DirectoryNode, keys: readonly LookupKey[]): Promise<number> {
    const found = await Promise.all(
      keys.map(key =>
        world.settle(Array.fromAsync(node.directory.find(key, { signal, deadlineMs: 1_000 }))),
      ),
    )
    return found.filter(peers => peers.length > 0).length
  }

  it('in a small swarm nothing is announced, and what was just added is found at once', async () => {
    world = testWorld()
    const nodes = await world.grow(8)
    const [provider, asker] = nodes
    assert.ok(provider && asker)
    const keys = testKeys('small', 500)
    provider.directory.add(keys)
    assert.equal(await foundCount(asker, keys), 500)
    await world.clock.run(10 * minuteMs)
    const sent = nodes.map(({ directory }) => directory.stats().messagesSent)
    assert.deepEqual(sent, [0, 7, 0, 0, 0, 0, 0, 0])
  })

  it('records are renewed as long as their provider lives, and end when it falls silent', async () => {
    world = testWorld({ deadAfterMs: 1_000 * minuteMs })
    const nodes = await world.grow(12)
    const [provider, asker, ...others] = nodes
    assert.ok(provider && asker)
    const keys = testKeys('renewed', 50)
    provider.directory.add(keys)
    await world.clock.run(120 * minuteMs)
    assert.equal(await foundCount(asker, keys), 50)
    const messagesPerHour = provider.directory.stats().messagesSent / 2
    assert.ok(messagesPerHour < 60, `${messagesPerHour} messages per hour keep 50 keys`)
    world.freeze?.([provider])
    await world.clock.run(14 * minuteMs)
    assert.equal(await foundCount(asker, keys), 50)
    await world.clock.run(17 * minuteMs)
    assert.equal(await foundCount(asker, keys), 0)
    assert.deepEqual(
      [asker, ...others].filter(({ directory }) => directory.stats().owned > 0),
      [],
    )
  })

  it('a provider that starts again within the grace time leaves no record of its old life', async () => {
    world = testWorld()
    const nodes = await world.grow(12)
    const [provider, asker, ...others] = nodes
    assert.ok(provider && asker)
    const [before, after] = [testKeys('before', 30), testKeys('after', 30)]
    provider.directory.add(before)
    await world.clock.run(3_000)
    assert.equal(await foundCount(asker, before), 30)
    await world.kill(provider)
    const again = await world.create({ self: provider.network.self })
    again.directory.add(after)
    await world.connect(again, [asker, ...others])
    await world.clock.run(5_000)
    assert.deepEqual([await foundCount(asker, before), await foundCount(asker, after)], [0, 30])
  })

  it('an owner that starts again learns its records again', async () => {
    world = testWorld()
    const nodes = await world.grow(12)
    const [provider, asker, owner, ...others] = nodes
    assert.ok(provider && asker && owner)
    const keys = testKeys('forgotten', 100)
    provider.directory.add(keys)
    await world.clock.run(3_000)
    const ownedBefore = owner.directory.stats().owned
    assert.ok(ownedBefore > 0)
    await world.kill(owner)
    const again = await world.create({ self: owner.network.self })
    await world.connect(again, [provider, asker, ...others])
    await world.clock.run(5_000)
    assert.equal(again.directory.stats().owned, ownedBefore)
    assert.equal(await foundCount(asker, keys), 100)
  })

  it('only keys that moved are sent again when a member joins', async () => {
    world = testWorld()
    const nodes = await world.grow(20)
    const [provider] = nodes
    assert.ok(provider)
    provider.directory.add(testKeys('moved', 2_000))
    await world.clock.run(3_000)
    const bytesSent = (): number =>
      provider.network.peers().reduce((sum, peer) => sum + peer.bytesSent, 0)
    const before = bytesSent()
    const [newcomer] = await world.grow(1)
    await world.clock.run(3_000)
    const moved = newcomer?.directory.stats().owned ?? 0
    assert.ok(Math.abs(moved - (2_000 * 3) / 21) < 100, `${moved} keys moved`)
    // Told to the newcomer, and withdrawn from those whom it replaced.
    assert.ok(bytesSent() - before < 2.5 * moved * 32, `${bytesSent() - before} bytes`)
  })

  it('messages that get lost are made up for', async () => {
    world = testWorld({ lossRatio: 0.2, seed: 3 })
    const nodes: DirectoryNode[] = []
    for (let index = 0; index < 12; index++) {
      const node = await world.create()
      for (const other of nodes) {
        const isConnected = (): boolean =>
          node.network.peers().some(({ id }) => id === other.network.self)
        while (!isConnected()) await world.connect(node, [other]).catch(() => undefined)
      }
      nodes.push(node)
    }
    const [provider, asker] = nodes
    assert.ok(provider && asker)
    const [kept, removed] = [testKeys('kept', 60), testKeys('removed', 60)]
    provider.directory.add([...kept, ...removed])
    await world.clock.run(minuteMs)
    provider.directory.remove(removed)
    await world.clock.run(5 * minuteMs)
    // A look-up may be lost as well; it is not likely that all of five are.
    const found = new Set<LookupKey>()
    for (let round = 0; round < 5; round++) {
      for (const key of kept) if ((await find(asker, key)).length > 0) found.add(key)
    }
    assert.deepEqual([found.size, await foundCount(asker, removed)], [60, 0])
  })

  it('messages of nonsense and floods are refused, and cost the sender', async () => {
    world = testWorld()
    const [victim, stranger, third] = await world.grow(3)
    assert.ok(victim && stranger && third)
    const self = stranger.network.self
    const send = (body: Uint8Array): Promise<Uint8Array> =>
      world.settle(
        stranger.network.request(victim.network.self, directoryProtocol, body, {
          signal,
          timeoutMs: 1_000,
        }),
      )
    for (const body of [[], [0], [1], [2, 0, 0, 0, 0], [2, 255, 255, 255, 255], [1, 2, 3]]) {
      await assert.rejects(send(Uint8Array.from(body)), { code: 'peer_failed' })
    }
    assert.deepEqual(new Set(world.misbehaviour.map(({ by }) => by)), new Set([self]))
    assert.deepEqual(
      world.misbehaviour.map(({ reason }) => reason),
      Array.from({ length: 6 }, () => 'message_invalid'),
    )
    const flood = {
      type: 'announce',
      isReset: false,
      regionalSeconds: 0,
      added: testKeys('a', 1),
      removed: [],
    } as const
    for (let index = 0; index < 3 * directoryAnnounceBurst; index++) {
      await send(encodeDirectoryMessage({ ...flood, added: testKeys(`flood ${index}`, 1) }))
    }
    assert.ok(world.misbehaviour.some(({ reason }) => reason === 'announce_flood'))
    assert.ok(victim.directory.stats().owned < 2 * directoryAnnounceBurst)
  })

  it('an owner that answers nonsense costs a miss at most, and its reputation', async () => {
    world = testWorld()
    const [asker, provider] = await world.grow(2)
    assert.ok(asker && provider)
    const liar = world.network.createNetwork()
    liar.serve(directoryProtocol, async () => Uint8Array.from([2, 9, 9]))
    await liar.start()
    await world.settle(liar.connect(`/memory/${asker.network.self}`, { signal }))
    const keys = testKeys('lied about', 1)
    provider.directory.add(keys)
    assert.deepEqual(await find(asker, keys[0]), [provider.network.self])
    assert.deepEqual(world.misbehaviour, [{ by: liar.self, reason: 'answer_invalid' }])
    await liar.stop()
  })

  it('what nobody knew is not asked again for a moment', async () => {
    world = testWorld()
    const [asker] = await world.grow(3)
    const [key] = testKeys('unknown', 1)
    assert.ok(asker)
    for (let round = 0; round < 5; round++) assert.deepEqual(await find(asker, key), [])
    assert.equal(asker.directory.stats().messagesSent, 2)
    await world.clock.run(1_000)
    await find(asker, key)
    assert.equal(asker.directory.stats().messagesSent, 4)
  })

  it('a stopped directory ends look-ups, and answers nobody', async () => {
    world = testWorld()
    const [asker, frozen] = await world.grow(2)
    assert.ok(asker && frozen)
    world.freeze?.([frozen])
    const options = { signal, deadlineMs: 100 * minuteMs }
    const [key] = testKeys('stopped', 1)
    assert.ok(key)
    const asked = Array.fromAsync(asker.directory.find(key, options))
    await world.clock.run(10)
    await world.settle(asker.directory.stop())
    assert.deepEqual(await asked, [])
    assert.equal(asker.directory.stats().owned, 0)
  })
})

describe('Members', () => {
  it('past the limit all nodes let the same members own keys', () => {
    const peers = Array.from({ length: 1_500 }, (_, index) => `peer${index}` as PeerId)
    const [one, other] = [new Members('peer0' as PeerId), new Members('peer1' as PeerId)]
    for (const peer of peers) one.join(peer)
    for (const peer of peers.toReversed()) other.join(peer)
    assert.deepEqual(one.owners(), other.owners())
    assert.deepEqual([one.size, one.owners().length], [1_500, 1_024])
    assert.equal(one.owners(), one.owners())
  })
})
