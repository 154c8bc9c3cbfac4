import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { type NetworkWorld, networkCompliance } from '../interface/network.compliance.ts'
import { systemClock } from '../std/clock.ts'
import { SeededRandom } from '../std/seeded-random.ts'
import { SimulatedClock } from '../std/simulated-clock.ts'
import { MemoryWorld, type MemoryWorldOptions } from './memory-world.ts'

function simulated(options: MemoryWorldOptions): () => Promise<NetworkWorld> {
  return async () => {
    const clock = new SimulatedClock()
    const world = new MemoryWorld({ clock, random: new SeededRandom(1) }, options)
    return {
      create: async swarm => world.createNetwork(swarm),
      settle: promise => clock.settle(promise),
      close: async () => undefined,
    }
  }
}

networkCompliance('MemoryNetwork', simulated({ latencyMs: 10, jitterMs: 5, bandwidth: 10_000_000 }))
networkCompliance('MemoryNetwork without latency', simulated({}))
networkCompliance('MemoryNetwork on real time', async () => {
  const world = new MemoryWorld({ clock: systemClock, random: new SeededRandom(1) }, {})
  return {
    create: async swarm => world.createNetwork(swarm),
    settle: promise => promise,
    close: async () => undefined,
  }
})

describe('MemoryWorld', () => {
  const protocol = '/hyperspace/test/1'
  const signal = new AbortController().signal
  const body = new Uint8Array(1_000)

  async function triangle(options: MemoryWorldOptions) {
    const clock = new SimulatedClock()
    const world = new MemoryWorld({ clock, random: new SeededRandom(7) }, options)
    const networks = [world.createNetwork(), world.createNetwork(), world.createNetwork()] as const
    for (const network of networks) {
      network.serve(protocol, async asked => asked)
      await network.start()
    }
    for (const [index, network] of networks.entries()) {
      for (const other of networks.slice(index + 1)) {
        await clock.settle(network.connect(`/memory/${other.self}`, { signal }))
      }
    }
    return { clock, world, networks }
  }

  it('latency and bandwidth take their time, and no other', async () => {
    const { clock, networks } = await triangle({ latencyMs: 20, bandwidth: 100_000 })
    const [a, b] = networks
    const sinceMs = clock.monotonicMs()
    await clock.settle(a.request(b.self, protocol, body, { signal, timeoutMs: 1_000 }))
    const expectedMs = 2 * (20 + (1_048 / 100_000) * 1_000)
    assert.ok(Math.abs(clock.monotonicMs() - sinceMs - expectedMs) < 1e-6)
    assert.equal(a.peers()[0]?.roundTripMs, 40)
  })

  it('loses what it is told to lose, the same for the same seed', async () => {
    const outcomes: string[] = []
    for (let round = 0; round < 2; round++) {
      const clock = new SimulatedClock()
      const world = new MemoryWorld({ clock, random: new SeededRandom(7) }, { lossRatio: 0.3 })
      const [a, b] = [world.createNetwork(), world.createNetwork()]
      b.serve(protocol, async asked => asked)
      for (const network of [a, b]) await network.start()
      while (a.peers().length === 0) {
        await clock.settle(a.connect(`/memory/${b.self}`, { signal }).catch(() => undefined))
      }
      const asked = Array.from({ length: 100 }, () =>
        a.request(b.self, protocol, body, { signal, timeoutMs: 1_000 }).then(
          () => '+',
          () => '-',
        ),
      )
      outcomes.push((await clock.settle(Promise.all(asked))).join(''))
      for (const network of [a, b]) await network.stop()
    }
    assert.equal(outcomes[0], outcomes[1])
    const lost = [...(outcomes[0] ?? '')].filter(outcome => outcome === '-').length
    assert.ok(lost > 15 && lost < 50, `${lost} of 100`)
  })

  it('a partition ends connections after a silence, and they come back when it heals', async () => {
    const { clock, world, networks } = await triangle({ latencyMs: 5 })
    const [a, b, c] = networks
    world.partition([c.self])
    const lost = a.request(c.self, protocol, body, { signal, timeoutMs: 1_000 })
    await assert.rejects(clock.settle(lost), { code: 'peer_timeout' })
    await clock.run(10_000)
    assert.deepEqual(
      [a, b, c].map(network => network.peers().length),
      [1, 1, 0],
    )
    await clock.settle(a.request(b.self, protocol, body, { signal, timeoutMs: 1_000 }))
    world.heal()
    await clock.run(120_000)
    assert.deepEqual(
      [a, b, c].map(network => network.peers().length),
      [2, 2, 2],
    )
    await clock.settle(c.request(a.self, protocol, body, { signal, timeoutMs: 1_000 }))
  })

  it('a short partition ends nothing', async () => {
    const { clock, world, networks } = await triangle({ latencyMs: 5 })
    const [a, , c] = networks
    world.partition([c.self])
    await clock.run(5_000)
    world.heal()
    await clock.run(20_000)
    await clock.settle(a.request(c.self, protocol, body, { signal, timeoutMs: 1_000 }))
  })

  it('a frozen node stays connected, and does not answer until it thaws', async () => {
    const { clock, world, networks } = await triangle({ latencyMs: 5, deadAfterMs: 60_000 })
    const [a, b] = networks
    world.freeze(b.self)
    const lost = a.request(b.self, protocol, body, { signal, timeoutMs: 1_000 })
    await assert.rejects(clock.settle(lost), { code: 'peer_timeout' })
    assert.equal(a.peers().length, 2)
    world.thaw(b.self)
    await clock.settle(a.request(b.self, protocol, body, { signal, timeoutMs: 1_000 }))
  })

  it('a killed node is gone at once, and is dialled again when it is back', async () => {
    const { clock, world, networks } = await triangle({ latencyMs: 5 })
    const [a, b, c] = networks
    world.kill(b.self)
    await clock.run(10)
    assert.deepEqual([a.peers().length, c.peers().length, b.peers().length], [1, 1, 0])
    const back = world.createNetwork({ self: b.self })
    back.serve(protocol, async asked => asked)
    await back.start()
    // a dialled b, and keeps the connection; c was dialled by it.
    await clock.run(120_000)
    await clock.settle(a.request(b.self, protocol, body, { signal, timeoutMs: 1_000 }))
    assert.deepEqual(
      back.peers().map(peer => peer.id),
      [a.self],
    )
  })
})
