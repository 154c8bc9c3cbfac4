import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { type BlockNode, TestBlockSwarm } from '../../src/cache/blocks/test-blocks.ts'
import { blockAt, blocksOf, type PromptBlocks } from '../../src/cache/prefix/prompt-blocks.ts'
import { longText, type TestAnswer, TestPrefix } from '../../src/cache/prefix/test-prefix.ts'
import { question } from '../../src/cache/test-cache.ts'
import { FakeEngine } from '../../src/engine/fake/fake-engine.ts'
import type { BlockRows } from '../../src/interface/kv-state.ts'
import type { PeerId } from '../../src/interface/network.ts'
import type { CompletionRequest } from '../../src/key/completion-request.ts'
import { modelIdFromDigest } from '../../src/key/model-id.ts'
import { type LookupKey, parseLookupKey } from '../../src/key/response-key.ts'
import { swarmScope } from '../../src/key/scope.ts'
import { hostileBlocks, plainOf, type TrueBlock, wrongRows } from './hostile-blocks.ts'
import { type RogueStripe, rogueStripe, serveStripes } from './rogue-stripes.ts'

const { signal } = new AbortController()
const scope = swarmScope(new Uint8Array(32).fill(3))
const modelId = modelIdFromDigest('ab'.repeat(32))
/** Small, so that a block fits many a case, and large enough that rows have a middle. */
const engineOptions = { modelId, numericClass: `${modelId} · a build · a machine` }
/** Of the six blocks of the prompt, the one that is hostile. */
const hostileIndex = 4
const wholeBlocks = 6
const text = longText(900, 'A system text of the team')

function request(user: string): CompletionRequest {
  return question(user, {
    messages: [
      { role: 'system', content: [{ type: 'text', text }] },
      { role: 'user', content: [{ type: 'text', text: user }] },
    ],
  })
}

/** What the prompt's blocks really are: an engine's own word. */
async function truth(asked: CompletionRequest): Promise<{
  readonly blocks: PromptBlocks
  readonly all: readonly TrueBlock[]
}> {
  const engine = new FakeEngine(engineOptions)
  await engine.start({ signal })
  const [model] = engine.models()
  assert.ok(model?.tokens !== undefined && 'layout' in model.tokens.state)
  const prompt = await model.tokens.prompt(asked, { signal })
  const blocks = await blocksOf(prompt, model, model.tokens.state, scope)
  const rows: BlockRows[] = []
  const keep = {
    range: { from: 0, to: blocks.usableMax },
    take: (_: number, block: BlockRows) => void rows.push(block),
  }
  const prefix = { tokenIds: prompt.tokenIds, keep }
  await Array.fromAsync(model.generate(asked, { signal, seed: 1n, prefix }))
  assert.equal(rows.length, wholeBlocks)
  const all = rows.map((own, index) => ({ head: blockAt(blocks, index), rows: own }))
  return { blocks, all }
}

/** A victim, and a member that serves what a test makes of the blocks of a prompt. */
class World {
  readonly swarm = new TestBlockSwarm()
  readonly stripes = new Map<LookupKey, RogueStripe>()

  static async of(
    make: (block: TrueBlock) => Uint8Array | undefined,
    asked: CompletionRequest = request('one'),
  ): Promise<{ readonly world: World; readonly victim: Victim; readonly rogue: PeerId }> {
    const world = new World()
    const [node] = await world.swarm.addMany(1)
    assert.ok(node !== undefined)
    const victim = await Victim.start(node, world.swarm)
    const rogue = await world.addRogue(make, asked)
    return { world, victim, rogue }
  }

  async addRogue(
    make: (block: TrueBlock) => Uint8Array | undefined,
    asked: CompletionRequest,
  ): Promise<PeerId> {
    const identity = this.swarm.identity()
    const { clock } = this.swarm
    const { blocks, all } = await truth(asked)
    const { numericClass } = engineOptions
    for (const [index, block] of all.entries()) {
      const { hash, key } = blockAt(blocks, index)
      const plain = make(block)
      if (plain === undefined) continue
      const issuer = { identity, clock, modelId, numericClass }
      this.stripes.set(key, rogueStripe({ hash, plain }, issuer))
    }
    await this.swarm.addRogue(network => serveStripes(network, this.stripes), identity)
    return identity.peerId
  }
}

/** A node's prefix cache in the swarm, and the engine behind it. */
class Victim {
  readonly node: BlockNode
  readonly prefix: TestPrefix

  private constructor(node: BlockNode, prefix: TestPrefix) {
    this.node = node
    this.prefix = prefix
  }

  static async start(node: BlockNode, { clock }: TestBlockSwarm): Promise<Victim> {
    const { blocks, reputation } = node
    const swarmOf = (): { blocks: typeof blocks; reputation: typeof reputation } => ({
      blocks,
      reputation,
    })
    return new Victim(node, await TestPrefix.start({ clock, swarmOf, engine: engineOptions }))
  }

  /** Blocks that members of the swarm would be given. */
  get servableBlocks(): number {
    const { cache, store } = this.prefix
    assert.ok(scope.swarm !== undefined)
    const { has } = cache.servableTo(scope.swarm)
    return [...store.list()].flatMap(({ name }) => parseLookupKey(name) ?? []).filter(has).length
  }

  /** Computes and keeps the prompt's first blocks itself. */
  async keep(blocks: number): Promise<void> {
    const start = {
      type: 'text',
      text: text.slice(0, text.length * (blocks / wholeBlocks)),
    } as const
    const asked = { ...request('x'), messages: [{ role: 'system', content: [start] }] } as const
    await this.prefix.ask({ ...asked, cache: { marks: [], isMarked: true } }, { scope })
    await this.prefix.settled()
    assert.equal(this.servableBlocks, blocks)
  }

  async ask(user: string): Promise<TestAnswer> {
    return await this.prefix.ask(request(user), { scope })
  }
}

async function coldText(user: string): Promise<string> {
  const cold = await TestPrefix.start({ engine: engineOptions })
  return (await cold.ask(request(user))).text
}

describe('a validly sealed block of a member', () => {
  it('that is right is used', async () => {
    const { victim, rogue } = await World.of(plainOf)
    const answer = await victim.ask('one')
    assert.equal(answer.text, await coldText('one'))
    assert.equal(answer.report?.spared.peer, wholeBlocks * 128)
    assert.equal(answer.report?.unauditedTokens, wholeBlocks * 128)
    await victim.prefix.settled()
    assert.equal(victim.prefix.counted('audit-agree'), 1)
    assert.ok(victim.node.reputation.scoreOf(rogue) > 0)
  })

  for (const [what, hostile] of Object.entries(hostileBlocks)) {
    it(`that ${what} is not, nor what is behind it`, async () => {
      const { victim, rogue } = await World.of(block =>
        block.head.index === hostileIndex ? hostile(block) : plainOf(block),
      )
      const answer = await victim.ask('one')
      assert.equal(answer.text, await coldText('one'))
      assert.equal(answer.usage.cachedTokens, hostileIndex * 128)
      assert.match(answer.report?.reason ?? '', /block 5 from a peer was not valid/)
      assert.equal(victim.prefix.counted('invalid'), 1)
      assert.ok(victim.node.reputation.scoreOf(rogue) < -30)
      // Nothing of it is kept: what it should have been was computed, and kept instead.
      await victim.prefix.settled()
      const again = await (await victim.prefix.restarted()).ask(request('two'), { scope })
      assert.equal(again.text, await coldText('two'))
      assert.equal(again.report?.spared.disk, wholeBlocks * 128)
    })
  }
})

describe('rows of a member that are finite, of the right block, and wrong', () => {
  for (const [which, from] of [
    ['from the first block on', 0],
    ['behind what the node has itself', 2],
  ] as const) {
    it(`are believed once and never again: ${which}`, async () => {
      const { victim, rogue } = await World.of(block =>
        block.head.index < from ? undefined : wrongRows(block),
      )
      if (from > 0) await victim.keep(from)
      const used = (wholeBlocks - from) * 128
      const wrong = await victim.ask('one')
      assert.notEqual(wrong.text, await coldText('one'), 'the fake engine believes them')
      assert.equal(wrong.report?.spared.peer, used)
      assert.equal(wrong.report?.unauditedTokens, used)
      assert.equal(victim.servableBlocks, from, 'nobody gets them from here')
      await victim.prefix.settled()
      assert.equal(victim.prefix.counted('audit-disagree'), 1)
      assert.equal(victim.prefix.counted('dropped-after-audit'), wholeBlocks - from)
      assert.ok(victim.node.reputation.isQuarantined(rogue))
      for (const user of ['one', 'two']) {
        const right = await victim.ask(user)
        assert.equal(right.text, await coldText(user))
        assert.equal(right.report?.spared.peer, 0)
        assert.equal(right.report?.unauditedTokens, 0)
      }
      const restarted = await (await victim.prefix.restarted()).ask(request('three'), { scope })
      assert.equal(restarted.text, await coldText('three'))
    })
  }
})
