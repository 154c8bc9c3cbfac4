import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import { describe, it, type TestContext } from 'node:test'
import { inboundPendingPerAddressMax, membershipTimeoutMs } from '../../limits.ts'
import { VirtualClock } from '../../std/clock.ts'
import { addressOf, peerChanged, portOf, started, testNetwork, testSecret } from './test-nodes.ts'

const protocol = '/hyperspace/test/1'
const { signal } = new AbortController()
const helloBytes = 36

/** A program that knows nothing: collects what it is told until it is hung up on. */
function stranger(port: number, localAddress = '127.0.0.1') {
  const socket = connect({ port, host: '127.0.0.1', localAddress })
  const received: Buffer[] = []
  socket.on('data', bytes => received.push(bytes))
  socket.on('error', () => undefined)
  const closed = new Promise<void>(resolve => socket.on('close', () => resolve()))
  return { socket, closed, bytes: (): Buffer => Buffer.concat(received) }
}

/** Passes bytes on between a dialer and a node, and keeps what it saw. */
async function eavesdropper(context: TestContext, port: number) {
  const toNode: Buffer[] = []
  const toDialer: Buffer[] = []
  const sockets: Socket[] = []
  const server: Server = createServer(dialer => {
    const node = connect(port, '127.0.0.1')
    sockets.push(dialer, node)
    for (const socket of [dialer, node]) socket.on('error', () => undefined)
    dialer.on('data', bytes => toNode.push(bytes)).pipe(node)
    node.on('data', bytes => toDialer.push(bytes)).pipe(dialer)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  context.after(() => {
    server.close()
    for (const socket of sockets) socket.destroy()
  })
  const address: AddressInfo | string | null = server.address()
  assert.ok(address !== null && typeof address === 'object')
  return { port: address.port, toNode, toDialer }
}

describe('strangers', () => {
  it('get one random number and are hung up on at their first wrong byte', async context => {
    const node = testNetwork()
    await started(context, node)
    for (const words of ['GET / HTTP/1.1\r\n\r\n', '\x13/multistream/1.0.0\n', 'x'.repeat(1e6)]) {
      const { socket, closed, bytes } = stranger(portOf(node))
      socket.write(words)
      await closed
      assert.ok(bytes().length <= helloBytes)
    }
    assert.deepEqual(node.peers(), [])
  })

  it('that stay silent are hung up on after five seconds', async context => {
    const clock = new VirtualClock()
    const node = testNetwork({ clock })
    await started(context, node)
    const { socket, closed, bytes } = stranger(portOf(node))
    await once(socket, 'data')
    clock.advance(membershipTimeoutMs)
    await closed
    assert.equal(bytes().length, helloBytes)
  })

  it('by the thousand from one address leave room for members', async context => {
    // Another loopback address stands for another machine; the preset is that of a LAN.
    const node = testNetwork({ preset: 'lan' })
    const member = testNetwork()
    await started(context, node, member)
    const strangers = Array.from({ length: 1_000 }, () => stranger(portOf(node), '127.0.0.2'))
    context.after(() => strangers.map(({ socket }) => socket.destroy()))
    let open = strangers.length
    for (const { closed } of strangers) closed.then(() => open--)
    while (open > inboundPendingPerAddressMax) {
      await Promise.race(strangers.filter(({ socket }) => !socket.closed).map(one => one.closed))
    }
    assert.equal(await member.connect(addressOf(node), { signal }), node.self)
    assert.ok(open <= inboundPendingPerAddressMax)
  })

  it('that listen learn no secret, no key and no word of what is asked', async context => {
    const node = testNetwork()
    const member = testNetwork()
    node.serve(protocol, async () => Buffer.from('the completion 4711'))
    await started(context, node, member)
    const ear = await eavesdropper(context, portOf(node))
    const address = `/ip4/127.0.0.1/tcp/${ear.port}/p2p/${node.self}`
    await member.connect(address, { signal })
    const body = Buffer.from('the prompt 4711')
    await member.request(node.self, protocol, body, { signal, timeoutMs: 10_000 })
    const heard = Buffer.concat([...ear.toNode, ...ear.toDialer])
    assert.ok(heard.length > 1_000)
    assert.ok(!heard.includes('4711'))
    assert.ok(!heard.includes(Buffer.from(testSecret('test'))))
    assert.ok(!heard.includes(Buffer.from(node.self)), 'nor who speaks')
    assert.ok(!heard.includes('hyperspace'))
  })

  it('that replay what a member said are hung up on', async context => {
    const node = testNetwork()
    const member = testNetwork()
    await started(context, node, member)
    const ear = await eavesdropper(context, portOf(node))
    await member.connect(`/ip4/127.0.0.1/tcp/${ear.port}`, { signal })
    await peerChanged(node, 'connected', member.self)
    const { socket, closed, bytes } = stranger(portOf(node))
    for (const piece of ear.toNode) socket.write(piece)
    await closed
    assert.equal(bytes().length, helloBytes)
    assert.equal(node.peers().length, 1)
  })
})
