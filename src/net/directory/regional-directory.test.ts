import assert from 'node:assert/strict'
import { afterEach, describe, it } from 'node:test'
import {
  type DirectoryNode,
  directoryCompliance,
  testKeys,
} from '../../interface/directory.compliance.ts'
import type { PeerId } from '../../interface/network.ts'
import type { LookupKey } from '../../key/response-key.ts'
import { type TestWorld, testWorld } from './test-world.ts'

const { signal } = new AbortController()
const minuteMs = 60_000

directoryCompliance(
  'RendezvousDirectory with regions',
  async () => testWorld({ table: {}, membersMax: 2, leaseMs: 300_000 }),
  { members: 64, keys: 500 },
)

describe('RendezvousDirectory in a partial mesh', () => {
  let world: TestWorld = testWorld()
  afterEach(() => world.close())

  /** The promise wants the world's `settle`: one for all that are asked at once. */
  function ask(node: DirectoryNode, key: LookupKey): Promise<readonly PeerId[]> {
    return Array.fromAsync(node.directory.find(key, { signal, deadlineMs: 5_000 }))
  }

  function find(node: DirectoryNode, key: LookupKey): Promise<readonly PeerId[]> {
    return world.settle(ask(node, key))
  }

  /** Keys of several providers each, and who they are. */
  function provide(nodes: readonly DirectoryNode[], perNode: number): Map<LookupKey, PeerId[]> {
    const providers = new Map<LookupKey, PeerId[]>()
    for (const [index, node] of nodes.entries()) {
      const keys = testKeys(`of ${index}`, perNode)
      const second = nodes[(index * 7 + 3) % nodes.length]
      for (const { directory, network } of [node, second].filter(one => one !== undefined)) {
        directory.add(keys)
        for (const key of keys) {
          const known = providers.get(key) ?? []
          if (!known.includes(network.self)) providers.set(key, [...known, network.self])
        }
      }
    }
    return providers
  }

  /** Keys that somebody who lives has, and that another one asks for in vain. */
  async function missing(
    nodes: readonly DirectoryNode[],
    providers: ReadonlyMap<LookupKey, readonly PeerId[]>,
  ): Promise<number> {
    const alive = new Set(nodes.map(({ network }) => network.self))
    let missingCount = 0
    const asks = [...providers].map(async ([key, peers], index) => {
      const left = peers.filter(peer => alive.has(peer))
      const others = nodes.filter(({ network }) => !peers.includes(network.self))
      const asker = others[(index * 13) % others.length]
      if (asker === undefined || left.length === 0) return
      const found = await ask(asker, key)
      if (!found.some(peer => left.includes(peer))) missingCount += 1
    })
    await world.settle(Promise.all(asks))
    return missingCount
  }

  it('without a hash table, nodes that know different members miss keys', async () => {
    world = testWorld({ seed: 4 })
    const nodes = await world.growPartly(40, 8)
    const providers = provide(nodes, 5)
    await world.clock.run(3 * minuteMs)
    const missingCount = await missing(nodes, providers)
    assert.ok(missingCount > 20, `only ${missingCount} of 200 are missed`)
  })

  it('of 40 nodes with 8 connections each, every key is found by everybody', async () => {
    world = testWorld({ table: {}, seed: 4 })
    const nodes = await world.growPartly(40, 8)
    await world.clock.run(3 * minuteMs)
    assert.ok(nodes.every(({ directory }) => directory.stats().isRegional))
    assert.ok(nodes.every(({ network }) => network.peers().length < 20))
    const providers = provide(nodes, 10)
    await world.clock.run(minuteMs)
    for (let round = 0; round < 3; round++) {
      assert.equal(await missing(nodes, providers), 0)
    }
  })

  it('walks that miss members leave nearly every key found, and the next ones all', async () => {
    world = testWorld({ table: { missRatio: 0.15, walkMs: 800 }, latencyMs: 40, jitterMs: 40 })
    const nodes = await world.growPartly(40, 8)
    await world.clock.run(3 * minuteMs)
    const providers = provide(nodes, 10)
    await world.clock.run(minuteMs)
    const missingCount = await missing(nodes, providers)
    assert.ok(missingCount <= 4, `${missingCount} of 400 are missed`)
    await world.clock.run(30 * minuteMs)
    assert.equal(await missing(nodes, providers), 0)
  })

  it('when three in ten are killed, every key of those who live is found', async () => {
    world = testWorld({ table: {}, seed: 5 })
    const nodes = await world.growPartly(40, 8)
    await world.clock.run(3 * minuteMs)
    const providers = provide(nodes, 10)
    await world.clock.run(minuteMs)
    const [killed, left] = [nodes.slice(0, 12), nodes.slice(12)]
    for (const node of killed) await world.kill(node)
    await world.clock.run(15_000)
    assert.equal(await missing(left, providers), 0)
    await world.clock.run(30 * minuteMs)
    assert.equal(await missing(left, providers), 0)
  })

  it('past the most members, 64 connected with all find every key', async () => {
    world = testWorld({ table: {}, membersMax: 16, seed: 6 })
    const nodes = await world.grow(64)
    await world.clock.run(10_000)
    assert.ok(nodes.every(({ directory }) => directory.stats().isRegional))
    const providers = provide(nodes, 8)
    await world.clock.run(minuteMs)
    assert.equal(await missing(nodes, providers), 0)
    const [killed, left] = [nodes.slice(0, 19), nodes.slice(19)]
    for (const node of killed) await world.kill(node)
    // Here a lost connection is no sign of death: owners are missed when records are renewed.
    await world.clock.run(20 * minuteMs)
    assert.equal(await missing(left, providers), 0)
  })

  it('where connections are given up for others, records last, and members are called', async () => {
    world = testWorld({ table: {}, membersMax: 16, seed: 7 })
    const nodes = await world.grow(48)
    await world.clock.run(10_000)
    const providers = provide(nodes, 5)
    await world.clock.run(minuteMs)
    for (const [index, { network }] of nodes.entries()) {
      for (const [other, { network: to }] of nodes.entries()) {
        const apart = Math.abs(index - other)
        if (Math.min(apart, 48 - apart) > 7) await network.disconnect(to.self)
      }
    }
    await world.clock.run(2 * minuteMs)
    assert.ok(nodes.every(({ network }) => network.peers().length === 14))
    assert.equal(await missing(nodes, providers), 0)
    assert.ok(nodes.some(({ network }) => network.peers().length > 14))
  })

  it('of a handful in a ring, every key is found', async () => {
    world = testWorld({ table: {} })
    const nodes = await world.growPartly(6, 2)
    await world.clock.run(3 * minuteMs)
    const providers = provide(nodes, 5)
    await world.clock.run(10_000)
    assert.equal(await missing(nodes, providers), 0)
  })

  it('keys that nobody has end without anybody, within the deadline', async () => {
    world = testWorld({ table: { walkMs: 30 * minuteMs }, membersMax: 4 })
    const nodes = await world.grow(10)
    await world.clock.run(10_000)
    const [asker] = nodes
    const [key] = testKeys('nobody', 1)
    assert.ok(asker && key)
    const startMs = world.clock.monotonicMs()
    assert.deepEqual(await find(asker, key), [])
    assert.ok(world.clock.monotonicMs() - startMs <= 5_000)
  })

  it('a thousand keys cost a few walks and messages', async () => {
    world = testWorld({ table: {}, membersMax: 16 })
    const nodes = await world.grow(64)
    await world.clock.run(5 * minuteMs)
    const sent = (): number =>
      nodes.reduce((sum, { directory }) => sum + directory.stats().messagesSent, 0)
    const [provider, asker] = nodes
    assert.ok(provider && asker)
    const walks = (node: DirectoryNode): number => world.table.walksOf(node.network.self)
    const [toldBefore, askedBefore, sentBefore] = [walks(provider), walks(asker), sent()]
    const keys = testKeys('many', 1_000)
    provider.directory.add(keys)
    await world.clock.run(30_000)
    assert.ok(walks(provider) - toldBefore <= 12, `${walks(provider)} walks told of 1,000 keys`)
    assert.ok(sent() - sentBefore <= 3 * 64, `${sent() - sentBefore} messages told of 1,000 keys`)
    const sentMiddle = sent()
    const found = await world.settle(Promise.all(keys.map(key => ask(asker, key))))
    assert.ok(found.every(peers => peers.includes(provider.network.self)))
    assert.ok(sent() - sentMiddle <= 3 * 64, `${sent() - sentMiddle} messages asked`)
    assert.ok(walks(asker) - askedBefore <= 12, `${walks(asker)} walks asked for them`)
  })

  it('one that is connected with all learns it from those who are not, and goes back', async () => {
    world = testWorld({ table: {}, leaseMs: 10 * minuteMs })
    const nodes = await world.growPartly(12, 2)
    const hub = await world.create()
    await world.connect(hub, nodes)
    const keys = testKeys('of the hub', 20)
    hub.directory.add(keys)
    await world.clock.run(4 * minuteMs)
    assert.ok([hub, ...nodes].every(({ directory }) => directory.stats().isRegional))
    const [asker] = nodes
    assert.ok(asker)
    for (const key of keys) assert.deepEqual(await find(asker, key), [hub.network.self])
    for (const node of nodes)
      await world.connect(
        node,
        [...world.alive].filter(n => n !== node),
      )
    await world.clock.run(120 * minuteMs)
    assert.ok([hub, ...nodes].every(({ directory }) => !directory.stats().isRegional))
    for (const key of keys) assert.deepEqual(await find(asker, key), [hub.network.self])
  })

  it('all connected with all, nobody takes the mesh for partial, whoever comes or dies', async () => {
    world = testWorld({ table: {} })
    const nodes = [...(await world.grow(20))]
    await world.clock.run(10 * minuteMs)
    for (const node of nodes.splice(0, 6)) await world.kill(node)
    await world.clock.run(minuteMs)
    nodes.push(...(await world.grow(5)))
    for (let minute = 0; minute < 60; minute++) {
      await world.clock.run(minuteMs)
      assert.ok(nodes.every(({ directory }) => !directory.stats().isRegional))
    }
    // Surveys become rare when nothing changes.
    for (const { network } of nodes) assert.ok(world.table.walksOf(network.self) < 12)
  })
})
