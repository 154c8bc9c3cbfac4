import assert from 'node:assert/strict'
import { afterEach, beforeEach, describe, it } from 'node:test'
import type { PeerId, StreamHandler } from '../../interface/network.ts'
import type { LookupKey } from '../../key/response-key.ts'
import { peerAnswerTimeoutMs, peerSearchMsMax, sealedRecordBytesMax } from '../../limits.ts'
import { directoryProtocol } from '../../net/directory/rendezvous-directory.ts'
import type { MemoryNetwork } from '../../net/memory-network.ts'
import { delay } from '../../std/clock.ts'
import { encodeFindReply } from '../../wire/directory-messages.ts'
import { decodeKeys, encodeAnswers, type RecordAnswer } from '../../wire/record-messages.ts'
import { flightProtocol, recordProtocol, recordStreamProtocol } from './records/protocols.ts'
import { latencyMs, lookupOf, type Reply, type SwarmNode, TestSwarm } from './test-swarm.ts'

const headStartMs = 4 * latencyMs
const stalled = (signal: AbortSignal): Promise<never> =>
  new Promise((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason))
  })

interface RogueAnswers {
  /** What it says of a key, or the whole reply; may stall. */
  readonly record: (key: LookupKey, signal: AbortSignal) => RecordAnswer | Promise<RecordAnswer>
  readonly reply?: (body: Uint8Array) => Uint8Array
  readonly stream?: StreamHandler
}

describe('faulty peers', () => {
  let swarm: TestSwarm
  let asked: number
  let question = 0
  beforeEach(() => {
    swarm = new TestSwarm()
    asked = 0
  })
  afterEach(() => swarm.close())

  /** A member that answers as it likes. */
  async function rogue(answers: RogueAnswers): Promise<MemoryNetwork> {
    return await swarm.addRogue(network => serveAsRogue(network, answers))
  }

  function serveAsRogue(network: MemoryNetwork, answers: RogueAnswers): void {
    const { record, reply, stream } = answers
    network.serve(recordProtocol, async (body, _, { signal }) => {
      asked += 1
      if (reply !== undefined) return reply(body)
      const all = decodeKeys(body).map(key => record(key, signal))
      return encodeAnswers(await Promise.all(all))
    })
    network.serve(directoryProtocol, async () => encodeFindReply([]))
    if (stream === undefined) return
    network.serveStream(recordStreamProtocol, stream)
    network.serveStream(flightProtocol, stream)
  }

  /** The engine answers, rightly and without delay but the head start; then time passes. */
  async function engineAnswers(node: SwarmNode, ms = headStartMs): Promise<Reply> {
    question += 1
    const reply = await swarm.ask(node, `question ${question}`)
    assert.equal(reply.source, 'engine')
    assert.ok(reply.ms <= ms, `${reply.ms} ms`)
    await swarm.clock.run(peerSearchMsMax + peerAnswerTimeoutMs)
    return reply
  }

  /** Up to what an hour's half-life has forgiven meanwhile. */
  function assertScore(node: SwarmNode, { self }: MemoryNetwork, score: number): void {
    const seen = node.reputation.scoreOf(self)
    assert.ok(seen >= score && seen < score * 0.9, `score ${seen}, not ${score}`)
  }

  const nothing: RogueAnswers['record'] = () => ({ type: 'none' })
  const large: RogueAnswers['record'] = () => ({ type: 'large' })

  it('garbage instead of a reply costs reputation, and quarantine when it goes on', async () => {
    const b = await swarm.add()
    const replies = [
      new Uint8Array(0),
      Uint8Array.of(9, 9, 9),
      Uint8Array.of(0),
      Uint8Array.of(0, 0, 0),
      Uint8Array.of(1, 255, 255, 255, 255, 1),
    ]
    const r = await rogue({
      record: nothing,
      reply: () => replies[asked % 5] ?? replies[0] ?? new Uint8Array(0),
    })
    for (let round = 0; round < 8; round++) await engineAnswers(b)
    assert.ok(b.reputation.isQuarantined(r.self))
    assert.equal(asked, 3, 'and is not asked any more')
    assert.equal(b.counts.get('failed peer_message_invalid'), 3)
    assert.equal(b.sharing.answers.hasPeers, false)
  })

  it('wrong records cost more: the second leads to quarantine', async () => {
    const b = await swarm.add()
    const r = await rogue({
      record: () => ({ type: 'record', bytes: new Uint8Array(300).fill(1) }),
    })
    await engineAnswers(b)
    assert.ok(b.reputation.isQuarantined(r.self), 'for both keys it sent one')
    assert.equal(b.counts.get('checked unreadable'), 2)
    assert.equal(b.counts.get('received'), undefined)
    await engineAnswers(b)
    assert.equal(asked, 1)
  })

  it('a right record for another key is a wrong one', async () => {
    const [a, b] = await swarm.addMany(2)
    assert.ok(a && b)
    const other = await swarm.ask(a, 'something else')
    const bytes = a.store.peek(lookupOf(other))?.bytes
    assert.ok(bytes)
    const r = await rogue({ record: () => ({ type: 'record', bytes }) })
    await engineAnswers(b)
    assert.ok(b.reputation.isQuarantined(r.self))
    assert.equal(b.reputation.scoreOf(a.self), 0)
  })

  it('stalling costs the head start once, and reputation once per message', async () => {
    const b = await swarm.add()
    const r = await rogue({ record: (_, signal) => stalled(signal) })
    const burst = Array.from({ length: 20 }, (_, index) => b.ask(`burst ${index}`))
    const replies = await swarm.clock.settle(Promise.all(burst))
    assert.ok(replies.every(({ source, ms }) => source === 'engine' && ms === headStartMs))
    await swarm.clock.run(peerAnswerTimeoutMs)
    assertScore(b, r, -10)
    assert.equal(b.counts.get('peer lookup overtaken'), 20)
  })

  it('a good peer is not held up by one that stalls', async () => {
    const a = await swarm.add()
    const b = await swarm.add({ tokenMs: 1_000 })
    await rogue({ record: (_, signal) => stalled(signal) })
    await swarm.ask(a, 'known')
    const reply = await swarm.ask(b, 'known')
    assert.deepEqual([reply.source, reply.ms], ['peer', 2 * latencyMs])
  })

  describe('that promise a large record', () => {
    const streams: readonly (readonly [string, StreamHandler, number, string])[] = [
      ['and send nothing', async function* () {}, -2, 'refused'],
      [
        'and stall',
        // biome-ignore lint/correctness/useYield: it never gets so far
        async function* (_body, _from, { signal }) {
          await stalled(signal)
        },
        -10,
        'timeout',
      ],
      [
        'and close in the middle',
        async function* () {
          yield new Uint8Array(1_000)
          throw new Error('closed')
        },
        -5,
        'failed',
      ],
      [
        'and send too much',
        async function* () {
          const piece = new Uint8Array(512 * 1024)
          for (let sent = 0; sent <= sealedRecordBytesMax; sent += piece.length) yield piece
        },
        -40,
        'invalid',
      ],
      [
        'and send crumbs without end',
        async function* () {
          for (;;) yield Uint8Array.of(1)
        },
        -40,
        'invalid',
      ],
      [
        'and send garbage',
        async function* () {
          yield new Uint8Array(1_000)
        },
        -60,
        'bad record',
      ],
    ]
    for (const [name, stream, score, event] of streams) {
      it(`${name} (${event})`, async () => {
        const b = await swarm.add({ tokenMs: 6_000 })
        const onlyComplete = new Set<LookupKey>()
        const r = await rogue({
          record: key => {
            // Of the two keys of a look-up, the first.
            if (onlyComplete.size === 0) onlyComplete.add(key)
            return { type: onlyComplete.has(key) ? 'large' : 'none' }
          },
          stream,
        })
        const reply = await swarm.ask(b, 'large')
        assert.equal(reply.source, 'engine')
        assertScore(b, r, score)
      })
    }

    it('and send it slowly lose the race', async () => {
      const b = await swarm.add({ tokenMs: 100 })
      let sent = 0
      const { clock } = swarm
      await rogue({
        record: large,
        stream: async function* (_body, _from, { signal }) {
          for (; ; sent++) {
            await delay(clock, 1_000, signal)
            yield new Uint8Array(1_024)
          }
        },
      })
      const reply = await swarm.ask(b, 'slowly')
      assert.equal(reply.source, 'engine')
      await clock.run(30_000)
      assert.ok(sent <= 2, 'and are told to stop')
    })
  })

  it('takes large records from one peer at a time, and from the next when that one fails', async () => {
    const a = await swarm.add()
    const b = await swarm.add({ tokenMs: 1e6 })
    const known = await swarm.ask(a, 'large')
    const bytes = a.store.peek(lookupOf(known))?.bytes
    assert.ok(bytes)
    swarm.kill(a)
    const log: string[] = []
    const first = await rogue({
      record: key => ({ type: key === lookupOf(known) ? 'large' : 'none' }),
      stream: async function* () {
        log.push('broken begins')
        yield new Uint8Array(10)
        log.push('broken ends')
        throw new Error('broken')
      },
    })
    await rogue({
      record: key => ({ type: key === lookupOf(known) ? 'large' : 'none' }),
      stream: async function* () {
        log.push('good begins')
        yield bytes
      },
    })
    const reply = await swarm.ask(b, 'large')
    assert.equal(reply.source, 'peer')
    assert.deepEqual(log, ['broken begins', 'broken ends', 'good begins'])
    assertScore(b, first, -5)
  })

  it('a promise to be computing it holds nobody for much longer than computing it takes', async () => {
    const b = await swarm.add()
    const promise = { leftMs: 0xffff_ffff }
    const r = await rogue({
      record: () => ({ type: 'in-flight', ...promise }),
      // biome-ignore lint/correctness/useYield: it never gets so far
      stream: async function* (_body, _from, { signal }) {
        await stalled(signal)
      },
    })
    await engineAnswers(b)
    for (promise.leftMs of [0, 4_000, 7_000]) {
      const before = b.reputation.scoreOf(r.self)
      const reply = await engineAnswers(b, headStartMs + 7_500)
      assert.ok(reply.ms > promise.leftMs, `${reply.ms} ms`)
      assert.ok(b.reputation.scoreOf(r.self) < before, 'and costs reputation each time')
    }
  })

  it('asks the next holder after a failure, and beside one that stalls', async () => {
    const a = await swarm.add()
    const [b] = await swarm.addMany(9, { tokenMs: 1e6 })
    assert.ok(b)
    const reply = await swarm.clock.settle(a.ask('held'))
    await swarm.clock.settle(a.drained())
    const holders: PeerId[] = []
    // They announce themselves through the nodes' own directories.
    for (const record of [nothing, (_: LookupKey, signal: AbortSignal) => stalled(signal)]) {
      const liar = await rogue({ record })
      holders.push(liar.self)
    }
    await swarm.clock.run(3_000)
    const { directory } = b
    const find = directory.find.bind(directory)
    directory.find = async function* (key, options) {
      if (key === lookupOf(reply)) yield* holders
      yield* find(key, options)
    }
    const found = await swarm.ask(b, 'held')
    assert.equal(found.source, 'peer')
    assert.ok(found.ms < 300, `${found.ms} ms`)
    assert.equal(found.text, reply.text)
  })

  it('30 % of the nodes die during look-ups: no wrong answer, no hang', async () => {
    const nodes = await swarm.addMany(14, { tokenMs: 3 })
    const [client, ...others] = nodes
    assert.ok(client)
    const right = new Map<string, string>()
    for (let index = 0; index < 40; index++) {
      const holder = others[index % others.length]
      assert.ok(holder)
      right.set(`question ${index}`, (await swarm.ask(holder, `question ${index}`)).text)
    }
    await swarm.clock.run(3_000)
    const asks = [...right.keys()].map(async text => [text, await client.ask(text)] as const)
    swarm.clock.after(25, () => {
      for (const node of others.slice(0, 4)) swarm.kill(node)
    })
    const replies = await swarm.clock.settle(Promise.all(asks))
    for (const [text, reply] of replies) assert.equal(reply.text, right.get(text))
    const fromPeers = replies.filter(([, { source }]) => source === 'peer').length
    assert.ok(fromPeers >= 20, `${fromPeers} of 40 from peers`)
    for (const [, { ms }] of replies) assert.ok(ms < 5_000, `${ms} ms`)
  })

  it('a node that leaves its swarm during look-ups answers them by its engine', async () => {
    const a = await swarm.add({ tokenMs: 10 })
    await rogue({ record: (_, signal) => stalled(signal) })
    const asks = ['one', 'two', 'three'].map(text => a.ask(text))
    await swarm.clock.run(headStartMs / 2)
    await swarm.clock.settle(a.sharing.stop())
    await swarm.clock.settle(a.network.stop())
    const replies = await swarm.clock.settle(Promise.all(asks))
    assert.deepEqual(
      replies.map(({ source }) => source),
      ['engine', 'engine', 'engine'],
    )
    await swarm.clock.settle(a.drained())
    assert.equal([...a.store.list()].length, 3, 'kept, though not shared')
    assert.deepEqual(
      swarm.logged.filter(({ level }) => level === 'warn' || level === 'error'),
      [],
    )
  })

  it('messages that are lost cost time and nothing else', async () => {
    swarm = new TestSwarm({ lossRatio: 0 })
    const [a, b] = await swarm.addMany(2, { tokenMs: 5 })
    assert.ok(a && b)
    const right = await swarm.ask(a, 'lossy')
    swarm.world.freeze(a.self)
    const reply = await swarm.ask(b, 'lossy')
    assert.deepEqual([reply.source, reply.text], ['engine', right.text])
    swarm.world.thaw(a.self)
  })
})
