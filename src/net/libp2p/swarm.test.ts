import assert from 'node:assert/strict'
import { after, describe, it, type TestContext } from 'node:test'
import { until } from '../../../test/support/until.ts'
import { ifStillRunning } from '../../std/clock.ts'
import { systemRandom } from '../../std/random.ts'
import { nextTurn } from '../../std/turn.ts'
import { decodeMembers, encodeAddresses } from '../../wire/member-messages.ts'
import { Identity } from '../identity.ts'
import { membersProtocol } from '../member-exchange.ts'
import type { Libp2pNetwork } from './libp2p-network.ts'
import { addressOf, peerChanged, portOf, started, testNetwork } from './test-nodes.ts'

const protocol = '/hyperspace/test/1'
const { signal } = new AbortController()
const timeoutMs = 10_000

function echo(network: Libp2pNetwork): Libp2pNetwork {
  network.serve(protocol, async body => body)
  return network
}

// As in cli/main.ts: what libdatachannel leaves behind would keep the run from ending.
after(() => ifStillRunning(10_000, () => process.exit()))

describe('a swarm on loopback', () => {
  it('of five meets by one address', async context => {
    const hub = echo(testNetwork())
    await started(context, hub)
    const others = Array.from({ length: 4 }, () => echo(testNetwork({ peers: [addressOf(hub)] })))
    await started(context, ...others)
    const all = [hub, ...others]
    for (const one of all) {
      for (const other of all) {
        if (one === other) continue
        await peerChanged(one, 'connected', other.self)
        const body = Buffer.from(other.self)
        const reply = await one.request(other.self, protocol, body, { signal, timeoutMs })
        assert.deepEqual(Buffer.from(reply), body)
      }
    }
  })

  it('of ten that start together becomes a mesh', async context => {
    const hub = testNetwork()
    await started(context, hub)
    const others = Array.from({ length: 9 }, () => testNetwork({ peers: [addressOf(hub)] }))
    await started(context, ...others)
    const all = [hub, ...others]
    for (const one of all) {
      for (const other of all) {
        if (one !== other) await peerChanged(one, 'connected', other.self)
      }
    }
  })

  it('remembers where a member says it is now, not all that it ever said', async context => {
    const [hub, member, asker] = [testNetwork(), testNetwork(), testNetwork()]
    await started(context, hub, member, asker)
    await member.connect(addressOf(hub), { signal })
    await asker.connect(addressOf(hub), { signal })
    const [before, after] = [2, 1].map(port => `/ip4/127.0.0.1/tcp/${port}/p2p/${member.self}`)
    assert.ok(before && after)
    const tell = (network: Libp2pNetwork, addresses: readonly string[]) =>
      network.request(hub.self, membersProtocol, encodeAddresses(addresses), { signal, timeoutMs })
    await tell(member, [before])
    await tell(member, [after])
    const told = decodeMembers(await tell(asker, []))
    const known = told.find(({ peer }) => peer === member.self)
    assert.ok(known && !known.addresses.includes(before), String(known?.addresses))
  })

  it('asks a member that it only knows of', async context => {
    const hub = testNetwork()
    await started(context, hub)
    const peers = [addressOf(hub)]
    const a = testNetwork({ peers, meshPeers: 0 })
    const b = echo(testNetwork({ peers, meshPeers: 0 }))
    await started(context, a, b)
    for (const node of [a, b]) await peerChanged(hub, 'connected', node.self)
    const key = systemRandom.bytes(32)
    await eventually(async () => await yields(a.discovery.closestPeers(key, { signal }), b))
    await a.request(b.self, protocol, new Uint8Array(1), { signal, timeoutMs })
    assert.ok(a.peers().some(({ id }) => id === b.self))
  })

  it('finds providers of a key through the hash table, until they withdraw', async context => {
    const hub = testNetwork()
    await started(context, hub)
    const peers = [addressOf(hub)]
    const a = testNetwork({ peers, meshPeers: 0 })
    const b = testNetwork({ peers, meshPeers: 0 })
    await started(context, a, b)
    for (const node of [a, b]) await peerChanged(hub, 'connected', node.self)
    const key = systemRandom.bytes(32)
    await eventually(async () => {
      await b.discovery.provide(key, { signal })
      return await yields(a.discovery.findProviders(key, { signal }), b)
    })
    await b.discovery.withdraw(key, { signal })
    const none = await Array.fromAsync(
      a.discovery.findProviders(systemRandom.bytes(32), { signal }),
    )
    assert.deepEqual(none, [])
  })

  it('dials again when a member comes back at its address', async context => {
    const identity = Identity.fromSeed(systemRandom.bytes(32))
    const first = echo(testNetwork({ identity }))
    await started(context, first)
    const port = portOf(first)
    const member = testNetwork({ peers: [addressOf(first)] })
    await started(context, member)
    await peerChanged(member, 'connected', identity.peerId)
    const lost = peerChanged(member, 'disconnected', identity.peerId)
    await first.stop()
    await lost
    const second = echo(testNetwork({ identity, listen: { host: '127.0.0.1', port } }))
    await started(context, second)
    await peerChanged(member, 'connected', identity.peerId)
    await member.request(identity.peerId, protocol, new Uint8Array(1), { signal, timeoutMs })
  })

  it('may start, stop and start again', async context => {
    const a = echo(testNetwork())
    const b = testNetwork()
    await started(context, a, b)
    await a.stop()
    assert.deepEqual([a.addresses(), a.peers()], [[], []])
    await a.start({ signal })
    await b.connect(addressOf(a), { signal })
    await b.request(a.self, protocol, new Uint8Array(1), { signal, timeoutMs })
  })

  it('does not start with something to announce that is no address', async () => {
    const network = testNetwork({ announce: ['203.0.113.7:11501'] })
    const message = /Cannot announce '203\.0\.113\.7:11501'/
    await assert.rejects(network.start({ signal }), { code: 'config_invalid', message })
    await network.stop()
  })

  it('says so when its port is taken', async context => {
    const a = testNetwork()
    await started(context, a)
    const b = testNetwork({ listen: { host: '127.0.0.1', port: portOf(a) } })
    await assert.rejects(b.start({ signal }), { code: 'config_invalid', message: /--p2p-port/ })
  })

  it('measures round trip, bandwidth and bytes of a member', async context => {
    const a = testNetwork()
    const b = testNetwork()
    b.serveStream(protocol, async function* () {
      for (let index = 0; index < 64; index++) yield new Uint8Array(256 * 1024)
    })
    await started(context, a, b)
    await a.connect(addressOf(b), { signal })
    assert.ok((await a.ping(b.self, { signal })) > 0)
    for await (const _ of a.openStream(b.self, protocol, new Uint8Array(0), { signal }));
    const [view] = a.peers()
    assert.ok(view?.roundTripMs !== undefined && view.roundTripMs > 0)
    assert.ok(view.bandwidth !== undefined && view.bandwidth > 0)
    assert.ok(view.bytesReceived > 64 * 256 * 1024 && view.bytesSent > 0)
    assert.deepEqual([a.reachability(), b.reachability()], ['unknown', 'public'])
  })
})

describe('relays', () => {
  /** A relay and a node that only dials out and has a place there. */
  async function hiddenNode(context: TestContext) {
    const relay = testNetwork({ relay: 'server', meshPeers: 0 })
    await started(context, relay)
    const peers = [addressOf(relay)]
    const hidden = echo(testNetwork({ listen: undefined, relay: 'client', peers, meshPeers: 0 }))
    await started(context, hidden)
    await until(() => hidden.addresses().length > 1, context.signal)
    const addressWith = (isDirect: boolean): string =>
      hidden.addresses().find(text => text.includes('/webrtc') === isDirect) ?? 'none'
    return { relay, hidden, addressWith }
  }

  async function asked(context: TestContext, address: string, hidden: Libp2pNetwork) {
    const asker = testNetwork({ relay: 'client', meshPeers: 0 })
    await started(context, asker)
    assert.equal(await asker.connect(address, { signal }), hidden.self)
    const body = new Uint8Array(500_000).fill(7)
    const reply = await asker.request(hidden.self, protocol, body, { signal, timeoutMs })
    assert.deepEqual(Buffer.from(reply), Buffer.from(body), 'more than the library lets through')
    return asker.peers().find(({ id }) => id === hidden.self)
  }

  it('let a node that only dials out be asked by others', async context => {
    const { hidden, addressWith } = await hiddenNode(context)
    assert.equal(hidden.reachability(), 'relayed')
    const view = await asked(context, addressWith(false), hidden)
    assert.equal(view?.isRelayed, true)
  })

  it('carry the signals for a direct connection, which is then proved too', async context => {
    const { hidden, addressWith } = await hiddenNode(context)
    const view = await asked(context, addressWith(true), hidden)
    assert.equal(view?.isRelayed, false)
  })
})

async function yields(found: AsyncIterable<string>, wanted: Libp2pNetwork): Promise<boolean> {
  for await (const peer of found) if (peer === wanted.self) return true
  return false
}

/** The hash table learns of members some time after they have connected, and tells nobody. */
async function eventually(isTrue: () => Promise<boolean>): Promise<void> {
  while (!(await isTrue())) await nextTurn()
}
