import assert from 'node:assert/strict'
import { describe, it, type TestContext } from 'node:test'
import { FakeEngine } from '../../src/engine/fake/fake-engine.ts'
import { Gate } from '../../src/engine/fake/gate.ts'
import { VirtualClock } from '../../src/std/clock.ts'
import { post, startNode, type TestNode } from './test-node.ts'

const minuteMs = 60_000
const yearMs = 365 * 24 * 60 * minuteMs

async function start(test: TestContext, gate = new Gate(Number.POSITIVE_INFINITY)) {
  const clock = new VirtualClock()
  const engine = new FakeEngine({ pace: gate.pass })
  const node = await startNode(test, { engine, clock, flags: { ttl: '10m' } })
  return { clock, engine, node }
}

interface Seen {
  readonly source: string | null
  readonly age: number
  readonly ttl: number
  readonly text: string
}

async function ask({ url }: TestNode): Promise<Seen> {
  const messages = [{ role: 'user', content: 'What time is it?' }]
  const reply = await post(`${url}/v1/chat/completions`, { model: 'fake', messages })
  const body = await reply.text()
  assert.equal(reply.status, 200, body)
  return {
    source: reply.headers.get('x-hyperspace-source'),
    age: Number(reply.headers.get('age')),
    ttl: Number(/ttl=(-?\w+)/.exec(reply.headers.get('cache-status') ?? '')?.[1] ?? 0),
    text: JSON.parse(body).choices[0].message.content,
  }
}

describe('the clock', () => {
  it('running on lets entries expire after --ttl, in memory and on disk', async test => {
    const { clock, engine, node } = await start(test)
    await ask(node)
    clock.advance(10 * minuteMs)
    const last = await ask(node)
    assert.deepEqual([last.source, last.age, last.ttl], ['memory', 600, 0])
    const again = await node.restart()
    assert.equal((await ask(again)).source, 'disk')
    clock.advance(1)
    assert.equal((await ask(again)).source, 'engine')
    assert.equal(engine.generationCount, 2)

    clock.advance(11 * minuteMs)
    const third = await again.restart()
    assert.equal((await ask(third)).source, 'engine')
    assert.equal((await ask(third)).source, 'memory')
  })

  it('set back keeps entries, which are then as if new', async test => {
    const { clock, engine, node } = await start(test)
    const original = await ask(node)
    clock.jump(-yearMs)
    const hit = await ask(node)
    assert.deepEqual([hit.source, hit.age, hit.text], ['memory', 0, original.text])
    assert.ok(hit.ttl > 0)
    assert.equal(node.node.status().uptimeSeconds, 0)
    const again = await node.restart()
    const fromDisk = await ask(again)
    assert.deepEqual([fromDisk.source, fromDisk.text], ['disk', original.text])
    assert.equal(engine.generationCount, 1)
  })

  it('set forward and back again costs one more generation at most', async test => {
    const { clock, engine, node } = await start(test)
    await ask(node)
    clock.jump(yearMs)
    assert.equal((await ask(node)).source, 'engine')
    assert.equal((await ask(node)).source, 'memory')
    clock.jump(-yearMs)
    const hit = await ask(node)
    assert.deepEqual([hit.source, hit.age], ['memory', 0])
    assert.equal(engine.generationCount, 2)
  })

  it('jumping while an answer is made changes neither its cost nor its fate', async test => {
    for (const jumpMs of [-yearMs, yearMs]) {
      const gate = new Gate()
      const { clock, node } = await start(test, gate)
      const asked = ask(node)
      await gate.whenWaiting(1)
      clock.advance(2_000)
      clock.jump(jumpMs)
      gate.open()
      const { source, text } = await asked
      assert.equal(source, 'engine')
      const hit = await ask(node)
      assert.deepEqual([hit.source, hit.age, hit.text], ['memory', 0, text])
      assert.equal(node.node.status().cache.savedSeconds, 2)
    }
  })
})
