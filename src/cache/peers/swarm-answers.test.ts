import assert from 'node:assert/strict'
import { getEventListeners } from 'node:events'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { Gate } from '../../engine/fake/gate.ts'
import { leavesKey, lookupKey } from '../../key/response-key.ts'
import { localScope, swarmScope } from '../../key/scope.ts'
import { MiB, negativeMs, sharedSweepIntervalMs } from '../../limits.ts'
import { MemoryStore } from '../../store/memory-store.ts'
import { IssuerKeys } from '../../trust/issuer-keys.ts'
import { verifyLeaves } from '../../trust/leaves.ts'
import { openReceipt } from '../../trust/receipt.ts'
import type { Receipt } from '../../wire/receipt.ts'
import { openRecord } from '../../wire/sealed-record.ts'
import { question, testSecret } from '../test-cache.ts'
import { latencyMs, lookupOf, type Reply, TestSwarm } from './test-swarm.ts'

const roundTripMs = 2 * latencyMs
const hourMs = 3_600_000

describe('answers across a swarm', () => {
  let swarm: TestSwarm
  beforeEach(() => {
    swarm = new TestSwarm()
  })
  afterEach(() => swarm.close())

  function receiptOf(reply: Reply): Receipt {
    assert.ok(reply.receipt)
    const time = { now: swarm.clock.now(), clockSkewMs: 0 }
    const opened = openReceipt(reply.receipt, time, new IssuerKeys())
    assert.ok(opened.outcome === 'valid')
    return opened.receipt
  }

  it('gives on every node what one computed, in one round trip, and then from its own memory', async () => {
    const [a, b] = await swarm.addMany(3)
    assert.ok(a && b)
    const computed = await swarm.ask(a, 'What is a KV cache?')
    assert.equal(computed.source, 'engine')
    const fetched = await swarm.ask(b, 'What is a KV cache?')
    assert.equal(fetched.source, 'peer')
    assert.equal(fetched.text, computed.text)
    assert.equal(fetched.ms, roundTripMs)
    assert.equal(receiptOf(fetched).issuer, a.self)
    assert.equal((await swarm.ask(b, 'What is a KV cache?')).source, 'memory')
    assert.equal(b.engine.generationCount, 0)
    assert.equal(b.counts.get('first token'), undefined, 'a hit says nothing of the engine')
  })

  it('provides onward what it took, under the receipt of its issuer, who may be gone', async () => {
    const [a, b, c] = await swarm.addMany(3)
    assert.ok(a && b && c)
    await swarm.ask(a, 'popular')
    const second = await swarm.ask(b, 'popular')
    swarm.kill(a)
    const third = await swarm.ask(c, 'popular')
    assert.equal(third.source, 'peer')
    assert.deepEqual(third.receipt, second.receipt)
    assert.equal(receiptOf(third).issuer, a.self)
    assert.ok(c.sharing.shared.has(lookupOf(third)))
  })

  it('keeps the age of an answer that is passed on: it expires everywhere when its receipt does', async () => {
    const a = await swarm.add({ ttlMs: hourMs })
    const b = await swarm.add({ ttlMs: 10 * hourMs })
    const c = await swarm.add({ ttlMs: 10 * hourMs })
    await swarm.ask(a, 'aging')
    await swarm.clock.run(hourMs / 2)
    const fetched = await swarm.ask(b, 'aging')
    assert.equal(fetched.source, 'peer')
    const found = b.cache.find(fetched.key, { maxTokens: undefined })
    assert.ok(found.outcome === 'hit')
    assert.equal(found.entry.expiresAt, receiptOf(fetched).expiresAt)
    assert.equal(found.entry.storedAt, receiptOf(fetched).issuedAt)
    const young = await swarm.ask(b, 'aging', { control: { maxAgeSeconds: 1_700 } })
    assert.equal(young.source, 'engine', 'older than max-age, though fetched just now')
    await swarm.ask(c, 'aging')
    await swarm.clock.run(hourMs)
    assert.equal((await swarm.ask(c, 'aging')).source, 'peer', 'the younger one, from b')
  })

  it('does not serve a receipt that has expired', async () => {
    const a = await swarm.add({ ttlMs: hourMs })
    const b = await swarm.add({ ttlMs: 10 * hourMs })
    const reply = await swarm.ask(a, 'expiring')
    await swarm.ask(b, 'expiring')
    assert.ok(b.sharing.shared.has(lookupOf(reply)))
    await swarm.clock.run(hourMs + 1)
    const c = await swarm.add()
    assert.equal((await swarm.ask(c, 'expiring')).source, 'engine')
    assert.equal(c.counts.size > 0 && c.counts.get('checked expired'), undefined, 'nor sends it')
    assert.equal(b.sharing.shared.has(lookupOf(reply)), false, 'and withdraws it')
  })

  it('does not serve a peer’s answer for longer than it serves its own', async () => {
    const a = await swarm.add({ ttlMs: 100 * hourMs })
    const b = await swarm.add({ ttlMs: hourMs })
    await swarm.ask(a, 'x')
    assert.equal((await swarm.ask(b, 'x')).source, 'peer')
    await swarm.clock.run(hourMs + 1)
    assert.equal((await swarm.ask(b, 'x')).source, 'engine')
    assert.equal(b.counts.get('checked unfit'), 1)
    assert.equal(b.reputation.scoreOf(a.self) > 0, true, 'which is no fault of the other')
  })

  it('takes answers of clocks that are an hour off, and not of those that are a day off', async () => {
    const ahead = await swarm.add({ skewMs: hourMs })
    const behind = await swarm.add({ skewMs: -hourMs })
    const b = await swarm.add()
    await swarm.ask(ahead, 'from ahead')
    await swarm.ask(behind, 'from behind')
    assert.equal((await swarm.ask(b, 'from ahead')).source, 'peer')
    assert.equal((await swarm.ask(b, 'from behind')).source, 'peer')
    assert.equal((await swarm.ask(b, 'from ahead')).source, 'memory')
    const lost = await swarm.add({ skewMs: 24 * hourMs })
    await swarm.ask(lost, 'from tomorrow')
    assert.equal((await swarm.ask(b, 'from tomorrow')).source, 'engine')
    assert.equal(b.counts.get('checked from-future'), 1)
    assert.equal(b.reputation.scoreOf(lost.self), 0)
  })

  it('shares cut answers with those who ask for the same limit', async () => {
    const [a, b] = await swarm.addMany(2)
    assert.ok(a && b)
    const cut = await swarm.ask(a, question('limits', { maxTokens: 2 }))
    const same = await swarm.ask(b, question('limits', { maxTokens: 2 }))
    assert.equal(same.source, 'peer')
    assert.equal(same.text, cut.text)
    assert.equal((await swarm.ask(b, question('limits', { maxTokens: 3 }))).source, 'engine')
    await swarm.ask(a, question('limits'))
    await swarm.clock.run(negativeMs)
    assert.equal((await swarm.ask(b, question('limits', { maxTokens: 500 }))).source, 'peer')
  })

  it('keeps sealed leaves beside the answer, on offer to auditors', async () => {
    const [a, b] = await swarm.addMany(2)
    assert.ok(a && b)
    const reply = await swarm.ask(a, 'leaves')
    const own = a.cache.find(reply.key, { maxTokens: undefined })
    const key = leavesKey(lookupOf(reply))
    const stored = a.store.peek(key)
    assert.ok(stored && a.sharing.shared.has(key) && own.outcome === 'hit')
    assert.deepEqual([a.sharing.shared.size, a.sharing.shared.answerCount], [2, 1])
    const receipt = receiptOf(await swarm.ask(b, 'leaves'))
    const leaves = Buffer.from(openRecord(reply.key, stored.bytes))
    assert.equal(verifyLeaves(leaves, receipt, own.entry.completion).outcome, 'valid')
    leaves[leaves.length - 1] = (leaves.at(-1) ?? 0) ^ 1
    assert.equal(verifyLeaves(leaves, receipt, own.entry.completion).outcome, 'invalid')
  })

  it('announces after a restart what its store has, of this swarm only', async () => {
    const a = await swarm.add()
    const { store, identity } = a
    const reply = await swarm.ask(a, 'kept')
    const record = store.peek(lookupOf(reply))
    assert.ok(record)
    const { swarm: _, ...privateMeta } = record.meta
    const other = lookupKey(reply.key)
    await store.put(other, { ...record, meta: privateMeta })
    swarm.kill(a)
    await swarm.clock.settle(a.stop())
    const again = await swarm.add({ store, identity })
    await swarm.clock.run(10)
    assert.deepEqual([...again.store.list()].length, 2)
    assert.equal(again.sharing.shared.has(other), false, 'private now')
    assert.equal(again.sharing.shared.has(leavesKey(other)), true)
    const otherSwarm = swarmScope(new Uint8Array(32).fill(1)).swarm
    assert.ok(otherSwarm)
    await store.put(other, { ...record, meta: { ...record.meta, swarm: otherSwarm } })
    swarm.kill(again)
    await swarm.clock.settle(again.stop())
    const third = await swarm.add({ store, identity })
    await swarm.clock.run(10)
    assert.equal(third.sharing.shared.has(other), false, 'of another swarm')
    await store.put(other, record)
    swarm.kill(third)
    await swarm.clock.settle(third.stop())
    const { shared } = (await swarm.add({ store, identity })).sharing
    const b = await swarm.add()
    await swarm.clock.run(10)
    assert.deepEqual([shared.size, shared.answerCount], [2, 1], 'its leaves are no answer')
    assert.equal((await swarm.ask(b, 'kept')).source, 'peer')
  })

  it('withdraws what was evicted, when asked for it or in time by itself', async () => {
    const clock = swarm.clock
    const store = new MemoryStore({ clock }, { bytesMax: 16 * MiB })
    const a = await swarm.add({ store })
    const b = await swarm.add()
    const asked = lookupOf(await swarm.ask(a, 'asked for'))
    const unasked = lookupOf(await swarm.ask(a, 'not asked for'))
    await store.clear()
    assert.equal((await swarm.ask(b, 'asked for')).source, 'engine')
    assert.equal(a.sharing.shared.has(asked), false)
    assert.equal(a.sharing.shared.has(unasked), true)
    await clock.run(sharedSweepIntervalMs)
    assert.equal(a.sharing.shared.size, 0)
    assert.equal(a.directory.stats().provided, 0)
  })

  it('works alone, and does not wait for anybody', async () => {
    const a = await swarm.add()
    const reply = await swarm.ask(a, 'alone')
    assert.equal(reply.source, 'engine')
    assert.equal(reply.ms, 0)
    assert.equal(a.counts.get('peer lookup skipped'), 1)
  })

  it('asks nobody again for what nobody had a moment ago', async () => {
    const gate = new Gate()
    const [a, b] = await swarm.addMany(2, { engine: { pace: gate.pass } })
    assert.ok(a && b)
    const scope = localScope(testSecret, undefined)
    const first = a.ask('rare')
    await swarm.clock.run(100)
    gate.open()
    await swarm.clock.settle(first)
    await a.cache.clear()
    assert.equal((await swarm.ask(a, 'rare')).source, 'engine')
    assert.equal(a.counts.get('peer lookup miss'), 2, 'forgotten with the fill')
    await swarm.ask(a, 'rare', { scope })
    assert.equal(a.counts.get('lookup miss'), 3)
    assert.equal(a.counts.get('peer lookup miss'), 2, 'private requests ask nobody')
  })

  it('does not share private answers, nor ask for them', async () => {
    const [a, b] = await swarm.addMany(2)
    assert.ok(a && b)
    const scope = localScope(testSecret, undefined)
    const reply = await swarm.ask(a, 'private', { scope })
    assert.equal(a.sharing.shared.size, 0)
    assert.ok(a.store.peek(lookupOf(reply)))
    assert.equal((await swarm.ask(b, 'private', { scope })).source, 'engine')
    assert.equal(b.network.peers()[0]?.bytesSent, 0)
    assert.equal((await swarm.ask(b, 'private')).source, 'engine')
  })

  it('finds through the directory where everybody cannot be asked', async () => {
    const nodes = await swarm.addMany(14)
    const [a, b, c] = nodes
    assert.ok(a && b && c)
    const computed = await swarm.ask(a, 'somewhere')
    await swarm.clock.run(3_000)
    const sentBefore = nodes.reduce((sum, node) => sum + bytesSent(node), 0)
    const fetched = await swarm.ask(b, 'somewhere')
    assert.equal(fetched.source, 'peer')
    assert.equal(fetched.text, computed.text)
    assert.equal(fetched.ms, 2 * roundTripMs, 'owners, then the holder')
    assert.ok(nodes.reduce((sum, node) => sum + bytesSent(node), 0) - sentBefore < 3_000)
    swarm.kill(a)
    await swarm.clock.run(3_000)
    assert.equal((await swarm.ask(c, 'somewhere')).source, 'peer')
  })

  function bytesSent(node: {
    readonly network: { peers(): readonly { bytesSent: number }[] }
  }): number {
    return node.network.peers().reduce((sum, peer) => sum + peer.bytesSent, 0)
  }

  it('sends one message per peer for a burst of look-ups', async () => {
    const counted = new Map<string, number>()
    const signals = new Set<AbortSignal>()
    const [a] = await swarm.addMany(3)
    const b = await swarm.add({
      network: network => {
        const request = network.request.bind(network)
        network.request = (peer, protocol, body, options) => {
          counted.set(protocol, (counted.get(protocol) ?? 0) + 1)
          signals.add(options.signal)
          return request(peer, protocol, body, options)
        }
        return network
      },
    })
    assert.ok(a)
    await swarm.ask(a, 'question 7')
    const asked = Array.from({ length: 30 }, (_, index) => b.ask(`question ${index}`))
    const replies = await swarm.clock.settle(Promise.all(asked))
    assert.equal(replies.filter(({ source }) => source === 'peer').length, 1)
    assert.equal(counted.get('/hyperspace/record/1'), 3, '60 keys fit into one message')
    await swarm.clock.settle(b.drained())
    for (const signal of signals) {
      assert.equal(getEventListeners(signal, 'abort').length, 0, 'signals are let go')
    }
  })

  describe('Cache-Control', () => {
    it('no-cache and max-age get no older answer from a peer, and share the new one', async () => {
      const [a, b, c] = await swarm.addMany(3)
      assert.ok(a && b && c)
      await swarm.ask(a, 'fresh')
      await swarm.clock.run(60_000)
      assert.equal((await swarm.ask(b, 'fresh', { control: { noCache: true } })).source, 'engine')
      assert.equal(b.counts.get('peer lookup miss'), undefined)
      const old = await swarm.ask(c, 'fresh', { control: { maxAgeSeconds: 30 } })
      assert.equal(old.source, 'peer', 'the new one, from b')
      assert.equal(receiptOf(old).issuer, b.self)
    })

    it('no-store asks nobody and tells nobody', async () => {
      const [a, b] = await swarm.addMany(2)
      assert.ok(a && b)
      await swarm.ask(a, 'secret')
      const reply = await swarm.ask(b, 'secret', { control: { noStore: true } })
      assert.deepEqual([reply.outcome, reply.source], ['bypass', 'engine'])
      assert.equal(b.sharing.shared.size, 0)
      assert.equal(b.counts.get('peer lookup hit'), undefined)
    })

    it('only-if-cached asks peers for as long as a head start, and no engine', async () => {
      const [a, b] = await swarm.addMany(2)
      assert.ok(a && b)
      const control = { onlyIfCached: true }
      await assert.rejects(swarm.ask(b, 'cached?', { control }), {
        code: 'cache_miss',
        message: /no peer has one/,
      })
      await swarm.ask(a, 'cached?')
      await swarm.clock.run(negativeMs)
      const both = [b.ask('cached?', { control }), b.ask('cached?', { control })]
      const replies = await swarm.clock.settle(Promise.all(both))
      assert.deepEqual(
        replies.map(({ source, outcome }) => [source, outcome]),
        [
          ['peer', 'miss'],
          ['peer', 'collapsed'],
        ],
      )
      await swarm.clock.settle(b.drained())
      assert.equal((await swarm.ask(b, 'cached?', { control })).source, 'memory')
      assert.equal(b.engine.generationCount, 0)
      const fresh = { onlyIfCached: true, noCache: true }
      await assert.rejects(swarm.ask(b, 'cached?', { control: fresh }), { code: 'cache_miss' })
    })
  })
})
