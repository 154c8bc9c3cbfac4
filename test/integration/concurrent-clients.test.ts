import assert from 'node:assert/strict'
import { once } from 'node:events'
import { Agent, type IncomingMessage, request } from 'node:http'
import { describe, it, type TestContext } from 'node:test'
import { FakeEngine } from '../../src/engine/fake/fake-engine.ts'
import { Gate } from '../../src/engine/fake/gate.ts'
import { until } from '../support/until.ts'
import { startNode, type TestNode } from './test-node.ts'

const clientCount = 2_000

interface HeldNode extends TestNode {
  readonly engine: FakeEngine
  /** Holds every token until the test lets it through. */
  readonly gate: Gate
  readonly agent: Agent
  readonly signal: AbortSignal
}

async function startHeld(test: TestContext): Promise<HeldNode> {
  const gate = new Gate()
  const engine = new FakeEngine({ pace: gate.pass })
  const node = await startNode(test, { engine })
  const agent = new Agent({ keepAlive: false })
  test.after(() => agent.destroy())
  return { ...node, engine, gate, agent, signal: test.signal }
}

const question = { model: 'fake', messages: [{ role: 'user', content: 'the same for all' }] }

interface Client {
  /** When the head has come. What follows waits to be read. */
  readonly reply: Promise<IncomingMessage>
  /** Goes away at once, as a killed client does. */
  leave(): void
}

function send({ url, agent }: HeldNode, more: object = {}): Client {
  const headers = { 'content-type': 'application/json' }
  const path = '/v1/chat/completions'
  const sent = request(`${url}${path}`, { method: 'POST', headers, agent })
  const reply = once(sent, 'response').then(([message]: IncomingMessage[]) => {
    assert.equal(message?.statusCode, 200)
    // Leaving breaks the stream as well.
    message.on('error', () => undefined)
    return message
  })
  // Whoever leaves before the head has come has no use for it.
  reply.catch(() => undefined)
  sent.end(JSON.stringify({ ...question, ...more }))
  return { reply, leave: () => sent.destroy() }
}

async function hasBegun({ reply }: Client): Promise<void> {
  await once(await reply, 'data')
}

async function bodyOf(reply: IncomingMessage): Promise<string> {
  let body = ''
  reply.setEncoding('utf8')
  for await (const piece of reply) body += piece
  return body
}

/** The answer's text, whatever form the reply has. */
function textOf(body: string): string {
  if (!body.startsWith('data:')) return JSON.parse(body).choices[0].message.content
  assert.match(body, /data: \[DONE\]\n\n$/)
  return body
    .split('\n')
    .filter(line => line.startsWith('data: {'))
    .map(line => JSON.parse(line.slice(6)).choices[0]?.delta.content ?? '')
    .join('')
}

const answered = async ({ reply }: Client): Promise<string> => textOf(await bodyOf(await reply))

/** Until all of so many clients have been looked up, so that each is part of the flight. */
const haveAsked = ({ node, signal }: HeldNode, count: number): Promise<void> =>
  until(() => node.status().cache.misses === count, signal)

const areServed = ({ node, signal }: HeldNode, count: number): Promise<void> =>
  until(() => node.status().requestsRunning === count, signal)

/** Asks once more: the source tells whether there was an entry. */
async function askAgain(held: HeldNode): Promise<string> {
  held.gate.open()
  const reply = await send(held).reply
  await bodyOf(reply)
  return String(reply.headers['x-hyperspace-source'])
}

describe(`${clientCount} clients of one key`, () => {
  it('make one generation, which every one of them gets whole', async test => {
    const held = await startHeld(test)
    const texts: Promise<string>[] = []
    texts.push(answered(send(held)))
    await held.gate.whenWaiting(1)
    const replies: Promise<IncomingMessage>[] = []
    for (let index = 1; index < clientCount; index++) {
      const client = send(held, { stream: index % 2 === 0 })
      texts.push(answered(client))
      replies.push(client.reply)
    }
    await haveAsked(held, clientCount)
    assert.equal(held.engine.generationCount, 1)
    held.gate.open()
    const [first, ...others] = await Promise.all(texts)
    assert.ok(first !== undefined && first.length > 0)
    assert.ok(others.every(text => text === first))
    assert.equal(held.engine.generationCount, 1)
    for (const { headers } of await Promise.all(replies)) {
      assert.equal(headers['cache-status'], 'hyperspace; fwd=miss; collapsed')
    }
    assert.equal(await askAgain(held), 'memory')
  })
})

describe('a client that goes away while its answer is being made', () => {
  for (const stream of [true, false]) {
    const form = stream ? 'streaming' : 'waiting'

    it(`as the first, ${form}, takes nobody along`, async test => {
      const held = await startHeld(test)
      const leader = send(held, { stream })
      await held.gate.whenWaiting(1)
      held.gate.release(1)
      if (stream) await hasBegun(leader)
      const followers = [answered(send(held)), answered(send(held, { stream: true }))]
      await haveAsked(held, 3)
      leader.leave()
      await areServed(held, 2)
      held.gate.open()
      const [whole, streamed] = await Promise.all(followers)
      assert.ok(whole !== undefined && whole.length > 0)
      assert.equal(streamed, whole)
      assert.equal(held.engine.generationCount, 1)
      assert.equal(await askAgain(held), 'memory')
    })

    it(`as a follower, ${form}, leaves the others alone`, async test => {
      const held = await startHeld(test)
      const leader = answered(send(held, { stream: true }))
      await held.gate.whenWaiting(1)
      const follower = send(held, { stream })
      await haveAsked(held, 2)
      held.gate.release(1)
      if (stream) await hasBegun(follower)
      follower.leave()
      await areServed(held, 1)
      held.gate.open()
      assert.ok((await leader).length > 0)
      assert.equal(held.engine.generationCount, 1)
      assert.equal(await askAgain(held), 'memory')
    })

    it(`as the last, ${form}, stops the engine, and nothing is stored`, async test => {
      const held = await startHeld(test)
      const clients = [send(held, { stream }), send(held, { stream })]
      await held.gate.whenWaiting(1)
      await haveAsked(held, 2)
      held.gate.release(1)
      if (stream) await Promise.all(clients.map(hasBegun))
      for (const client of clients) client.leave()
      await areServed(held, 0)
      await until(() => held.engine.load().running === 0, test.signal)
      assert.equal(held.engine.generationCount, 1)
      const [memory, disk] = held.node.status().cache.tiers
      assert.deepEqual([memory?.records, disk?.records], [0, 0])
      assert.equal(await askAgain(held), 'engine')
      assert.equal(held.engine.generationCount, 2)
    })
  }

  it('while reading nothing of a long answer, holds up nobody', async test => {
    const text = 'All work and no play makes a long answer. '.repeat(2_000)
    const engine = new FakeEngine({ script: () => [{ type: 'text', text }] })
    const node = await startNode(test, { engine })
    const held = { ...node, engine, gate: new Gate(), agent: new Agent(), signal: test.signal }
    test.after(() => held.agent.destroy())
    const stalled = await send(held, { stream: true }).reply
    assert.equal(await answered(send(held, { stream: true })), text)
    assert.equal(textOf(await bodyOf(stalled)), text, 'and gets it all when it goes on')
  })
})
