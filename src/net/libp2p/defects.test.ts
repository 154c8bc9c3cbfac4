import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { describe, it, type TestContext } from 'node:test'
import type { Stream } from '@libp2p/interface'
import { tcp } from '@libp2p/tcp'
import { tls } from '@libp2p/tls'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import { MiB, streamsPerPeerMax } from '../../limits.ts'
import { nextTurn } from '../../std/turn.ts'
import { FrameWriter } from '../session/frame-writer.ts'
import { PeerMeasures } from '../session/measures.ts'
import { StreamChannel } from './stream-channel.ts'
import { addressOf, peerChanged, started, testNetwork } from './test-nodes.ts'

/** Regression tests of docs/decisions/0004-libp2p-workarounds.md, by its numbers. */

const protocol = '/hyperspace/test/1'
const { signal } = new AbortController()
const none = new Uint8Array(0)

async function pair(context: TestContext, prepare: (b: ReturnType<typeof testNetwork>) => void) {
  const a = testNetwork()
  const b = testNetwork()
  prepare(b)
  await started(context, a, b)
  await a.connect(addressOf(b), { signal })
  return [a, b] as const
}

/** Both ends of one stream of the bare library. */
async function bareStream(context: TestContext): Promise<readonly [Stream, Stream]> {
  const create = async () =>
    await createLibp2p({
      addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
      transports: [tcp()],
      connectionEncrypters: [tls()],
      streamMuxers: [yamux()],
      connectionMonitor: { enabled: false },
    })
  const nodes = [await create(), await create()] as const
  context.after(() => Promise.all(nodes.map(node => node.stop())))
  const accepted = Promise.withResolvers<Stream>()
  await nodes[0].handle(protocol, stream => accepted.resolve(stream))
  const [address] = nodes[0].getMultiaddrs()
  const stream = await nodes[1].dialProtocol(multiaddr(String(address)), protocol)
  return [stream, await accepted.promise]
}

describe('defects of the library', () => {
  it('1: what waits to be sent waits here, not in the stream, whose onDrain() is broken', async context => {
    const [near, far] = await bareStream(context)
    const channel = new StreamChannel(near, new PeerMeasures())
    const writer = new FrameWriter(channel)
    let received = 0
    far.addEventListener('message', ({ data }) => {
      received += data.byteLength
    })
    let most = 0
    for (let index = 0; index < 64; index++) {
      writer.write({ type: 'message', id: 0, body: new Uint8Array(MiB / 2) })
      most = Math.max(most, near.writeBufferLength)
      if (index % 8 === 7) await writer.flushed()
    }
    await writer.flushed()
    most = Math.max(most, near.writeBufferLength)
    while (received < 32 * MiB) await nextTurn()
    assert.ok(most <= MiB, `${most} bytes in the stream's own buffer`)
  })

  it('2, 3: a slow reader holds eight messages, and its stream lives', async context => {
    let made = 0
    const [a, b] = await pair(context, node => {
      node.serveStream(protocol, async function* () {
        for (; made < 24; made++) yield new Uint8Array(MiB)
      })
      node.serve(protocol, async body => body)
    })
    let taken = 0
    for await (const message of a.openStream(b.self, protocol, none, { signal })) {
      assert.equal(message.length, MiB)
      taken += 1
      // The round trips give the sender time to run ahead as far as it can.
      for (let round = 0; round < 4; round++) {
        await a.request(b.self, protocol, none, { signal, timeoutMs: 10_000 })
      }
      assert.ok(made <= taken + 9, `${made} made, ${taken} taken`)
    }
    assert.equal(taken, 24)
  })

  it('1, 2, 4, 5: the broken calls are not used', () => {
    const folder = new URL('..', import.meta.url)
    const files = readdirSync(folder, { recursive: true, encoding: 'utf8' })
    for (const file of files.filter(name => name.endsWith('.ts') && !name.includes('test'))) {
      const code = readFileSync(new URL(file, folder), 'utf8').replaceAll(
        /\/\*[\s\S]*?\*\/|\/\/.*/g,
        '',
      )
      assert.doesNotMatch(
        code,
        /\b(?:stream|connection)\.(?:pause|resume)\(|onDrain\(|byteStream|lpStream|pbStream/,
        file,
      )
      assert.doesNotMatch(code, /initialStreamWindowSize|quic|preSharedKey|webRTCDirect/, file)
      assert.doesNotMatch(code, /for await \(const .* of (?:this\.#)?stream\)/, file)
    }
  })

  it('8: a hundred streams at once all work, and one too many fails aloud', async context => {
    const gate = Promise.withResolvers<void>()
    const [a, b] = await pair(context, node => {
      node.serveStream(protocol, async function* (body) {
        yield body
        await gate.promise
        yield body
      })
    })
    const readers = await Promise.all(
      Array.from({ length: streamsPerPeerMax }, async (_, index) => {
        const reader = a.openStream(b.self, protocol, Uint8Array.of(index), { signal })
        assert.deepEqual((await reader.next()).value, Uint8Array.of(index))
        return reader
      }),
    )
    await assert.rejects(a.openStream(b.self, protocol, none, { signal }).next(), {
      code: 'peer_overloaded',
    })
    gate.resolve()
    for (const [index, reader] of readers.entries()) {
      assert.deepEqual((await reader.next()).value, Uint8Array.of(index))
      assert.equal((await reader.next()).done, true)
    }
  })

  it('9: requests are answered while a stream sends as fast as it can', async context => {
    let isSending = true
    const [a, b] = await pair(context, node => {
      node.serve(protocol, async body => body)
      node.serveStream(protocol, async function* () {
        for (let index = 0; index < 128; index++) yield new Uint8Array(MiB / 2)
      })
    })
    const read = (async () => {
      for await (const _ of a.openStream(b.self, protocol, none, { signal }));
      isSending = false
    })()
    let answered = 0
    while (isSending) {
      await a.request(b.self, protocol, none, { signal, timeoutMs: 10_000 })
      answered += 1
    }
    await read
    assert.ok(answered >= 10, `${answered} answered meanwhile`)
  })

  it('10: twenty nodes of one address connect at once', async context => {
    const hub = testNetwork()
    const nodes = Array.from({ length: 20 }, () => testNetwork({ meshPeers: 0 }))
    await started(context, hub, ...nodes)
    await Promise.all(nodes.map(node => node.connect(addressOf(hub), { signal })))
    await Promise.all(nodes.map(node => peerChanged(hub, 'connected', node.self)))
    assert.equal(hub.peers().length, 20)
  })
})
