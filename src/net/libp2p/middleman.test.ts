import assert from 'node:assert/strict'
import { describe, it, type TestContext } from 'node:test'
import type { Connection, ConnectionProtector, MessageStream, Stream } from '@libp2p/interface'
import { tcp } from '@libp2p/tcp'
import { tls } from '@libp2p/tls'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p, type Libp2p } from 'libp2p'
import { membershipTimeoutMs } from '../../limits.ts'
import { systemClock, VirtualClock } from '../../std/clock.ts'
import { systemRandom } from '../../std/random.ts'
import { swarmKeys } from '../swarm-keys.ts'
import { SwarmProtector } from './node/connection-protector.ts'
import { gatedProtocols } from './node/node-services.ts'
import { callProtocol, sessionProtocol } from './open-link.ts'
import { addressOf, started, testNetwork, testSecret } from './test-nodes.ts'

const { signal } = new AbortController()

/** A libp2p node that is none of ours, with the first proof done as its maker likes. */
async function foreignNode(context: TestContext, protector: ConnectionProtector): Promise<Libp2p> {
  const node = await createLibp2p({
    addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
    transports: [tcp()],
    connectionEncrypters: [tls()],
    streamMuxers: [yamux()],
    connectionProtector: () => protector,
    connectionMonitor: { enabled: false },
  })
  context.after(() => node.stop())
  return node
}

/** Knows the key of the first proof and nothing else: as if it had been passed on. */
function halfMember(): ConnectionProtector {
  const key = swarmKeys(testSecret('test')).connection
  return new SwarmProtector(
    { clock: systemClock, random: systemRandom },
    { key, pendingPerAddressMax: 10 },
  )
}

/** Carries `count` bytes from one stream to the other, and puts back what came after them. */
function carry(from: MessageStream, to: MessageStream, count: number): Promise<void> {
  let left = count
  return new Promise(resolve => {
    const onMessage = ({ data }: { readonly data: { subarray(): Uint8Array } }): void => {
      const bytes = data.subarray()
      to.send(bytes.subarray(0, left))
      const rest = bytes.subarray(left)
      left -= Math.min(left, bytes.length)
      if (left > 0) return
      from.removeEventListener('message', onMessage)
      if (rest.length > 0) from.unshift(rest)
      resolve()
    }
    from.addEventListener('message', onMessage)
  })
}

/** Passes the first proof on between the one who dials it and the one whom it dials. */
class PassingOn implements ConnectionProtector {
  readonly #dialer = Promise.withResolvers<MessageStream>()
  readonly #listener = Promise.withResolvers<MessageStream>()
  #carried: Promise<unknown> | undefined

  async protect(stream: MessageStream): Promise<MessageStream> {
    if (stream.direction === 'inbound') this.#dialer.resolve(stream)
    else this.#listener.resolve(stream)
    const [dialer, listener] = await Promise.all([this.#dialer.promise, this.#listener.promise])
    this.#carried ??= Promise.all([carry(dialer, listener, 68), carry(listener, dialer, 68)])
    await this.#carried
    return stream
  }
}

describe('somebody in the middle', () => {
  it('who passes the first proof on fails the second, and is served nothing', async context => {
    const a = testNetwork()
    const b = testNetwork()
    await started(context, a, b)
    const mallory = await foreignNode(context, new PassingOn())
    const sessions: Stream[] = []
    const toB = Promise.withResolvers<Connection>()
    // Passes the second proof on as well, as far as it goes.
    await mallory.handle(sessionProtocol, async stream => {
      const onward = await (await toB.promise).newStream(sessionProtocol)
      sessions.push(stream, onward)
      stream.addEventListener('message', ({ data }) => onward.send(data))
      onward.addEventListener('message', ({ data }) => stream.send(data))
      onward.addEventListener('close', () => stream.abort(new Error('B hung up')))
    })
    const [address] = mallory.getMultiaddrs()
    assert.ok(address)
    const dialled = a.connect(address.toString(), { signal })
    const refused = assert.rejects(dialled, { code: 'swarm_refused' })
    toB.resolve(await mallory.dial(multiaddr(addressOf(b))))
    await refused
    assert.equal(sessions.length, 2, 'the first proof was passed on')
    assert.deepEqual([a.peers(), b.peers()], [[], []])
  })

  it('is served no protocol of the library either', async context => {
    const node = testNetwork()
    await started(context, node)
    const mallory = await foreignNode(context, halfMember())
    const connection = await mallory.dial(multiaddr(addressOf(node)))
    let answers = 0
    const closed = new Promise<void>(resolve => {
      connection.addEventListener('close', () => resolve())
    })
    for (const protocol of [...gatedProtocols, callProtocol]) {
      // Those that the node has are negotiated; none says a word.
      const stream = await connection.newStream(protocol).catch(() => undefined)
      stream?.addEventListener('message', () => {
        answers += 1
      })
      if (stream?.status === 'open') stream.send(Uint8Array.of(1, 0, 0))
    }
    await connection.newStream(sessionProtocol).then(
      stream => stream.send(new Uint8Array(100)),
      () => undefined,
    )
    await closed
    assert.equal(answers, 0)
    assert.deepEqual(node.peers(), [])
  })

  it('who opens no session in time is hung up on', async context => {
    const clock = new VirtualClock()
    const node = testNetwork({ clock })
    await started(context, node)
    const mallory = await foreignNode(context, halfMember())
    const connection = await mallory.dial(multiaddr(addressOf(node)))
    const closed = new Promise<void>(resolve => {
      connection.addEventListener('close', () => resolve())
    })
    // Opened on their side too once a stream of theirs is there.
    await connection.newStream(gatedProtocols[1] ?? '').catch(() => undefined)
    clock.advance(membershipTimeoutMs)
    await closed
    assert.deepEqual(node.peers(), [])
  })
})
