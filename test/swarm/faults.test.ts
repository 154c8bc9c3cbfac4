import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { type BedNode, type BedReply, receiptOf } from './bed-node.ts'
import { chat, chatPath, messages, messagesPath } from './questions.ts'
import { issued, shares, type TestBed, testBed } from './test-bed.ts'

/** Every reply to one question must be the same answer, from wherever it came. */
class Answers {
  readonly #texts = new Map<string, string>()
  readonly sources = new Map<string, number>()

  check(question: string, reply: BedReply, who: string): void {
    assert.equal(reply.status, 200, `${who}: ${reply.body}`)
    assert.ok(reply.text.includes(question), `${who} answers something else: ${reply.text}`)
    const before = this.#texts.get(question) ?? reply.text
    assert.equal(reply.text, before, who)
    this.#texts.set(question, before)
    const source = reply.source ?? 'none'
    this.sources.set(source, (this.sources.get(source) ?? 0) + 1)
  }
}

describe('kill -9 of nodes while requests run', () => {
  const rounds = 8
  const inFlight = 4

  /** Asks what others ask too, and what nobody asks, until the rounds are over. */
  async function client(node: BedNode, name: number, answers: Answers, tick: () => void) {
    for (let round = 0; round < rounds; round++) {
      const own = `own ${round} of ${node.name}-${name}`
      for (const question of [`shared ${round} of ${name}`, own]) {
        answers.check(question, await node.ask(chatPath, chat(question)), node.name)
        tick()
      }
    }
  }

  it('gives no wrong answer and no hang to the clients of the others', async test => {
    const bed = testBed(test)
    const options = { holdMs: 60 }
    const first = await bed.start(options)
    const peers = { peers: [first], ...options }
    // Ten nodes: too many to ask everybody, so that the directory is used.
    const [stay, ...mortals] = await Promise.all([
      bed.startMany(6, peers),
      bed.start(peers),
      bed.start(peers),
      bed.start(peers),
    ])
    const survivors = [first, ...stay]
    await bed.connected([...survivors, ...mortals])

    const answers = new Answers()
    // Whom nobody asks while they are killed are asked before, so that they have something.
    await Promise.all(
      mortals.map(async (node, index) => {
        const question = `shared 0 of ${index}`
        answers.check(question, await node.ask(chatPath, chat(question)), node.name)
      }),
    )
    const killAfter = [10, 60, 120]
    const ends: Promise<void>[] = []
    let replies = 0
    const tick = (): void => {
      replies += 1
      const victim = replies === killAfter[ends.length] ? mortals[ends.length] : undefined
      if (victim !== undefined) ends.push(victim.kill())
    }
    await Promise.all(
      survivors.flatMap(node =>
        Array.from({ length: inFlight }, (_, name) => client(node, name, answers, tick)),
      ),
    )
    await Promise.all(ends)
    assert.equal(ends.length, mortals.length)
    test.diagnostic(JSON.stringify(Object.fromEntries(answers.sources)))
    assert.ok((answers.sources.get('peer') ?? 0) > 0, 'the swarm was of use')
  })

  it('loses nothing that another node has, and the killed one comes back', async test => {
    const bed = testBed(test)
    const a = await bed.start()
    const b = await bed.start({ peers: [a], holdMs: 5_000 })
    await bed.connected([a, b])
    const question = chat('Will you be there tomorrow?')
    const right = await a.ask(chatPath, question)
    await issued(a, 1)
    await a.kill()
    const again = await bed.restart(a, { peers: [b] })
    assert.equal(again.peerId, a.peerId)
    await bed.connected([again, b])
    const found = await b.ask(chatPath, question)
    assert.equal(found.source, 'peer')
    assert.equal(found.text, right.text)
    assert.equal(found.receipt, (await again.ask(chatPath, question)).receipt)
  })
})

describe('a partition', () => {
  /** What one node knows, asked of another. */
  async function pass(from: BedNode, to: BedNode, text: string): Promise<BedReply> {
    const { sharedAnswers } = await from.swarm()
    const own = await from.ask(chatPath, chat(text))
    assert.equal(own.status, 200)
    await shares(from, sharedAnswers + (own.source === 'engine' ? 1 : 0))
    const reply = await to.ask(messagesPath, messages(text))
    assert.equal(reply.text, own.text)
    return reply
  }

  it('leaves each side its own, and heals', async test => {
    const bed = testBed(test)
    const a = await bed.start({ holdMs: 400 })
    const [b, c, d] = await Promise.all([1, 2, 3].map(() => bed.start({ peers: [a], holdMs: 400 })))
    assert.ok(b !== undefined && c !== undefined && d !== undefined)
    await bed.connected([a, b, c, d])
    await bed.partition([a, b], [c, d])
    await bed.connected([a, b, c, d], 1)
    assert.equal((await c.swarm()).peers.length, 1)

    assert.equal((await pass(a, c, 'From one side to the other')).source, 'engine')
    const within = await pass(c, d, 'From one side to the other')
    assert.equal(within.source, 'peer')
    assert.equal(receiptOf(within).issuer, c.peerId)

    await bed.heal([a, b], [c, d])
    await bed.connected([a, b, c, d])
    const healed = await pass(d, b, 'Together again')
    assert.equal(healed.source, 'peer')
  })

  it('of one node that hears nothing costs its peers no answer', async test => {
    const bed = testBed(test)
    const [silent, b] = await pairOf(bed)
    const known = await silent.ask(chatPath, chat('What only one knows'))
    await issued(silent, 1)
    silent.freeze()
    const alone = await b.ask(chatPath, chat('What only one knows'))
    assert.equal(alone.source, 'engine', 'the engine answers')
    assert.equal(alone.text, known.text)
    silent.thaw()
    assert.equal((await pass(silent, b, 'What both may know')).source, 'peer')
    // And the other way round, what was computed meanwhile.
    await shares(b, 2)
  })

  async function pairOf(bed: TestBed): Promise<readonly [BedNode, BedNode]> {
    const a = await bed.start()
    const b = await bed.start({ peers: [a], holdMs: 1_000 })
    await bed.connected([a, b])
    return [a, b]
  }
})
