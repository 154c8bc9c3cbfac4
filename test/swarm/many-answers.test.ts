import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { TestSwarm } from '../../src/cache/peers/test-swarm.ts'
import { SeededRandom } from '../../src/std/seeded-random.ts'

const nodeCount = 64
const answerCount = 500
const killRatio = 0.3

// On virtual time and a simulated network; sixty-four-nodes.ts does the same with real ones.
describe('64 nodes with 500 answers', () => {
  it('find every one that a living node has, also after 30 % were killed', async () => {
    const swarm = new TestSwarm({ latencyMs: 5 })
    // Computing takes long enough for any look-up, so that the engine answers what is not found.
    const nodes = await swarm.addMany(nodeCount, { tokenMs: 500 })
    const random = new SeededRandom(3)
    const pick = () => {
      const node = swarm.nodes[Math.floor(random.fraction() * swarm.nodes.length)]
      assert.ok(node !== undefined)
      return node
    }
    const questions = Array.from({ length: answerCount }, (_, index) => `Question ${index}`)
    const texts = new Map<string, string>()
    const owners = new Map<string, Set<unknown>>()
    for (const [index, question] of questions.entries()) {
      const node = nodes[index % nodeCount]
      assert.ok(node !== undefined)
      const reply = await swarm.ask(node, question)
      assert.equal(reply.source, 'engine')
      texts.set(question, reply.text)
      owners.set(question, new Set([node]))
    }
    // Owners are told once a second.
    await swarm.clock.run(3_000)

    const askAll = async (asked: readonly string[]): Promise<void> => {
      for (const question of asked) {
        const having = owners.get(question) ?? new Set()
        let node = pick()
        while (having.has(node)) node = pick()
        const reply = await swarm.ask(node, question)
        assert.equal(reply.source, 'peer', question)
        assert.equal(reply.text, texts.get(question))
        having.add(node)
      }
    }
    await askAll(questions)

    for (let killed = 0; killed < nodeCount * killRatio; killed++) swarm.kill(pick())
    // Their records are told to those who own them now.
    await swarm.clock.run(3_000)
    const isAlive = (node: unknown): boolean => swarm.nodes.some(one => one === node)
    const surviving = questions.filter(question => [...(owners.get(question) ?? [])].some(isAlive))
    assert.ok(surviving.length > answerCount / 2)
    await askAll(surviving)
    await swarm.close()
  })
})
