import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { lookupKey, parseResponseKey } from '../../src/key/response-key.ts'
import type { BedNode, BedReply } from './bed-node.ts'
import { Capture, captureHindrance } from './capture.ts'
import { chat, chatPath } from './questions.ts'
import { RecordingProxy } from './recording-proxy.ts'
import { portOf } from './stranger.ts'
import { issued, type TestBed, testBed } from './test-bed.ts'
import { type Secret, tracesOf } from './traces.ts'

const prompt = 'The merger with Initech is called off, tell nobody before Thursday'

/** What must not show of an exchange. */
function secretsOf(bed: TestBed, { text, headers }: BedReply): readonly Secret[] {
  const key = parseResponseKey(headers.get('x-hyperspace-key') ?? '')
  assert.ok(key !== undefined)
  assert.ok(text.includes(prompt), 'the fake engine repeats the prompt')
  return [
    { name: 'prompt', bytes: Buffer.from(prompt) },
    { name: 'words of the prompt', bytes: Buffer.from('merger with Initech') },
    { name: 'completion', bytes: Buffer.from(text) },
    { name: 'response key', bytes: Buffer.from(key, 'hex') },
    { name: 'look-up key', bytes: Buffer.from(lookupKey(key), 'hex') },
    { name: 'swarm secret', bytes: bed.secret },
  ]
}

/** One node computes, the other gets it; returns what neither may show. */
async function exchange(bed: TestBed, a: BedNode, b: BedNode): Promise<readonly Secret[]> {
  const own = await a.ask(chatPath, chat(prompt))
  await issued(a, 1)
  const found = await b.ask(chatPath, chat(prompt))
  assert.equal(found.source, 'peer')
  assert.equal(found.text, own.text)
  return secretsOf(bed, own)
}

describe('who sees every byte between two nodes', () => {
  it('learns no prompt, completion, key or secret, sitting in the middle', async test => {
    const bed = testBed(test)
    const a = await bed.start()
    const proxy = await RecordingProxy.start(portOf(a.address))
    test.after(() => proxy.close())
    const address = a.address.replace(/\/tcp\/\d+/, `/tcp/${proxy.port}`)
    const b = await bed.start({ peers: [address], holdMs: 10_000 })
    await bed.connected([a, b])
    const before = proxy.bytes().length
    const secrets = await exchange(bed, a, b)
    const seen = proxy.bytes()
    assert.ok(seen.includes('hsp1'), 'it saw the handshake')
    assert.ok(seen.length - before > 500, 'and the answer pass')
    assert.deepEqual(tracesOf(secrets, seen), [])
  })

  it('learns as little with tcpdump', { skip: captureHindrance() ?? false }, async test => {
    const bed = testBed(test)
    const a = await bed.start()
    const capture = await Capture.start([portOf(a.address)])
    test.after(() => capture.stop())
    const b = await bed.start({ peers: [a], holdMs: 10_000 })
    await bed.connected([a, b])
    const before = capture.size
    const secrets = await exchange(bed, a, b)
    await b.stop()
    const seen = await capture.stop()
    assert.ok(seen.includes('hsp1'), 'it saw the handshake')
    assert.ok(seen.length - before > 500, 'and the answer pass')
    assert.deepEqual(tracesOf(secrets, seen), [])
  })
})

describe('tracesOf()', () => {
  it('finds a secret in every form', () => {
    const bytes = Buffer.from('a secret of some length')
    const secrets = [{ name: 'it', bytes }]
    for (let shift = 0; shift < 4; shift++) {
      const around = Buffer.concat([Buffer.alloc(shift, 1), bytes, Buffer.alloc(5, 2)])
      for (const encoding of ['latin1', 'hex', 'base64', 'base64url'] as const) {
        const seen = Buffer.from(around.toString(encoding), 'latin1')
        assert.notDeepEqual(tracesOf(secrets, seen), [], `${encoding}, ${shift}`)
      }
    }
    assert.deepEqual(tracesOf(secrets, Buffer.from('a secret of another length')), [])
  })
})
