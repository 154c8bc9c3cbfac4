/**
 * `npm run test:swarm`: 64 real nodes over TCP in ten processes. Takes minutes, and most of a
 * machine: not part of `npm test`, which does the same on a simulated network.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { SeededRandom } from '../../src/std/seeded-random.ts'
import type { BedNode } from './bed-node.ts'
import { chat, chatPath } from './questions.ts'
import { testBed, until } from './test-bed.ts'

/** The one that all others are told of, and nine processes of seven. */
const groupCount = 9
const nodesPerGroup = 7
const answerCount = 500
/** 21 nodes of 64: a third. */
const killedGroups = 3
/** Requests under way at once. */
const inFlight = 8

describe('64 nodes over TCP with 500 answers', () => {
  it('find every one that a living node has, also after many were killed', async test => {
    const bed = testBed(test)
    const say = clock(test)
    // Computing takes longer than any look-up: what the engine answers was not found.
    const options = { holdMs: 8_000 }
    const hub = await bed.start(options)
    const groups: (readonly BedNode[])[] = []
    while (groups.length < groupCount) {
      groups.push(await bed.startMany(nodesPerGroup, { ...options, peers: [hub] }))
      say(`${groups.length * nodesPerGroup + 1} nodes started`)
    }
    const nodes = [hub, ...groups.flat()]
    await bed.connected(nodes)
    say('all are connected with all')

    const questions = Array.from({ length: answerCount }, (_, index) => `Question ${index}`)
    const texts = new Map<string, string>()
    const having = new Map<string, readonly BedNode[]>()
    await inParallel(questions, answerCount, async (question, index) => {
      const node = nodes[index % nodes.length]
      assert.ok(node !== undefined)
      const reply = await node.ask(chatPath, chat(question))
      assert.equal(reply.source, 'engine', reply.body)
      texts.set(question, reply.text)
      having.set(question, [node])
    })
    await announced(nodes)
    say('all are computed')

    const random = new SeededRandom(5)
    const find = async (question: string, among: readonly BedNode[]): Promise<void> => {
      const holders = having.get(question) ?? []
      const others = among.filter(node => !holders.includes(node))
      const node = others[Math.floor(random.fraction() * others.length)]
      assert.ok(node !== undefined)
      const reply = await node.ask(chatPath, chat(question))
      assert.equal(reply.source, 'peer', `${question} on ${node.name}`)
      assert.equal(reply.text, texts.get(question))
      having.set(question, [...holders, node])
    }
    await inParallel(questions, inFlight, question => find(question, nodes))
    say('all are found')

    const dead = groups.slice(-killedGroups).flat()
    await Promise.all(dead.map(node => node.kill()))
    const alive = nodes.filter(node => !dead.includes(node))
    const count = alive.length - 1
    await Promise.all(
      alive.map(node => until(node, 'end of the dead', ({ peers }) => peers.length <= count)),
    )
    await announced(alive)
    const surviving = questions.filter(question =>
      having.get(question)?.some(node => alive.includes(node)),
    )
    assert.ok(surviving.length > answerCount / 2)
    await inParallel(surviving, inFlight, question => find(question, alive))
    say(`all ${surviving.length} that survived are found`)
  })
})

/** Waits until every node has told its owners of all that it holds, as far as its figures tell. */
async function announced(nodes: readonly BedNode[]): Promise<void> {
  let before = ''
  for (;;) {
    const swarms = await Promise.all(nodes.map(node => node.swarm()))
    const now = swarms.map(({ directory }) => `${directory.provided} ${directory.owned}`).join()
    if (now === before) return
    before = now
    // Announcements are made once a second.
    await new Promise(resolve => setTimeout(resolve, 3_000))
  }
}

async function inParallel<Item>(
  items: readonly Item[],
  count: number,
  act: (item: Item, index: number) => Promise<void>,
): Promise<void> {
  const entries = items.entries()
  const worker = async (): Promise<void> => {
    for (const [index, item] of entries) await act(item, index)
  }
  await Promise.all(Array.from({ length: count }, worker))
}

/** Tells how far it is, and how long it took. */
function clock(test: { diagnostic(text: string): void }): (text: string) => void {
  const startMs = performance.now()
  return text => test.diagnostic(`${Math.round(performance.now() - startMs)} ms: ${text}`)
}
