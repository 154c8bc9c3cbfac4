import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { describe, it, type TestContext } from 'node:test'
import { inboundPendingMax } from '../../src/limits.ts'
import type { BedNode } from './bed-node.ts'
import { chat, chatPath } from './questions.ts'
import { RecordingProxy } from './recording-proxy.ts'
import { portOf, Stranger } from './stranger.ts'
import { issued, type TestBed, testBed } from './test-bed.ts'

/** `hsp1` and a nonce: all that a node says before the other side has proved itself. */
const helloBytes = 36
const proofBytes = 32

async function stranger(test: TestContext, node: BedNode): Promise<Stranger> {
  const someone = await Stranger.connect(portOf(node.address))
  test.after(() => someone.close())
  return someone
}

/** Two members, and a third one is answered by them: the swarm works. */
async function answersMembers(bed: TestBed, node: BedNode, text: string): Promise<void> {
  const own = await node.ask(chatPath, chat(text))
  await issued(node, 1)
  const member = await bed.start({ peers: [node], holdMs: 10_000 })
  await bed.connected([member], 1)
  const found = await member.ask(chatPath, chat(text))
  assert.equal(found.source, 'peer')
  assert.equal(found.text, own.text)
  await member.stop()
}

describe('who does not know the secret', () => {
  it('gets a random number and nothing else', async test => {
    const bed = testBed(test)
    const node = await bed.start()
    const hellos = new Set<string>()
    for (const words of [
      Buffer.from('GET / HTTP/1.1\r\n\r\n'),
      randomBytes(64 * 1_024),
      Buffer.concat([Buffer.from('hsp1'), randomBytes(32 + proofBytes)]),
      Buffer.concat([Buffer.from('hsp1'), Buffer.alloc(32 + proofBytes)]),
    ]) {
      const someone = await stranger(test, node)
      await someone.heard(helloBytes)
      someone.say(words)
      await someone.ended
      assert.equal(someone.received.length, helloBytes)
      assert.equal(someone.received.subarray(0, 4).toString(), 'hsp1')
      hellos.add(someone.received.toString('hex'))
    }
    assert.equal(hellos.size, 4, 'a new number each time')
    assert.deepEqual((await node.swarm()).peers, [])
  })

  it('gets no further by sending a node’s own words back, or a member’s', async test => {
    const bed = testBed(test)
    const node = await bed.start()
    const reflected = await stranger(test, node)
    await reflected.heard(helloBytes)
    reflected.say(Buffer.concat([reflected.received, randomBytes(proofBytes)]))
    await reflected.ended
    assert.equal(reflected.received.length, helloBytes)

    const proxy = await RecordingProxy.start(portOf(node.address))
    test.after(() => proxy.close())
    const member = await bed.start({ peers: [through(node, proxy)] })
    await bed.connected([node, member])
    const [recording] = proxy.recordings
    assert.ok(recording !== undefined && recording.fromDialer.length > 1)
    const replay = await stranger(test, node)
    await replay.heard(helloBytes)
    replay.say(Buffer.concat(recording.fromDialer))
    await replay.ended
    assert.equal(replay.received.length, helloBytes)
    assert.equal((await node.swarm()).peers.length, 1)
  })

  it('with a whole node gets no connection, and no answer', async test => {
    const bed = testBed(test)
    const node = await bed.start()
    const question = chat('What do they know?')
    await node.ask(chatPath, question)
    await issued(node, 1)
    const other = await bed.start({ peers: [node], secret: new Uint8Array(32).fill(8) })
    await assert.rejects(other.connect(node.address), /secret|swarm/i)
    assert.equal((await other.ask(chatPath, question)).source, 'engine')
    assert.deepEqual((await other.swarm()).peers, [])
    assert.deepEqual((await node.swarm()).peers, [])
  })

  it('opens a thousand connections: few stay, and members are served', async test => {
    const bed = testBed(test)
    const node = await bed.start()
    const cpuBefore = cpuSecondsOf(node)
    const crowd = await Promise.all(Array.from({ length: 1_000 }, () => stranger(test, node)))
    const [first] = crowd
    await first?.heard(helloBytes)
    assert.equal((await node.ask(chatPath, chat('Still there?'))).status, 200)
    await answersMembers(bed, node, 'For members only')
    const held = crowd.filter(someone => someone.received.length > 0 && someone.isOpen)
    assert.ok(held.length <= inboundPendingMax, `${held.length} are held`)

    await Promise.all(crowd.map(someone => someone.ended))
    assert.ok(crowd.every(someone => someone.received.length <= helloBytes))
    test.diagnostic(`${(cpuSecondsOf(node) - cpuBefore).toFixed(2)} s of CPU, members included`)
    await answersMembers(bed, node, 'And afterwards')
  })
})

/** The address of a node as seen through a proxy. */
function through(node: BedNode, proxy: RecordingProxy): string {
  return node.address.replace(/\/tcp\/\d+/, `/tcp/${proxy.port}`)
}

/** As far as /proc tells. */
function cpuSecondsOf(node: BedNode): number {
  if (process.platform !== 'linux') return Number.NaN
  const fields = readFileSync(`/proc/${node.process.pid}/stat`, 'utf8').split(' ')
  return (Number(fields[13]) + Number(fields[14])) / 100
}
