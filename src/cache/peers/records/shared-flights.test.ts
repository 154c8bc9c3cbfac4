import assert from 'node:assert/strict'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { OperationError } from '../../../errors.ts'
import { MemoryStore } from '../../../store/memory-store.ts'
import { question } from '../../test-cache.ts'
import { latencyMs, type SwarmNode, TestSwarm } from '../test-swarm.ts'

const roundTripMs = 2 * latencyMs

describe('single flight across a swarm', () => {
  let swarm: TestSwarm
  beforeEach(() => {
    swarm = new TestSwarm()
  })
  afterEach(() => swarm.close())

  /** What the node asks takes longer from now on than anybody has measured. */
  function delayRequests({ network }: SwarmNode, ms: number): void {
    const request = network.request.bind(network)
    network.request = async (...args) => {
      await new Promise<void>(resolve => swarm.clock.after(ms, resolve))
      return await request(...args)
    }
  }

  it('the second node waits for what the first is computing, and gets it by its receipt', async () => {
    const [a, b] = await swarm.addMany(2, { tokenMs: 100 })
    assert.ok(a && b)
    const first = a.ask('expensive')
    await swarm.clock.run(500)
    assert.equal(a.sharing.flights.count, 1)
    const second = b.ask('expensive')
    const third = b.ask('expensive')
    const computed = await swarm.clock.settle(first)
    const replies = await swarm.clock.settle(Promise.all([second, third]))
    assert.deepEqual(
      replies.map(({ source, outcome, text }) => [source, outcome, text]),
      [
        ['peer', 'miss', computed.text],
        ['peer', 'collapsed', computed.text],
      ],
    )
    assert.ok(replies[0]?.receipt)
    assert.equal(b.engine.generationCount, 0)
    assert.equal(b.reputation.scoreOf(a.self) > 0, true)
  })

  it('many nodes wait for one', async () => {
    const nodes = await swarm.addMany(6, { tokenMs: 100 })
    const [first, ...others] = nodes
    assert.ok(first)
    const asks = [first.ask('popular')]
    await swarm.clock.run(500)
    asks.push(...others.map(node => node.ask('popular')))
    const replies = await swarm.clock.settle(Promise.all(asks))
    assert.equal(new Set(replies.map(({ text }) => text)).size, 1)
    assert.equal(
      nodes.reduce((sum, node) => sum + node.engine.generationCount, 0),
      1,
    )
  })

  it('the second computes it when the first dies', async () => {
    const [a, b] = await swarm.addMany(2, { tokenMs: 100 })
    assert.ok(a && b)
    const lost = a.ask('doomed')
    await swarm.clock.run(500)
    const second = b.ask('doomed')
    await swarm.clock.run(200)
    assert.equal(b.engine.generationCount, 0, 'it waits')
    swarm.kill(a)
    const reply = await swarm.clock.settle(second)
    assert.equal(reply.source, 'engine')
    assert.equal((await swarm.clock.settle(lost)).text, reply.text)
    await swarm.clock.settle(a.drained())
    await swarm.clock.settle(a.stop())
  })

  it('the second computes it when the first is frozen, after no more than its promise', async () => {
    const [a, b] = await swarm.addMany(2, { tokenMs: 100 })
    assert.ok(a && b)
    const first = a.ask('frozen')
    await swarm.clock.run(500)
    const second = b.ask('frozen')
    await swarm.clock.run(200)
    swarm.world.freeze(a.self)
    const reply = await swarm.clock.settle(second)
    assert.equal(reply.source, 'engine')
    assert.ok(reply.ms < 10_000, `${reply.ms} ms`)
    swarm.world.thaw(a.self)
    await swarm.clock.settle(first)
  })

  it('the second computes it when the first’s engine fails, or its client leaves', async () => {
    let tokens = 0
    const fail = async (): Promise<void> => {
      await new Promise<void>(resolve => swarm.clock.after(100, resolve))
      tokens += 1
      if (tokens > 8) throw new OperationError('engine_failed', 'broken', { origin: 'engine' })
    }
    const a = await swarm.add({ engine: { pace: fail } })
    const b = await swarm.add({ tokenMs: 100 })
    const first = assert.rejects(a.ask('broken'), { code: 'engine_failed' })
    await swarm.clock.run(500)
    const second = b.ask('broken')
    await swarm.clock.settle(first)
    const reply = await swarm.clock.settle(second)
    assert.equal(reply.source, 'engine')
    assert.ok(b.reputation.scoreOf(a.self) < 0, 'it promised')
  })

  it('nobody waits for an answer that is cut at another limit', async () => {
    const [a, b] = await swarm.addMany(2, { tokenMs: 100 })
    assert.ok(a && b)
    const short = a.ask(question('limits', { maxTokens: 3 }))
    await swarm.clock.run(150)
    const long = b.ask(question('limits'))
    const same = b.ask(question('limits', { maxTokens: 3 }))
    const replies = await swarm.clock.settle(Promise.all([short, long, same]))
    assert.deepEqual(
      replies.map(({ source }) => source),
      ['engine', 'engine', 'peer'],
    )
    assert.equal(replies[0]?.text, replies[2]?.text)
    assert.equal(b.reputation.scoreOf(a.self) > 0, true, 'the cut one came under its own key')
  })

  it('two that begin in the same moment both compute it: neither had anything to tell', async () => {
    const [a, b] = await swarm.addMany(2, { tokenMs: 20 })
    assert.ok(a && b)
    const replies = await swarm.clock.settle(Promise.all([a.ask('at once'), b.ask('at once')]))
    assert.deepEqual(
      replies.map(({ source }) => source),
      ['engine', 'engine'],
    )
    assert.equal(replies[0].text, replies[1].text)
  })

  it('a peer overtakes an engine that has not said a word', async () => {
    const a = await swarm.add()
    const b = await swarm.add({ tokenMs: 10_000 })
    const known = await swarm.ask(a, 'known')
    // The head start passes without an answer: everything takes longer now.
    delayRequests(b, 1_000)
    const late = b.ask('known')
    await swarm.clock.run(100)
    assert.deepEqual(b.engine.load(), { running: 1, waiting: 0 })
    assert.equal(b.sharing.flights.count, 1)
    const reply = await swarm.clock.settle(late)
    assert.deepEqual([reply.source, reply.text], ['peer', known.text])
    assert.equal(reply.ms, 1_000 + roundTripMs)
    await swarm.clock.settle(b.drained())
    assert.deepEqual(b.engine.load(), { running: 0, waiting: 0 })
    assert.equal(b.sharing.flights.count, 0, 'whoever waited for b got what a had')
  })

  it('whoever waits for a flight that a peer won gets that peer’s answer', async () => {
    const a = await swarm.add()
    const b = await swarm.add({ tokenMs: 10_000 })
    const c = await swarm.add({ tokenMs: 10_000, peers: [b] })
    const known = await swarm.ask(a, 'chain')
    delayRequests(b, 1_000)
    const late = b.ask('chain')
    await swarm.clock.run(100)
    const waiting = c.ask('chain')
    const replies = await swarm.clock.settle(Promise.all([late, waiting]))
    for (const reply of replies) assert.deepEqual([reply.source, reply.text], ['peer', known.text])
    assert.equal(c.engine.generationCount, 0)
  })

  it('an answer that cannot be signed stays here, and nobody waits for it', async () => {
    const a = await swarm.add({ tokenMs: 50 })
    const b = await swarm.add({ tokenMs: 50 })
    const tokens = a.engine.models()[0]?.tokens
    assert.ok(tokens)
    tokens.score = async () => {
      throw new OperationError('engine_failed', 'no room', { origin: 'engine' })
    }
    const first = a.ask('unsigned')
    await swarm.clock.run(200)
    const second = b.ask('unsigned')
    const replies = await swarm.clock.settle(Promise.all([first, second]))
    assert.deepEqual(
      replies.map(({ source }) => source),
      ['engine', 'engine'],
    )
    await swarm.clock.settle(a.drained())
    assert.equal(a.sharing.shared.size, 0)
    assert.deepEqual(
      [...a.store.list()].map(({ meta }) => meta.swarm),
      [undefined],
      'kept, for this node alone',
    )
    assert.ok(swarm.logged.some(({ message }) => message === 'answer not shared'))
  })

  it('an answer that cannot be stored is not offered, and nobody waits for it', async () => {
    const a = await swarm.add({
      tokenMs: 50,
      store: new MemoryStore({ clock: swarm.clock }, { bytesMax: 64 }),
    })
    const b = await swarm.add({ tokenMs: 50 })
    const first = a.ask('unstorable')
    await swarm.clock.run(200)
    const second = b.ask('unstorable')
    const replies = await swarm.clock.settle(Promise.all([first, second]))
    assert.deepEqual(
      replies.map(({ source }) => source),
      ['engine', 'engine'],
    )
    assert.equal(a.sharing.shared.size, 0)
    assert.equal((await swarm.ask(a, 'unstorable')).source, 'memory')
  })
})
