import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { describe, test } from 'node:test'
import type { PeerStatus, SwarmStatus } from '../../client/node-status.ts'
import { judgeCompany } from './check-swarm.ts'
import { judgeReach } from './judge-reach.ts'
import { answeringAddresses } from './probe-addresses.ts'

const lan = '/ip4/192.168.1.7/tcp/11501/p2p/x'
const loopback = '/ip4/127.0.0.1/tcp/11501/p2p/x'
const wide = '/ip4/203.0.113.5/tcp/11501/p2p/x'
const relayed = '/ip4/203.0.113.9/tcp/11501/p2p/r/p2p-circuit/p2p/x'

function swarm(fields: Partial<SwarmStatus>): SwarmStatus {
  return {
    name: 'lab',
    self: 'x',
    reachability: 'unknown',
    network: 'lan',
    relay: 'off',
    addresses: [lan, loopback],
    peers: [],
    sharedAnswers: 0,
    directory: { members: 1, provided: 0, owned: 0, messagesSent: 0, messagesReceived: 0 },
    ...fields,
  }
}

const peer: PeerStatus = {
  id: 'y',
  address: lan,
  direction: 'inbound',
  isRelayed: false,
  roundTripMs: null,
  bytesReceived: 0,
  bytesSent: 0,
  servedAnswers: 0,
  receivedAnswers: 0,
  reputation: 0,
  quarantineSeconds: 0,
  connectedAt: '',
}

describe('judgeReach()', () => {
  const cases: readonly (readonly [string, Partial<SwarmStatus>, boolean, RegExp])[] = [
    ['listens nowhere', { addresses: [] }, false, /--p2p-host and --p2p-port.*--relay client/],
    ['lan, nobody has dialled yet', {}, true, /allow TCP port 11501 in the firewalls/],
    ['lan, was dialled', { reachability: 'public' }, true, /^undefined$/],
    ['lan, loopback only', { addresses: [loopback] }, false, /--p2p-host 0\.0\.0\.0/],
    ['loopback', { network: 'loopback', addresses: [loopback] }, true, /allow TCP/],
    ['wan, private only', { network: 'wan' }, false, /forward TCP port 11501.*--announce/],
    ['wan, no relay yet', { network: 'wan', relay: 'client' }, false, /none relays for it yet/],
    ['wan, relayed', { network: 'wan', addresses: [lan, relayed] }, true, /allow TCP/],
    ['wan, public', { network: 'wan', addresses: [wide], reachability: 'public' }, true, /^und/],
  ]
  for (const [name, fields, isOk, remedy] of cases) {
    test(name, () => {
      const status = swarm(fields)
      const found = judgeReach(status, status.addresses)
      assert.equal(found.isOk, isOk, found.detail)
      assert.match(String(found.remedy), remedy)
    })
  }

  test('a port that does not answer here is a firewall', () => {
    const { isOk, detail, remedy } = judgeReach(swarm({}), [])
    assert.equal(isOk, false)
    assert.match(detail, /11501 does not answer even on this machine/)
    assert.match(String(remedy), /firewall/)
  })
})

describe('judgeCompany()', () => {
  test('alone is a fault only where others are known', () => {
    const first = judgeCompany(swarm({}), { knownCount: 0, mdns: true })
    assert.equal(first.isOk, true)
    assert.match(String(first.remedy), /hyperspace swarm invite/)
    const lost = judgeCompany(swarm({}), { knownCount: 2, mdns: true })
    assert.equal(lost.isOk, false)
    assert.match(lost.detail, /none of 2 known addresses answers/)
    const together = judgeCompany(swarm({ peers: [peer] }), { knownCount: 2, mdns: true })
    assert.deepEqual([together.isOk, together.detail], [true, "'lab', 1 peer connected"])
  })
})

describe('answeringAddresses()', () => {
  test('tells a node from another program and from nobody', async t => {
    const words = ['hsp1'.padEnd(36, 'n'), 'SSH-2.0-x\r\n']
    const ports = await Promise.all(
      words.map(async word => {
        const server = createServer(socket => socket.end(word))
        server.listen(0, '127.0.0.1')
        await once(server, 'listening')
        t.after(() => server.close())
        const { port }: AddressInfo = Object(server.address())
        return port
      }),
    )
    const gone = createServer()
    gone.listen(0, '127.0.0.1')
    await once(gone, 'listening')
    const { port: free }: AddressInfo = Object(gone.address())
    gone.close()
    await once(gone, 'close')
    const all = [...ports, free].map(port => `/ip4/127.0.0.1/tcp/${port}/p2p/x`)
    const found = await answeringAddresses([...all, relayed], { signal: t.signal })
    assert.deepEqual(found, [all[0]])
  })
})
