import type { SwarmStatus } from '../../client/node-status.ts'
import { addressKind } from '../../net/libp2p/addresses.ts'
import type { Finding } from '../node/finding.ts'
import { reachabilityText } from './swarm-text.ts'

/** What stands in the way of peers who want to connect, and what to do about it. Pure. */
export function judgeReach(
  swarm: SwarmStatus,
  /** Those of its addresses that answer when they are dialled from this machine. */
  answering: readonly string[],
): Omit<Finding, 'name'> {
  const { addresses, network, relay } = swarm
  const kinds = new Set(addresses.map(addressKind))
  const direct = addresses.filter(address => addressKind(address) !== 'relayed')
  const port = portOf(direct) ?? 'of --p2p-port'
  if (addresses.length === 0) {
    return broken('this node listens nowhere: it reaches only members that it can dial', [
      'give it an address with --p2p-host and --p2p-port',
      ...relayRemedies(relay),
    ])
  }
  if (direct.length > 0 && answering.length === 0) {
    return broken(`port ${port} does not answer even on this machine (${direct[0]})`, [
      `allow TCP port ${port} in this machine's firewall`,
    ])
  }
  const reaches = kinds.has('public') || kinds.has('relayed') || swarm.reachability === 'public'
  if (network === 'wan' && !reaches) {
    return broken('only private addresses: members elsewhere on the Internet cannot dial them', [
      `forward TCP port ${port} on the router to this machine and start with ` +
        `--announce /ip4/PUBLIC-ADDRESS/tcp/${port}`,
      ...relayRemedies(relay),
    ])
  }
  if (network === 'lan' && direct.length > 0 && direct.every(isLoopback)) {
    return broken('only loopback addresses: other machines cannot dial them', [
      'start with --p2p-host 0.0.0.0',
    ])
  }
  const detail = `${port}, ${reachabilityText(swarm)}`
  if (swarm.reachability === 'public' || swarm.reachability === 'relayed') {
    return { isOk: true, detail }
  }
  const remedy = `where others cannot connect: allow TCP port ${port} in the firewalls between`
  return { isOk: true, detail, remedy }
}

function relayRemedies(relay: string): readonly string[] {
  return relay === 'client'
    ? ['or ask a member that others reach to run with --relay server: none relays for it yet']
    : ['or start with --relay client, while a member that others reach runs with --relay server']
}

function broken(detail: string, remedies: readonly string[]): Omit<Finding, 'name'> {
  return { isOk: false, detail, remedy: remedies.join('; ') }
}

function portOf(addresses: readonly string[]): string | undefined {
  return /\/tcp\/(\d+)/.exec(addresses[0] ?? '')?.[1]
}

function isLoopback(address: string): boolean {
  return addressKind(address) === 'loopback'
}
