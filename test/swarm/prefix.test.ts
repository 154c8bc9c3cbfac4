import assert from 'node:assert/strict'
import { describe, it, type TestContext } from 'node:test'
import { type BedNode, type BedReply, receiptOf } from './bed-node.ts'
import { chatPath } from './questions.ts'
import { type BedNodeOptions, issued, testBed, until } from './test-bed.ts'

const rule = 'our shop sends parcels on weekdays and takes returns within thirty days of buying'
const system = Array.from({ length: 160 }, (_, at) => `Rule ${at}: ${rule}.`).join(' ')

function question(user: string, model: string): object {
  return {
    model,
    temperature: 0,
    max_tokens: 12,
    messages: [
      { role: 'system', content: system },
      { role: 'user', content: user },
    ],
  }
}

function savedTokens({ headers }: BedReply): number {
  return Number(headers.get('x-hyperspace-saved-tokens'))
}

/** Waits until nothing of this node's KV state is on its way to peers any more. */
async function placed(node: BedNode, blocks: number): Promise<void> {
  await until(node, `${blocks} blocks placed`, (_swarm, { prefix }) => {
    const { placed: count = 0, placing = 1 } = prefix?.swarm ?? {}
    return count >= blocks && placing === 0
  })
}

/** A computes a prompt and is killed; D asks something else about the same text. */
async function outlives(
  test: TestContext,
  options: BedNodeOptions,
  model: string,
): Promise<readonly [warm: BedReply, d: BedNode]> {
  const bed = testBed(test)
  const a = await bed.start(options)
  const b = await bed.start({ ...options, peers: [a] })
  const c = await bed.start({ ...options, peers: [a, b] })
  const d = await bed.start({ ...options, peers: [a, b, c] })
  await bed.connected([a, b, c, d])
  const cold = await a.ask(chatPath, question('May I return a parcel?', model))
  assert.equal(cold.source, 'engine', cold.body)
  await placed(a, 15)
  await a.kill()
  await until(d, 'end of A', ({ peers }) => peers.every(({ id }) => id !== a.peerId))

  const asked = question('How many days do I have?', model)
  const warm = await d.ask(chatPath, asked)
  const alone = await bed.start({ ...options, secret: undefined })
  const fresh = await alone.ask(chatPath, asked)
  assert.equal(fresh.source, 'engine')
  assert.equal(warm.text, fresh.text)
  return [warm, d]
}

describe('a prompt that a member of the swarm has computed', () => {
  it('is not computed again, though that member is gone', async test => {
    const [warm, d] = await outlives(test, {}, 'fake')
    const reason = warm.headers.get('x-hyperspace-reason') ?? ''
    assert.equal(warm.source, 'prefix', reason)
    assert.ok(savedTokens(warm) >= 1_900)
    assert.match(reason, /fetching \d+ blocks .* takes .*, prefilling them/)
    await issued(d, 1)
    const again = await d.ask(chatPath, question('How many days do I have?', 'fake'))
    assert.equal(again.source, 'memory')
    assert.equal(receiptOf(again).unauditedTokens, savedTokens(warm), 'and its receipt says so')
  })
})
