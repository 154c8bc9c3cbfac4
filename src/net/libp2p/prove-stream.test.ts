import assert from 'node:assert/strict'
import { describe, it, type TestContext } from 'node:test'
import type { Stream } from '@libp2p/interface'
import { tcp } from '@libp2p/tcp'
import { tls } from '@libp2p/tls'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import { systemClock } from '../../std/clock.ts'
import { systemRandom } from '../../std/random.ts'
import { nextTurn } from '../../std/turn.ts'
import { MembershipProof, nonceBytes, type ProofRole } from '../membership.ts'
import { proveMembership } from './prove-stream.ts'

const protocol = '/hyperspace/test/1'

async function bareNode(context: TestContext) {
  const node = await createLibp2p({
    addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
    transports: [tcp()],
    connectionEncrypters: [tls()],
    streamMuxers: [yamux()],
    connectionMonitor: { enabled: false },
  })
  context.after(() => node.stop())
  return node
}

/** Both ends of one stream of the bare library: the one that opened it, and the other. */
async function bareStream(context: TestContext): Promise<readonly [Stream, Stream]> {
  const [far, near] = [await bareNode(context), await bareNode(context)]
  const accepted = Promise.withResolvers<Stream>()
  await far.handle(protocol, stream => accepted.resolve(stream))
  const stream = await near.dialProtocol(multiaddr(String(far.getMultiaddrs()[0])), protocol)
  return [stream, await accepted.promise]
}

function proofOf(role: ProofRole): MembershipProof {
  const nonce = systemRandom.bytes(nonceBytes)
  const key = new Uint8Array(32)
  return new MembershipProof({ role, context: 'hyperspace/session/1', key, nonce, ids: undefined })
}

describe('proveMembership()', () => {
  it('leaves no promise behind when nothing can be sent, at first or in answer', async context => {
    const unhandled: unknown[] = []
    const onUnhandled = (error: unknown): void => void unhandled.push(error)
    process.on('unhandledRejection', onUnhandled)
    process.on('uncaughtException', onUnhandled)
    context.after(() => {
      process.off('unhandledRejection', onUnhandled)
      process.off('uncaughtException', onUnhandled)
    })
    for (const role of ['listener', 'dialer'] as const) {
      const [near, far] = await bareStream(context)
      Reflect.set(near, 'send', () => {
        throw new Error('The connection is gone')
      })
      const failed = assert.rejects(proveMembership(near, proofOf(role), { clock: systemClock }))
      if (role === 'dialer') far.send(proofOf('listener').begin())
      await failed
      for (let turn = 0; turn < 5; turn++) await nextTurn()
    }
    assert.deepEqual(unhandled, [])
  })
})
