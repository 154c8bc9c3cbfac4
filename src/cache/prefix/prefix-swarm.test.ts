import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { blockLookupKey } from '../../key/block-hash.ts'
import { peerIdOfPublicKey } from '../../key/peer-id.ts'
import { prefixFillHoldMsMax } from '../../limits.ts'
import {
  coldText,
  keepBusy,
  liarOf,
  request,
  swarmTestScope as scope,
  servableOf,
  TestMembers,
  teamText as text,
} from './test-members.ts'
import { longText, TestPrefix } from './test-prefix.ts'
import { decodeNote, encodeNote } from './tiers/block-note.ts'

describe('PrefixCache in a swarm', () => {
  it('fetches what a peer has placed, and answers as a cold node would', async () => {
    const [a, b] = await new TestMembers().pair()
    assert.ok(a.swarm.placed.length >= 15)
    const answer = await b.ask('two')
    assert.equal(answer.text, await coldText('two'))
    assert.equal(answer.report?.spared.peer, answer.usage.cachedTokens)
    assert.ok(answer.usage.cachedTokens >= 1_900)
    assert.match(answer.report?.reason ?? '', /^fetching 1\d blocks \(.*\) at 100 MB\/s takes/)
    assert.equal(answer.report?.unauditedTokens, answer.usage.cachedTokens)
    assert.ok(answer.firstMs < 200, String(answer.firstMs))
    assert.equal(b.node.counted('fetched'), answer.usage.cachedTokens / 128)
    await b.node.settled()
    assert.equal(b.node.counted('stored'), b.node.counted('fetched'), 'each is kept once')
  })

  it('shares nothing of a local scope', async () => {
    const world = new TestMembers()
    const [a, b] = await world.pair()
    await a.node.ask(request('mine', longText(1_000, 'private')))
    await a.node.settled()
    const answer = await b.ask('x', longText(1_000, 'private'))
    assert.equal(answer.usage.cachedTokens, 0)
    const other = await b.node.ask(request('x'))
    assert.equal(other.usage.cachedTokens, 0, 'nor takes anything into one')
  })

  it('asks no peer for a request that does not want one', async () => {
    const [, b] = await new TestMembers().pair()
    const answer = await b.node.ask(request('two'), { scope, asksPeers: false })
    assert.equal(answer.usage.cachedTokens, 0)
    assert.equal(b.swarm.fetchCount, 0)
  })

  it('audits in idle time, and serves a peer’s blocks only then', async () => {
    const [, b] = await new TestMembers().pair()
    const idle = keepBusy(b)
    const first = await b.ask('two')
    await b.node.clock.run(1_000)
    assert.equal(b.swarm.placed.length, 0)
    assert.deepEqual(servableOf(b), [])
    idle()
    await b.node.settled()
    assert.equal(b.node.counted('audit-agree'), 1)
    assert.ok(servableOf(b).length >= 15)
    const again = await b.ask('three')
    assert.ok((first.report?.unauditedTokens ?? 0) > 0)
    assert.equal(again.report?.unauditedTokens, 0, 'what is resident is audited now')
  })

  it('what is computed on unaudited state is not placed, and no better than it', async () => {
    const [, b] = await new TestMembers().pair()
    const idle = keepBusy(b)
    const more = `${text} ${longText(600, 'and more')}`
    await b.ask('two', more)
    await b.ask('three', more)
    await b.node.clock.run(1_000)
    assert.ok(b.node.counted('stored') > 17, 'its own blocks are kept')
    assert.deepEqual(b.swarm.placed, [])
    const again = await b.ask('four', more)
    assert.equal(again.report?.unauditedTokens, again.usage.cachedTokens)
    idle()
    await b.node.settled()
    const later = await b.ask('five', more)
    assert.equal(later.report?.unauditedTokens, 0)
  })

  it('remembers over a restart what was not audited', async () => {
    const [, b] = await new TestMembers().pair()
    keepBusy(b)
    await b.ask('two')
    await b.node.clock.run(1_000)
    const { store, clock } = b.node
    const again = await TestPrefix.start({ store, clock })
    const answer = await again.ask(request('three'), { scope })
    assert.equal(answer.report?.spared.disk, answer.usage.cachedTokens)
    assert.equal(answer.report?.unauditedTokens, answer.usage.cachedTokens)
  })

  it('drops all blocks of an issuer whose audit disagrees, and uses none again', async () => {
    const world = new TestMembers()
    const liar = await liarOf(world)
    const b = await world.add()
    const wrong = await b.ask('two')
    assert.notEqual(wrong.text, await coldText('two'), 'the fake engine believes wrong rows')
    await b.node.settled()
    assert.equal(b.node.counted('audit-disagree'), 1)
    assert.ok(b.node.counted('dropped-after-audit') >= 15)
    assert.equal(b.node.store.stats().blobs, 0)
    assert.ok(b.reputation.isQuarantined(liar.self))
    assert.deepEqual(
      b.warnings.map(({ event }) => event),
      ['audit disagreed'],
    )
    assert.ok(!JSON.stringify(b.warnings).includes([...world.placed.keys()][0] ?? '?'))
    const right = await b.ask('two')
    assert.equal(right.text, await coldText('two'))
    assert.equal(right.usage.cachedTokens, 0, 'nor is what is resident of it used')
    assert.equal(b.swarm.fetchCount, 1)
  })

  it('blames nobody for what rests on the blocks of somebody else', async () => {
    const honest = new TestMembers()
    await honest.pair()
    const world = new TestMembers()
    const liar = await liarOf(world)
    const bystander = peerIdOfPublicKey(new Uint8Array(32).fill(77))
    for (const [index, hash] of [...world.placed.keys()].entries()) {
      const { sealed } = honest.placed.get(hash) ?? {}
      assert.ok(sealed !== undefined)
      if (index >= 8) world.placed.set(hash, { sealed, issuer: bystander })
    }
    const b = await world.add()
    await b.ask('two')
    await b.node.settled()
    assert.equal(b.node.counted('audit-disagree'), 1)
    assert.equal(b.node.counted('audit-inconclusive'), 1)
    assert.ok(b.reputation.isQuarantined(liar.self))
    assert.equal(b.reputation.scoreOf(bystander), 0)
  })

  it('audits the runs of several issuers one after the other', async () => {
    const world = new TestMembers()
    const [a] = await world.pair()
    const other = peerIdOfPublicKey(new Uint8Array(32).fill(77))
    for (const [index, [hash, { sealed }]] of [...world.placed].entries()) {
      if (index >= 8) world.placed.set(hash, { sealed, issuer: other })
    }
    const b = await world.add()
    await b.ask('two')
    await b.node.settled()
    assert.equal(b.node.counted('audit-agree'), 2)
    for (const peer of [a.self, other]) {
      assert.equal(b.reputation.standingOf(peer).auditsAgreed, 1)
    }
    assert.equal((await b.ask('three')).report?.unauditedTokens, 0)
  })

  it('drops what rests on a liar though its first run had been audited', async () => {
    const world = new TestMembers()
    const [a, b] = await world.pair()
    await b.ask('two')
    await b.node.settled()
    assert.equal(b.node.counted('audit-agree'), 1)
    const more = `${text} ${longText(600, 'and more')}`
    await b.ask('three', more)
    await b.node.settled()
    const blobs = b.node.store.stats().blobs
    assert.ok(blobs > 18, 'with what was computed on top')
    // From now on A sends something else, and is caught.
    const elsewhere = new TestMembers()
    await liarOf(elsewhere, 'another text of the team')
    for (const [hash, placed] of elsewhere.placed)
      world.placed.set(hash, { ...placed, issuer: a.self })
    const [draw] = [Uint8Array.of(0, 0, 0, 0)]
    b.node.random.bytes = count => (count === 4 ? draw : new Uint8Array(count).fill(5))
    await b.ask('four', longText(2_000, 'another text of the team'))
    await b.node.settled()
    assert.equal(b.node.counted('audit-disagree'), 1)
    assert.equal(b.node.store.stats().blobs, 0)
  })

  it('gives up a fetch that is slower than predicted, and goes on with what has come', async () => {
    const [, b] = await new TestMembers().pair()
    b.swarm.blockMs = 200
    const answer = await b.ask('two')
    assert.equal(answer.text, await coldText('two'))
    assert.match(answer.report?.reason ?? '', /given up after 6 of 15 blocks: slower than pred/)
    assert.equal(b.node.counted('abandoned'), 9)
    assert.equal(answer.usage.cachedTokens, 6 * 128)
  })

  it('gives up a fetch that does not move, for a quarter of what it could save', async () => {
    const [, b] = await new TestMembers().pair()
    b.swarm.blockMs = 3_600_000
    const answer = await b.ask('two')
    assert.equal(answer.text, await coldText('two'))
    assert.match(answer.report?.reason ?? '', /given up after 0 of 15 blocks: slower than pred/)
    assert.equal(answer.usage.cachedTokens, 0)
    const { promptTokens } = answer.usage
    assert.ok(answer.firstMs < 1.25 * promptTokens + 128 + 1, `${answer.firstMs} ms`)
  })

  it('waits for a first block that is late', async () => {
    const [, b] = await new TestMembers().pair()
    b.swarm.blockMs = 25
    b.swarm.firstBlockMs = 400
    const answer = await b.ask('two')
    assert.equal(answer.text, await coldText('two'))
    assert.equal(answer.report?.spared.peer, 15 * 128)
  })

  it('does without where looking for blocks fails, or a fetch is aborted by others', async () => {
    const [, b] = await new TestMembers().pair()
    const { find } = b.swarm
    b.swarm.find = () => Promise.reject(new TypeError('a mistake of ours'))
    const cold = await b.ask('two', longText(1_000, 'another text'))
    assert.equal(cold.usage.cachedTokens, 0)
    assert.deepEqual(
      b.warnings.map(({ event }) => event),
      ['prompt not planned'],
    )
    b.swarm.find = find
    b.swarm.tamper = () => {
      throw new DOMException('The node is leaving the swarm', 'AbortError')
    }
    const answer = await b.ask('two')
    assert.equal(answer.text, await coldText('two'))
    assert.match(answer.report?.reason ?? '', /the KV state could not be read$/)
  })

  it('takes what has come when the peers vanish in the middle', async () => {
    const [, b] = await new TestMembers().pair()
    b.swarm.vanishAfter = 7
    const answer = await b.ask('two')
    assert.equal(answer.usage.cachedTokens, 7 * 128)
    assert.match(answer.report?.reason ?? '', /peers gave 7 of 1\d blocks/)
    assert.equal(answer.text, await coldText('two'))
  })

  it('reports a block that does not open, and ends there', async () => {
    const [, b] = await new TestMembers().pair()
    let count = 0
    b.swarm.tamper = sealed => {
      count += 1
      return count === 4 ? sealed.map((byte, at) => (at === 200 ? byte ^ 8 : byte)) : sealed
    }
    const answer = await b.ask('two')
    assert.equal(answer.usage.cachedTokens, 3 * 128)
    assert.equal(b.swarm.invalid.length, 1)
    assert.equal(b.node.counted('invalid'), 1)
    assert.match(answer.report?.reason ?? '', /block 4 from a peer was not valid/)
    assert.equal(answer.text, await coldText('two'))
  })

  it('prefills when fetching would take longer, and says so', async () => {
    const [, b] = await new TestMembers().pair()
    b.swarm.bandwidth = 10_000
    const answer = await b.ask('two')
    assert.equal(b.swarm.fetchCount, 0)
    assert.equal(answer.usage.cachedTokens, 0)
    assert.match(
      answer.report?.reason ?? '',
      /^fetching 1\d blocks \(1\d\d kB\) at 10 kB\/s would take 1\d s, prefilling them [12](\.\d)? s$/,
    )
  })

  it('uses nothing of a peer in quarantine', async () => {
    const [a, b] = await new TestMembers().pair()
    b.reputation.note(a.self, 'audit-disagreed')
    assert.equal((await b.ask('two')).usage.cachedTokens, 0)
    assert.equal(b.swarm.fetchCount, 0)
  })

  it('goes on where its own blocks end', async () => {
    const world = new TestMembers()
    const more = `${text} ${longText(900, 'and more')}`
    const a = await world.add()
    await a.ask('one', more)
    await a.node.settled()
    const b = await world.add()
    b.swarm.vanishAfter = 10
    await b.ask('two', more)
    b.swarm.vanishAfter = Number.POSITIVE_INFINITY
    const c = await b.node.restarted()
    // What was computed behind the tenth block was kept too: it is evicted now.
    for (const { name, note } of [...c.store.list()]) {
      if ((decodeNote(note)?.index ?? 0) >= 10) await c.store.evict(name)
    }
    const answer = await c.ask(request('three', more), { scope })
    assert.equal(answer.report?.spared.disk, 10 * 128)
    assert.ok((answer.report?.spared.peer ?? 0) >= 9 * 128)
    assert.match(answer.report?.reason ?? '', /^1,280 tokens come from disk; fetching/)
  })

  it('places what came from its disk, but not what a peer has sent meanwhile', async () => {
    const a = await new TestMembers().add()
    await a.ask('one')
    const b = await a.node.restarted()
    const [first, ...others] = [...b.store.list()].toSorted(
      (one, two) => (decodeNote(one.note)?.index ?? 0) - (decodeNote(two.note)?.index ?? 0),
    )
    assert.ok(first !== undefined)
    const before = a.swarm.placed.length
    const { swarm } = scope
    const issuer = peerIdOfPublicKey(new Uint8Array(32).fill(9))
    const run = '0123456789abcdef'
    const origin = { type: 'peer', issuer, run, upTo: 0, isAudited: false } as const
    assert.ok(swarm !== undefined)
    b.clock.after(
      1,
      () => void b.store.update(first.name, { note: encodeNote({ origin, index: 0, swarm }) }),
    )
    const answer = await b.ask(request('two'), { scope })
    assert.equal(answer.report?.spared.disk, answer.usage.cachedTokens)
    await b.settled()
    const placed = a.swarm.placed.slice(before).map(({ hash }) => blockLookupKey(hash))
    assert.deepEqual(
      placed,
      others.slice(0, placed.length).map(({ name }) => name),
    )
    assert.equal(placed.length, answer.usage.cachedTokens / 128 - 1)
  })

  it('reads nothing of its disk once more that the swarm has got already', async () => {
    const a = await new TestMembers().add()
    await a.ask('one')
    for (const { hash } of a.swarm.placed) a.swarm.recalled.add(hash)
    const b = await a.node.restarted()
    const placed = a.swarm.placed.length
    let reads = 0
    const { read } = b.store
    b.store.read = async (name, options) => {
      reads += 1
      return await read(name, options)
    }
    const answer = await b.ask(request('two'), { scope })
    await b.settled()
    assert.equal(answer.report?.spared.disk, answer.usage.cachedTokens)
    assert.equal(reads, answer.usage.cachedTokens / 128)
    assert.equal(a.swarm.placed.length, placed)
  })

  it('a block that comes when its request has ended keeps none waiting', async () => {
    const [, { node }] = await new TestMembers().pair()
    const { clock, cache, engine } = node
    const [model] = engine.models()
    assert.ok(model !== undefined)
    const { signal } = new AbortController()
    const ask = { served: { engine, model }, request: request('two'), scope }
    const run = await clock.settle(cache.plan(ask, { signal }))
    const blocks = run?.use.offer?.blocks({ signal })[Symbol.asyncIterator]()
    assert.ok(run !== undefined && blocks !== undefined)
    run.end()
    const startMs = clock.monotonicMs()
    assert.equal((await clock.settle(blocks.next())).done, false)
    await clock.settle(Promise.resolve(blocks.return?.()))
    await node.settled()
    assert.equal(node.counted('stored'), 1)
    assert.ok(clock.monotonicMs() - startMs < prefixFillHoldMsMax)
  })

  it('stops a fetch with its request', async () => {
    const [, b] = await new TestMembers().pair()
    b.swarm.blockMs = 20
    const controller = new AbortController()
    b.node.clock.after(50, () => controller.abort(new DOMException('gone', 'AbortError')))
    const { signal } = controller
    await assert.rejects(b.node.ask(request('two'), { scope, signal }), { name: 'AbortError' })
    await b.node.settled()
    const answer = await b.ask('two')
    assert.equal(answer.text, await coldText('two'))
  })
})
