import assert from 'node:assert/strict'
import { afterEach, beforeEach, describe, it } from 'node:test'
import fc from 'fast-check'
import type { ProtocolName } from '../../../interface/network.ts'
import type { LookupKey } from '../../../key/response-key.ts'
import { localScope, type SwarmTag } from '../../../key/scope.ts'
import {
  answerBytesMax,
  GiB,
  messageBytesMax,
  recordKeysMax,
  servedPerPeerBytesMax,
  streamPieceBytes,
} from '../../../limits.ts'
import type { MemoryNetwork } from '../../../net/memory-network.ts'
import { MemoryStore } from '../../../store/memory-store.ts'
import { decodeAnswers, encodeKeys } from '../../../wire/record-messages.ts'
import { testSecret } from '../../test-cache.ts'
import { lookupOf, type SwarmNode, scope, TestSwarm } from '../test-swarm.ts'
import { flightProtocol, recordProtocol, recordStreamProtocol } from './protocols.ts'

const missing = 'ab'.repeat(32) as LookupKey

describe('RecordServer', () => {
  let swarm: TestSwarm
  let node: SwarmNode
  let asker: MemoryNetwork
  let peeked: LookupKey[]
  beforeEach(async () => {
    swarm = new TestSwarm()
    peeked = []
    const store = new MemoryStore({ clock: swarm.clock }, { bytesMax: GiB })
    const peek = store.peek.bind(store)
    store.peek = key => {
      peeked.push(key)
      return peek(key)
    }
    node = await swarm.add({ store })
    asker = await swarm.addRogue(() => undefined)
  })
  afterEach(() => swarm.close())

  function request(body: Uint8Array): Promise<Uint8Array> {
    const options = { signal: new AbortController().signal, timeoutMs: 1_000 }
    return swarm.clock.settle(asker.request(node.self, recordProtocol, body, options))
  }

  async function stream(
    body: Uint8Array,
    protocol: ProtocolName = recordStreamProtocol,
  ): Promise<readonly Uint8Array[]> {
    const { signal } = new AbortController()
    const pieces = Array.fromAsync(asker.openStream(node.self, protocol, body, { signal }))
    return await swarm.clock.settle(pieces)
  }

  /** A shared record of so many bytes; what is in it is nobody's business here. */
  async function put(key: LookupKey, bytes: number): Promise<Uint8Array> {
    const record = Buffer.alloc(bytes, key)
    const meta = { costSeconds: 1, createdAt: swarm.clock.now(), fieldDigests: {} }
    const expiresAt = swarm.clock.now() + 3_600_000
    await node.store.put(key, { bytes: record, meta: { ...meta, expiresAt } })
    node.sharing.shared.add([key])
    return record
  }

  it('says of a private answer exactly what it says of none, without looking it up', async () => {
    const local = localScope(testSecret, undefined)
    const key = lookupOf(await swarm.ask(node, 'private', { scope: local }))
    assert.ok(node.store.get(key))
    peeked = []
    assert.deepEqual(await request(encodeKeys([key])), await request(encodeKeys([missing])))
    assert.deepEqual(await stream(encodeKeys([key])), await stream(encodeKeys([missing])))
    assert.deepEqual(await stream(encodeKeys([key]), flightProtocol), [])
    assert.deepEqual(peeked, [], 'the store is not even asked')
  })

  it('says nothing of a private answer that is being computed', async () => {
    const slow = await swarm.add({ tokenMs: 100 })
    const local = localScope(testSecret, undefined)
    const reply = slow.ask('private', { scope: local })
    await swarm.clock.run(150)
    assert.equal(slow.sharing.flights.count, 0)
    await swarm.clock.settle(reply)
  })

  it('gives records within one reply, and larger ones in pieces', async () => {
    const small = await put('01'.repeat(32) as LookupKey, 100_000)
    const large = await put('02'.repeat(32) as LookupKey, 3 * streamPieceBytes + 1)
    const keys = ['01', '02', '01', '01', 'ab'].map(byte => byte.repeat(32) as LookupKey)
    const answers = decodeAnswers(await request(encodeKeys(keys)), 5)
    assert.deepEqual(
      answers.map(({ type }) => type),
      ['record', 'large', 'large', 'large', 'none'],
    )
    assert.ok(answers[0]?.type === 'record')
    assert.deepEqual(Buffer.from(answers[0].bytes), small)
    const pieces = await stream(encodeKeys(keys.slice(1, 2)))
    assert.deepEqual(
      pieces.map(piece => piece.length),
      [streamPieceBytes, streamPieceBytes, streamPieceBytes, 1],
    )
    assert.deepEqual(Buffer.concat(pieces), large)
    const { servedAnswers, servedBytes } = node.sharing.ledger.of(asker.self)
    assert.deepEqual([servedAnswers, servedBytes], [2, small.length + large.length])
  })

  it('answers whatever it is sent with a failure at most, and remembers who sent it', async () => {
    const body = fc.oneof(
      fc.uint8Array({ maxLength: 200 }),
      fc.uint8Array({ minLength: 32 * recordKeysMax - 1, maxLength: 32 * recordKeysMax + 64 }),
    )
    const protocols = fc.constantFrom(recordProtocol, recordStreamProtocol, flightProtocol)
    await fc.assert(
      fc.asyncProperty(body, protocols, async (bytes, protocol) => {
        const count = bytes.length / 32
        const keysMax = protocol === recordProtocol ? recordKeysMax : 1
        const isRight = Number.isInteger(count) && count > 0 && count <= keysMax
        const answer = protocol === recordProtocol ? request(bytes) : stream(bytes, protocol)
        if (isRight) await answer
        else await assert.rejects(answer, { code: 'peer_failed' })
      }),
      { numRuns: 100, seed: 7 },
    )
    assert.ok(node.reputation.isQuarantined(asker.self))
    assert.deepEqual(
      swarm.logged.filter(({ level }) => level === 'error'),
      [],
    )
    await put(missing, 10)
    assert.equal(decodeAnswers(await request(encodeKeys([missing])), 1)[0]?.type, 'record')
  })

  it('costs the sender reputation once per message', async () => {
    await assert.rejects(request(new Uint8Array(33)), { code: 'peer_failed' })
    assert.equal(node.reputation.scoreOf(asker.self) < -35, true)
    await assert.rejects(request(new Uint8Array(messageBytesMax)), { code: 'peer_failed' })
    assert.equal(node.reputation.scoreOf(asker.self) < -75, true)
  })

  it('holds no more for a reader that takes its time than for two', async () => {
    const key = '03'.repeat(32) as LookupKey
    await put(key, answerBytesMax)
    const { signal } = new AbortController()
    const slow = Array.from({ length: servedPerPeerBytesMax / answerBytesMax }, () =>
      asker
        .openStream(node.self, recordStreamProtocol, encodeKeys([key]), { signal })
        [Symbol.asyncIterator](),
    )
    for (const reader of slow) await swarm.clock.settle(reader.next())
    await assert.rejects(stream(encodeKeys([key])), { code: 'peer_overloaded' })
    const other = await swarm.addRogue(() => undefined)
    const open = other.openStream(node.self, recordStreamProtocol, encodeKeys([key]), { signal })
    assert.equal((await swarm.clock.settle(Array.fromAsync(open))).length, 128, 'others go on')
    for (const reader of slow) void reader.return?.(undefined)
    await swarm.clock.run(100)
    assert.equal((await stream(encodeKeys([key]))).length, 128, 'and it may again')
  })

  it('withdraws what its store has no more', async () => {
    await put(missing, 10)
    await node.store.remove(missing)
    assert.equal(decodeAnswers(await request(encodeKeys([missing])), 1)[0]?.type, 'none')
    assert.equal(node.sharing.shared.has(missing), false)
  })

  it('stores with each answer which swarm may have it', async () => {
    const shared = lookupOf(await swarm.ask(node, 'shared'))
    const local = localScope(testSecret, undefined)
    const own = lookupOf(await swarm.ask(node, 'own', { scope: local }))
    const swarmOf = (key: LookupKey): SwarmTag | undefined => node.store.peek(key)?.meta.swarm
    assert.equal(swarmOf(shared), scope.swarm)
    assert.equal(swarmOf(own), undefined)
  })
})
