import assert from 'node:assert/strict'
import { describe, it, type TestContext } from 'node:test'
import { blockAt, blocksOf } from '../../src/cache/prefix/prompt-blocks.ts'
import { parseModelId } from '../../src/key/model-id.ts'
import { swarmScope } from '../../src/key/scope.ts'
import { childOf } from '../support/processes.ts'
import { type BedNode, type BedReply, receiptOf } from '../swarm/bed-node.ts'
import { testBed, until } from '../swarm/test-bed.ts'
import { bodyOf, ColdEngine, type Computed, completionsPath } from './cold-engine.ts'
import { hostileBlocks, plainOf, type TrueBlock, wrongRows } from './hostile-blocks.ts'
import { RogueNode } from './rogue-node.ts'

const secret = new Uint8Array(32).fill(7)
const scope = swarmScope(secret)
/** Three blocks, of which the second is hostile, and the beginning of a fourth. */
const promptTokens = 3 * 128 + 40
const hostileIndex = 1
const maxTokens = 8

/** Those that abort llama.cpp, get it killed, or are believed by it, where it gets to read them. */
const fatal = [
  'is cut by a row',
  'counts 2^63 layers',
  'has rows of 2^53 bytes',
  'has a block more',
  'has 7e00 for its middle number',
  'is of another token',
  'is of the place before',
  'is of another model',
  'is of another numeric class',
  'has a layer less',
] as const

/** A node with the real engine, and what a member of its swarm must know to deceive it. */
interface Stage {
  readonly victim: BedNode
  readonly enginePid: number
  /** Asks the victim while a member serves what `make` makes of the prompt's blocks. */
  play(number: number, make: (block: TrueBlock) => Uint8Array): Promise<Played>
}

interface Played {
  readonly reply: BedReply
  readonly right: Computed
  readonly rogue: RogueNode
  /** What was asked. */
  readonly body: object
}

async function stage(test: TestContext): Promise<Stage> {
  const bed = testBed(test)
  const flags = { context: '2048', parallel: '2', threads: '1' }
  const [victim, cold] = await Promise.all([
    bed.start({ engine: 'demo', secret, flags, prefillTokensPerSecond: 50 }),
    ColdEngine.start(test),
  ])
  const [status] = (await victim.status()).models
  assert.ok(status !== undefined)
  const { name: model, numericClass } = status
  const modelId = parseModelId(status.id)
  const enginePid = childOf(victim.process.pid, 'engine-main')
  assert.ok(modelId !== undefined && enginePid !== undefined)
  const identity = { secret, peers: victim.addresses, modelId, numericClass }
  return {
    ...{ victim, enginePid },
    async play(number, make) {
      const tokenIds = await cold.prompt(promptTokens, number)
      const right = await cold.compute(tokenIds, maxTokens)
      const rogue = new RogueNode(identity)
      test.after(() => rogue.stop())
      const prompt = { tokenIds, headTokens: 0, markTokens: [] }
      const blocks = await blocksOf(prompt, { numericClass }, cold.state, scope)
      for (const [index, rows] of right.rows.entries()) {
        const { hash, ...head } = blockAt(blocks, index)
        rogue.add({ hash, plain: make({ head, rows }) })
      }
      await rogue.start()
      await until(victim, 'the rogue', ({ peers }) => peers.some(({ id }) => id === rogue.peerId))
      const body = bodyOf(model, tokenIds, maxTokens)
      const reply = await victim.ask(completionsPath, body)
      assert.equal(reply.status, 200, reply.body)
      return { reply, right, rogue, body }
    },
  }
}

/** As the receipt of an answer says that is kept: it is made after the answer. */
async function unauditedTokens(node: BedNode, body: object, signal: AbortSignal): Promise<number> {
  for (;;) {
    signal.throwIfAborted()
    const reply = await node.ask(completionsPath, body)
    if (reply.receipt !== null && reply.receipt !== '') return receiptOf(reply).unauditedTokens
  }
}

const savedTokens = ({ headers }: BedReply): number =>
  Number(headers.get('x-hyperspace-saved-tokens'))

describe('the embedded engine, given validly sealed blocks of a member', {
  timeout: 60_000,
}, () => {
  it('uses right ones, and hears nothing of hostile ones', async test => {
    const { victim, enginePid, play } = await stage(test)
    const honest = await play(0, plainOf)
    assert.equal(honest.reply.text, honest.right.text)
    assert.equal(
      savedTokens(honest.reply),
      3 * 128,
      honest.reply.headers.get('x-hyperspace-reason') ?? '',
    )
    assert.equal(await unauditedTokens(victim, honest.body, test.signal), 3 * 128)
    await honest.rogue.stop()

    for (const [index, what] of fatal.entries()) {
      const hostile = hostileBlocks[what]
      assert.ok(hostile !== undefined)
      const { reply, right, rogue } = await play(index + 1, block =>
        block.head.index === hostileIndex ? hostile(block) : plainOf(block),
      )
      assert.equal(reply.text, right.text, what)
      const reason = reply.headers.get('x-hyperspace-reason') ?? ''
      assert.match(reason, /block 2 from a peer was not valid/, what)
      assert.equal(savedTokens(reply), hostileIndex * 128, what)
      await rogue.stop()
    }
    assert.equal(childOf(victim.process.pid, 'engine-main'), enginePid)
  })

  it('is audited in idle time: wrong rows are dropped, and whoever sent them', async test => {
    const { victim, enginePid, play } = await stage(test)
    const { reply, right, rogue, body } = await play(0, wrongRows)
    assert.equal(savedTokens(reply), 3 * 128)
    await until(victim, 'a quarantine', ({ peers }) =>
      peers.some(({ id, quarantineSeconds }) => id === rogue.peerId && quarantineSeconds > 0),
    )
    await until(victim, 'nothing on disk', (_, { prefix }) => prefix?.disk.blocks === 0)
    // What was answered on them goes right after them.
    let again = await victim.ask(completionsPath, body)
    while (again.source === 'memory' || again.source === 'disk') {
      test.signal.throwIfAborted()
      again = await victim.ask(completionsPath, body)
    }
    assert.equal(savedTokens(again), 0, 'nothing of it is used, resident or not')
    assert.equal(again.text, right.text)
    assert.equal(await unauditedTokens(victim, body, test.signal), 0)
    assert.equal(childOf(victim.process.pid, 'engine-main'), enginePid)
  })
})
