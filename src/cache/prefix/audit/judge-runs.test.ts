import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { peerIdOfPublicKey } from '../../../key/peer-id.ts'
import { delay } from '../../../std/clock.ts'
import {
  coldText,
  keepBusy,
  liarOf,
  type Member,
  request,
  swarmTestScope as scope,
  servableOf,
  TestMembers,
  teamText,
} from '../test-members.ts'
import { longText } from '../test-prefix.ts'

const bystander = peerIdOfPublicKey(new Uint8Array(32).fill(77))
const more = `${teamText} ${longText(600, 'and more')}`

/** Audits are drawn, and of a run the first block; or that with a chance of a half; or none is. */
function draw({ node }: Member, draws: 'first' | 'likely' | 'none'): void {
  const byte = { first: 0, likely: 0x80, none: 0xff }[draws]
  let runs = 0
  node.random.bytes = count => {
    if (count === 4) return new Uint8Array(4).fill(byte)
    runs += 1
    return new Uint8Array(count).fill(runs)
  }
}

/** As after the engine's child process died. */
async function loseResidents({ node }: Member): Promise<void> {
  await node.engine.start({ signal: new AbortController().signal })
}

describe('audits of what peers sent', () => {
  it('an audit says nothing of what the same issuer sent behind another’s blocks', async () => {
    const members = new TestMembers()
    const liar = await liarOf(members, undefined, index => index >= 2)
    members.attribute(bystander, position => position === 1)
    const b = await members.add()
    draw(b, 'first')
    await b.ask('two')
    await b.node.settled()
    assert.equal(b.node.counted('audit-agree'), 2)
    assert.equal(b.node.counted('audit-disagree'), 1)
    assert.ok(b.reputation.isQuarantined(liar.self))
    assert.deepEqual(servableOf(b), [1])
  })

  it('an audit of the first blocks of a run says nothing of those behind', async () => {
    const [a, b] = await new TestMembers().pair()
    for (let count = 0; count < 100; count++) b.reputation.note(a.self, 'audit-agreed')
    draw(b, 'none')
    await b.ask('two', more)
    await b.node.settled()
    assert.deepEqual(servableOf(b), [])
    assert.ok(b.node.counted('stored') > 17, 'with what was computed on top of the run')
    await loseResidents(b)
    draw(b, 'first')
    await b.ask('three', longText(700, 'A system text of the team'))
    await b.node.settled()
    assert.equal(b.node.counted('audit-agree'), 1)
    assert.deepEqual(servableOf(b), [0, 1, 2, 3, 4])
    await loseResidents(b)
    await b.ask('four', more)
    await b.node.settled()
    assert.ok(servableOf(b).length > 17, 'all of it was drawn from by now')
  })

  it('audits what lies before a run that is audited, since only then it can be', async () => {
    const members = new TestMembers()
    const [a] = await members.pair()
    members.attribute(bystander, position => position >= 8)
    const b = await members.add()
    // What is known of A makes an audit of its run unlikely; the other is unknown.
    for (let count = 0; count < 100; count++) b.reputation.note(a.self, 'audit-agreed')
    draw(b, 'likely')
    await b.ask('two')
    await b.node.settled()
    assert.equal(b.node.counted('audit-agree'), 2)
    assert.equal(servableOf(b).length, 15)
  })

  it('blames who was wrong and not whose block was drawn', async () => {
    const honest = new TestMembers()
    await honest.pair()
    const members = new TestMembers()
    const liar = await liarOf(members, undefined, index => index === 3)
    for (const [index, hash] of [...members.placed.keys()].entries()) {
      const { sealed } = honest.placed.get(hash) ?? {}
      assert.ok(sealed !== undefined)
      if (index >= 8) members.placed.set(hash, { sealed, issuer: bystander })
    }
    const b = await members.add()
    draw(b, 'first')
    await b.ask('two')
    await b.node.settled()
    assert.equal(b.node.counted('audit-agree'), 1, 'the first block of the liar')
    assert.equal(b.node.counted('audit-disagree'), 1)
    assert.ok(b.reputation.isQuarantined(liar.self))
    assert.equal(b.reputation.scoreOf(bystander), 0)
    assert.deepEqual(
      b.warnings.map(({ peer }) => peer),
      [liar.self],
    )
  })

  it('uses nothing of a liar while its blocks are being removed, nor if they cannot be', async () => {
    const members = new TestMembers()
    const liar = await liarOf(members)
    const b = await members.add()
    const { promise, resolve } = Promise.withResolvers<boolean>()
    b.node.store.remove = () => promise
    await b.ask('two')
    await b.node.clock.run(60_000)
    assert.ok(b.reputation.isQuarantined(liar.self))
    assert.ok(b.node.store.stats().blobs >= 15, 'they are still there')
    assert.deepEqual(servableOf(b), [])
    const right = await b.ask('two')
    assert.equal(right.text, await coldText('two'))
    assert.equal(right.usage.cachedTokens, 0)
    resolve(false)
    await b.node.settled()
    await loseResidents(b)
    assert.equal((await b.ask('three')).text, await coldText('three'))
  })

  it('knows what a generation rests on that began when a liar had been found', async () => {
    const members = new TestMembers()
    await liarOf(members)
    const b = await members.add()
    const idle = keepBusy(b)
    await b.ask('two')
    const [model] = b.node.engine.models()
    assert.ok(model !== undefined)
    const generate = model.generate.bind(model)
    // As if all sequences were taken: the state in its partition is what it was when it came.
    model.generate = async function* (asked, options) {
      idle()
      while (b.node.counted('audit-disagree') === 0) {
        await delay(b.node.clock, 100, options.signal)
      }
      yield* generate(asked, options)
    }
    const late = await b.ask('three', more)
    await b.node.settled()
    assert.ok(late.usage.cachedTokens > 0, 'it went on from wrong state')
    assert.equal(late.report?.unauditedTokens, late.usage.cachedTokens)
    assert.equal(b.node.store.stats().blobs, 0)
    assert.deepEqual(b.swarm.placed, [])
  })

  it('counts a block that was taken over in part as the peer’s', async () => {
    const [, b] = await new TestMembers().pair()
    keepBusy(b)
    await b.ask('two')
    const [model] = b.node.engine.models()
    assert.ok(model !== undefined)
    const generate = model.generate.bind(model)
    // As the embedded engine does: what two blocks have in common need not be computed again.
    model.generate = async function* (asked, options) {
      for await (const event of generate(asked, options)) {
        if (event.type === 'start') yield { ...event, cachedTokens: 64 }
        else if (event.type !== 'usage') yield event
        else yield { ...event, usage: { ...event.usage, cachedTokens: 64 } }
      }
    }
    const other = longText(700, 'A system text of the others')
    const answer = await b.ask('three', other)
    await b.node.clock.run(1_000)
    assert.equal(answer.usage.cachedTokens, 64)
    assert.equal(answer.report?.unauditedTokens, 128)
    assert.ok((answer.usage.cacheWriteTokens ?? 0) > 128, 'it is kept')
    assert.deepEqual(b.swarm.placed, [])
    assert.deepEqual(servableOf(b), [])
  })

  it('tells the swarm of blocks that it does not vouch for any more', async () => {
    const [a, b] = await new TestMembers().pair()
    await b.ask('two')
    await b.node.settled()
    await b.ask('three', more)
    await b.node.settled()
    const hashes = (): readonly string[] => b.swarm.placed.map(({ hash }) => hash)
    assert.ok(hashes().length > 3)
    await b.node.cache.clear()
    assert.deepEqual(new Set(b.swarm.withdrawn), new Set(hashes()))
    assert.equal((await b.node.ask(request('x'), { scope })).report?.spared.resident, 0)
    assert.deepEqual(a.swarm.withdrawn, [])
  })
})
