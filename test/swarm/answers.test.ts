import assert from 'node:assert/strict'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { CapturedTerminal } from '../../src/cli/captured-terminal.ts'
import { exitCodes } from '../../src/cli/exit-code.ts'
import { runCli } from '../../src/cli/program.ts'
import { silentLog } from '../../src/interface/log.ts'
import { lookupKey, parseResponseKey } from '../../src/key/response-key.ts'
import { GiB } from '../../src/limits.ts'
import { systemClock } from '../../src/std/clock.ts'
import { LmdbStore } from '../../src/store/lmdb-store.ts'
import { type BedNode, type BedReply, receiptOf } from './bed-node.ts'
import { chat, chatPath, messages, messagesPath, responses, responsesPath } from './questions.ts'
import { issued, shares, testBed, until } from './test-bed.ts'

/** Long enough to compute that whoever asks a peer gets it from there, on any machine. */
const holdMs = 5_000

describe('an answer in a swarm of three', () => {
  it('is computed once, and outlives who computed it', async test => {
    const bed = testBed(test)
    const a = await bed.start({ engine: 'demo' })
    const [b, c] = await Promise.all([
      bed.start({ engine: 'demo', peers: [a] }),
      bed.start({ engine: 'demo', peers: [a] }),
    ])
    await bed.connected([a, b, c])
    // A prompt that takes the demo model longer to read than a peer to answer.
    const question = `${'Hyperspace keeps what was computed. '.repeat(100)}What is a KV cache?`
    const computed = await a.ask(chatPath, chat(question, 'tiny-chat'))
    assert.equal(computed.source, 'engine', computed.body)
    await issued(a, 1)

    const onB = await b.ask(messagesPath, messages(question, 'tiny-chat'))
    assert.equal(onB.source, 'peer', onB.body)
    assert.equal(onB.text, computed.text)
    assert.equal(receiptOf(onB).issuer, a.peerId)
    const again = await b.ask(messagesPath, messages(question, 'tiny-chat'))
    assert.equal(again.source, 'memory')
    assert.equal(again.text, computed.text)
    await shares(b, 1)
    const onA = await a.ask(chatPath, chat(question, 'tiny-chat'))
    assert.equal(onA.receipt, onB.receipt, 'and by A itself')

    await a.kill()
    await until(c, 'end of A', ({ peers }) => peers.every(({ id }) => id !== a.peerId))
    const onC = await c.ask(responsesPath, responses(question, 'tiny-chat'))
    assert.equal(onC.source, 'peer', onC.body)
    assert.equal(onC.text, computed.text)
    assert.equal(onC.receipt, onB.receipt, 'passed on unchanged')
    const served = (await b.swarm()).peers.find(({ id }) => id === c.peerId)?.servedAnswers
    assert.equal(served, 1)

    await shares(c, 1)
    const verified = await verifyReceipt(c, onC)
    assert.equal(verified.code, exitCodes.ok, verified.said)
    assert.ok(verified.said.includes(a.peerId), verified.said)
    await c.stop()
    await flipByte(c, onC)
    const refused = await verifyReceipt(c, onC)
    assert.equal(refused.code, exitCodes.verification, refused.said)
    assert.match(refused.said, /altered/, 'and why')
  })

  it('is not found, nor its existence, when it was asked for in the local scope', async test => {
    const bed = testBed(test)
    const a = await bed.start()
    const b = await bed.start({ peers: [a] })
    await bed.connected([a, b])
    const local = { 'x-hyperspace-scope': 'local' }
    const question = chat('Between me and my node')
    const kept = await a.ask(chatPath, question, local)
    assert.equal(kept.source, 'engine')
    assert.equal((await a.ask(chatPath, question, local)).source, 'memory')
    assert.equal((await b.ask(chatPath, question, local)).source, 'engine')
    assert.equal((await b.ask(chatPath, question)).source, 'engine')
    // B shares its own by now; of A's there is nothing to be seen.
    await issued(b, 1)
    assert.equal((await a.swarm()).sharedAnswers, 0)
    assert.deepEqual(await holdersOf(b, kept), [])
  })

  it('is not served from a peer whose copy has a changed byte', async test => {
    const bed = testBed(test)
    const a = await bed.start()
    const c = await bed.start({ peers: [a], holdMs })
    await bed.connected([a, c])
    const question = chat('What did Merkle invent?')
    const right = await a.ask(chatPath, question)
    await issued(a, 1)
    assert.equal((await c.ask(chatPath, question)).source, 'peer')
    await shares(c, 1)
    await Promise.all([a.kill(), c.stop()])
    await flipByte(c, right)

    const liar = await bed.restart(c)
    const d = await bed.start({ peers: [liar], holdMs: 500 })
    await bed.connected([d, liar])
    assert.equal((await liar.swarm()).sharedAnswers, 1)
    const onD = await d.ask(chatPath, question)
    assert.equal(onD.source, 'engine', 'not what C sent')
    assert.equal(onD.text, right.text)
    const { peers } = await d.swarm()
    assert.ok((peers[0]?.reputation ?? 0) < 0, 'which is remembered')

    await issued(d, 1)
    const onC = await liar.ask(chatPath, question)
    assert.equal(onC.source, 'peer', 'its own copy does not open')
    assert.equal(onC.text, right.text)
  })
})

describe('five nodes that know one address', () => {
  it('find each other, and any of them what any other has', async test => {
    const bed = testBed(test)
    const first = await bed.start({ holdMs })
    const rest = await bed.startMany(3, { peers: [first], holdMs })
    const provider = await bed.start({ peers: [first] })
    const question = chat('Who told whom?')
    const right = await provider.ask(chatPath, question)
    await issued(provider, 1)
    const nodes = [first, ...rest, provider]
    await bed.connected(nodes)
    for (const node of [first, ...rest]) {
      const reply = await node.ask(chatPath, question)
      assert.equal(reply.source, 'peer', `${node.name}: ${reply.body}`)
      assert.equal(reply.text, right.text)
      assert.equal(receiptOf(reply).issuer, provider.peerId)
    }
  })
})

describe('a node whose swarm is nobody but itself', () => {
  it('works as before', async test => {
    const bed = testBed(test)
    // An address where nobody is: it is tried again and again, and nobody waits for it.
    const nobody = '/ip4/127.0.0.1/tcp/9/p2p/12D3KooWFBFFJ4vjAX4co5TKvMcsjd5MPRXzrbFpz2itnCUG8qtF'
    const node = await bed.start({ peers: [nobody] })
    const question = chat('Is anybody there?')
    const first = await node.ask(chatPath, question)
    assert.equal(first.source, 'engine')
    assert.equal((await node.ask(chatPath, question)).source, 'memory')
    await issued(node, 1)
    assert.deepEqual((await node.swarm()).peers, [])
    await node.stop()
    const again = await bed.restart(node)
    const stored = await again.ask(chatPath, question)
    assert.equal(stored.source, 'disk')
    assert.equal(stored.text, first.text)
    assert.equal(receiptOf(stored).issuer, node.peerId)
  })
})

/** `hyperspace receipt verify KEY` on a node's data folder. */
async function verifyReceipt(
  node: BedNode,
  { headers }: BedReply,
): Promise<{ readonly code: number; readonly said: string }> {
  const key = headers.get('x-hyperspace-key') ?? ''
  const terminal = new CapturedTerminal()
  const code = await runCli(['receipt', 'verify', key, '--data', node.data], terminal)
  return { code, said: terminal.out + terminal.err }
}

/** Who says that they hold the answer of a reply. */
async function holdersOf(node: BedNode, { headers }: BedReply): Promise<unknown> {
  const { body } = await node.admin('GET', `/admin/find/${headers.get('x-hyperspace-key')}`)
  return typeof body === 'object' && body !== null && 'holders' in body ? body.holders : body
}

/**
 * Changes what a stopped node has stored of an answer, as its owner could: the checksum is right.
 */
async function flipByte(node: BedNode, { headers }: BedReply): Promise<void> {
  const response = parseResponseKey(headers.get('x-hyperspace-key') ?? '')
  assert.ok(response !== undefined)
  const key = lookupKey(response)
  const folder = join(node.data, 'records')
  const store = new LmdbStore({ clock: systemClock, log: silentLog }, { folder, bytesMax: GiB })
  const { signal } = new AbortController()
  await store.start({ signal })
  try {
    const record = store.peek(key)
    assert.ok(record !== undefined)
    const bytes = Uint8Array.from(record.bytes)
    const middle = bytes.length >> 1
    bytes[middle] = (bytes[middle] ?? 0) ^ 1
    await store.put(key, { bytes, meta: record.meta })
  } finally {
    await store.stop()
  }
}
