import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { describe, it, type TestContext } from 'node:test'
import { until } from '../../../test/support/until.ts'
import type { PeerId } from '../../interface/network.ts'
import { inboundPendingPerAddressMax, KiB, MiB } from '../../limits.ts'
import { systemRandom } from '../../std/random.ts'
import { encodeFrame, type Frame } from '../../wire/frame.ts'
import { decodeDirectOffer } from '../direct/direct-offer.ts'
import { directProtocol } from '../direct/direct-path.ts'
import { forgedServer } from '../direct/test-direct.ts'
import { Identity } from '../identity.ts'
import type { Libp2pNetwork } from './libp2p-network.ts'
import { addressOf, peerChanged, portOf, started, testNetwork } from './test-nodes.ts'

const protocol = '/hyperspace/test/1'
const { signal } = new AbortController()
const none = new Uint8Array(0)

function serving(network: Libp2pNetwork, count = 4): Libp2pNetwork {
  network.serve(protocol, async body => body)
  network.serveBytes(protocol, async function* () {
    for (let index = 0; index < count; index++) yield new Uint8Array(256 * KiB).fill(index)
  })
  return network
}

async function bytesFrom(network: Libp2pNetwork, peer: PeerId): Promise<number> {
  let bytes = 0
  for await (const piece of network.openBytes(peer, protocol, none, { signal })) {
    bytes += piece.length
  }
  return bytes
}

function isDirect(network: Libp2pNetwork, peer: PeerId): boolean | undefined {
  return network.peers().find(({ id }) => id === peer)?.isDirect
}

/** Where a member takes the direct connections of another. */
async function directPort(asker: Libp2pNetwork, peer: PeerId): Promise<number> {
  const reply = await asker.request(peer, directProtocol, none, { signal, timeoutMs: 10_000 })
  const offer = decodeDirectOffer(reply)
  assert.ok(offer)
  return offer.port
}

/** A way to a node under another address, where its direct port is not. */
async function detour(context: TestContext, node: Libp2pNetwork, host: string): Promise<string> {
  const sockets: Socket[] = []
  const server = createServer(client => {
    const onward = connect(portOf(node), '127.0.0.1')
    sockets.push(client, onward)
    for (const socket of [client, onward]) socket.on('error', () => undefined)
    client.pipe(onward).pipe(client)
  })
  server.listen(0, host)
  await once(server, 'listening')
  context.after(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  const address = server.address()
  assert.ok(address !== null && typeof address === 'object')
  return `/ip4/${host}/tcp/${address.port}/p2p/${node.self}`
}

describe('the direct path', () => {
  it('carries bytes both ways, and is seen and measured', async context => {
    const [a, b] = [serving(testNetwork(), 16), serving(testNetwork(), 64)]
    await started(context, a, b)
    await a.connect(addressOf(b), { signal })
    await peerChanged(b, 'connected', a.self)
    assert.equal(await bytesFrom(a, b.self), 16 * MiB)
    assert.equal(await bytesFrom(a, b.self), 16 * MiB)
    assert.equal(await bytesFrom(b, a.self), 4 * MiB)
    assert.deepEqual([isDirect(a, b.self), isDirect(b, a.self)], [true, true])
    assert.deepEqual(
      [a.byteCallCounts, b.byteCallCounts],
      [
        { direct: 2, streamed: 0 },
        { direct: 1, streamed: 0 },
      ],
    )
    const [view] = a.peers()
    assert.ok(view?.bandwidth !== undefined && view.bandwidth > 0)
    assert.ok(view.bytesReceived > 32 * MiB && view.bytesSent > 4 * MiB)
  })

  it('is opened a moment after two members have met, before there is a call', async context => {
    const [a, b] = [serving(testNetwork()), serving(testNetwork())]
    await started(context, a, b)
    await a.connect(addressOf(b), { signal })
    const areDirect = (): boolean => isDirect(a, b.self) === true && isDirect(b, a.self) === true
    await until(areDirect, context.signal)
    assert.deepEqual(a.byteCallCounts, { direct: 0, streamed: 0 })
    assert.equal(await bytesFrom(a, b.self), MiB)
    assert.deepEqual(a.byteCallCounts, { direct: 1, streamed: 0 })
  })

  it('is left for a stream where the port cannot be reached, and not tried again soon', async context => {
    const [a, b] = [testNetwork(), serving(testNetwork())]
    await started(context, a, b)
    await a.connect(await detour(context, b, '127.0.0.2'), { signal })
    for (const streamed of [1, 2]) {
      assert.equal(await bytesFrom(a, b.self), MiB)
      assert.deepEqual(a.byteCallCounts, { direct: 0, streamed })
      assert.equal(isDirect(a, b.self), false)
    }
  })

  it('is left for a stream to a peer that listens nowhere, or is reached by a relay', async context => {
    const relay = testNetwork({ relay: 'server', meshPeers: 0 })
    await started(context, relay)
    const peers = [addressOf(relay)]
    const hidden = serving(testNetwork({ listen: undefined, relay: 'client', peers, meshPeers: 0 }))
    const asker = testNetwork({ relay: 'client', meshPeers: 0 })
    await started(context, hidden, asker)
    await peerChanged(relay, 'connected', hidden.self)
    assert.equal(await bytesFrom(relay, hidden.self), MiB)
    assert.equal(isDirect(relay, hidden.self), false)
    const relayed = (): string | undefined =>
      hidden.addresses().find(text => text.includes('/p2p-circuit') && !text.includes('/webrtc'))
    await until(() => relayed() !== undefined, context.signal)
    await asker.connect(relayed() ?? '', { signal })
    assert.equal(await bytesFrom(asker, hidden.self), MiB)
    assert.deepEqual(asker.byteCallCounts, { direct: 0, streamed: 1 })
  })

  it('is not taken where somebody else answers, who is told nothing', async context => {
    const blamed: PeerId[] = []
    const a = testNetwork({ onMisbehaviour: peer => blamed.push(peer) })
    const b = serving(testNetwork())
    await started(context, a, b)
    await a.connect(await detour(context, b, '127.0.0.3'), { signal })
    const told: Uint8Array[] = []
    const impostor = Identity.fromSeed(systemRandom.bytes(32))
    const place = { host: '127.0.0.3', port: await directPort(a, b.self) }
    await forgedServer(
      context,
      impostor,
      socket => socket.on('data', bytes => told.push(bytes)),
      place,
    )
    assert.equal(await bytesFrom(a, b.self), MiB)
    assert.deepEqual([isDirect(a, b.self), told, blamed], [false, [], []])
  })

  it('of a member that breaks the protocol ends in peer_message_invalid, and it is blamed', async context => {
    const blamed: PeerId[] = []
    const identity = Identity.fromSeed(systemRandom.bytes(32))
    const a = testNetwork({ onMisbehaviour: peer => blamed.push(peer) })
    const b = serving(testNetwork({ identity }))
    await started(context, a, b)
    await a.connect(await detour(context, b, '127.0.0.4'), { signal })
    const place = { host: '127.0.0.4', port: await directPort(a, b.self) }
    const wrong: Frame = { type: 'credit', id: 1, body: none }
    await forgedServer(
      context,
      identity,
      socket => {
        socket.on('data', () => encodeFrame(wrong).map(piece => socket.write(piece)))
      },
      place,
    )
    await assert.rejects(bytesFrom(a, b.self), { code: 'peer_message_invalid' })
    assert.deepEqual(blamed, [b.self])
  })

  it('gives room to members while a thousand strangers hold half a handshake', async context => {
    // Another loopback address stands for another machine; the preset is that of a LAN.
    const node = serving(testNetwork({ preset: 'lan' }))
    const member = testNetwork()
    await started(context, node, member)
    await member.connect(addressOf(node), { signal })
    const port = await directPort(member, node.self)
    const strangers = Array.from({ length: 1_000 }, () =>
      connect({ port, host: '127.0.0.1', localAddress: '127.0.0.2' }),
    )
    context.after(() => strangers.map(socket => socket.destroy()))
    let open = strangers.length
    for (const socket of strangers) {
      socket.on('error', () => undefined).on('close', () => open--)
      socket.resume().write('\x16\x03\x01')
    }
    await until(() => open <= inboundPendingPerAddressMax, context.signal)
    assert.equal(await bytesFrom(member, node.self), MiB)
    assert.equal(isDirect(member, node.self), true)
  })

  it('says so when its port is taken', async context => {
    const [a, b] = [testNetwork(), testNetwork()]
    await started(context, a, b)
    await a.connect(addressOf(b), { signal })
    const c = testNetwork({ directPort: await directPort(a, b.self) })
    await assert.rejects(c.start({ signal }), { code: 'config_invalid', message: /--direct-port/ })
  })

  it('is there again after a restart', async context => {
    const [a, b] = [testNetwork(), serving(testNetwork())]
    await started(context, a, b)
    await a.connect(addressOf(b), { signal })
    await bytesFrom(a, b.self)
    await b.stop()
    await b.start({ signal })
    await a.connect(addressOf(b), { signal })
    assert.equal(await bytesFrom(a, b.self), MiB)
    assert.equal(isDirect(a, b.self), true)
  })
})
