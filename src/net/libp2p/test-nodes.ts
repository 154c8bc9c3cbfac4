import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import type { TestContext } from 'node:test'
import { silentLog } from '../../interface/log.ts'
import type { Network, PeerChange, PeerId } from '../../interface/network.ts'
import { type Clock, systemClock } from '../../std/clock.ts'
import { systemRandom } from '../../std/random.ts'
import { Identity } from '../identity.ts'
import { Libp2pNetwork } from './libp2p-network.ts'
import type { Libp2pNetworkOptions } from './network-options.ts'

/** A network on loopback that is not started; all know the same secret unless `swarm` says else. */
export function testNetwork(
  options: Partial<Libp2pNetworkOptions> & {
    readonly swarm?: string
    readonly clock?: Clock
  } = {},
): Libp2pNetwork {
  const { swarm = 'test', clock = systemClock, ...rest } = options
  return new Libp2pNetwork(
    { clock, log: silentLog, random: systemRandom },
    {
      identity: Identity.fromSeed(systemRandom.bytes(32)),
      swarmSecret: testSecret(swarm),
      listen: { host: '127.0.0.1', port: 0 },
      preset: 'loopback',
      peers: [],
      mdns: false,
      relay: 'off',
      announce: [],
      ...rest,
    },
  )
}

export function testSecret(swarm: string): Uint8Array {
  return createHash('sha256').update(swarm).digest()
}

/** `/ip4/127.0.0.1/tcp/PORT/p2p/ID` of a started node. */
export function addressOf(network: Network): string {
  const [address] = network.addresses()
  assert.ok(address, 'a started node has an address')
  return address
}

export function portOf(network: Network): number {
  return Number(addressOf(network).split('/')[4])
}

/** Starts the networks, and stops them after the test. */
export async function started(
  context: TestContext,
  ...networks: readonly Libp2pNetwork[]
): Promise<void> {
  context.after(async () => {
    await Promise.all(networks.map(network => network.stop()))
  })
  const { signal } = new AbortController()
  await Promise.all(networks.map(network => network.start({ signal })))
}

/** Resolves when the network has told of it. */
export function peerChanged(
  network: Network,
  type: PeerChange['type'],
  peer: PeerId,
): Promise<void> {
  return new Promise(resolve => {
    const isThere = network.peers().some(({ id }) => id === peer)
    if (isThere === (type === 'connected')) return resolve()
    const end = network.onPeerChange(change => {
      if (change.type !== type || change.peer !== peer) return
      end()
      resolve()
    })
  })
}
