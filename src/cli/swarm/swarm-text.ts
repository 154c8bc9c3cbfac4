import type { PeerStatus, SwarmStatus } from '../../client/node-status.ts'
import { plural, printable } from '../format.ts'

/** Addresses shown to people; all are in the JSON. */
const shownAddressesMax = 3

const reachabilityTexts: { readonly [reachability: string]: string } = {
  public: 'peers can reach this node directly',
  relayed: 'peers reach this node through a relay',
  private: 'peers cannot reach this node, it dials them',
  unknown: 'not known yet whether peers can reach this node',
}

/** Label and text of what `up` and `status` say of the swarm; nothing where there is none. */
export function swarmRows(swarm: SwarmStatus | null): readonly (readonly string[])[] {
  if (swarm === null) return []
  const { addresses } = swarm
  const shown = addresses.slice(0, shownAddressesMax)
  const more = addresses.length - shown.length
  const places = shown.length === 0 ? ['nowhere: this node only dials out'] : shown
  return [
    ['Peer id', swarm.self],
    ['Swarm', companyText(swarm)],
    ...places.map((place, index) => [index === 0 ? 'Peers at' : '', place]),
    ...(more > 0 ? [['', `and ${more} more: hyperspace swarm show`]] : []),
  ]
}

/** Who is there, in a few words. */
export function companyText({ name, peers }: SwarmStatus): string {
  if (peers.length === 0) return `alone in swarm '${printable(name)}': no peer is connected yet`
  return `'${printable(name)}', ${plural(peers.length, 'peer')} connected`
}

export function reachabilityText({ reachability, relay }: SwarmStatus): string {
  const text = reachabilityTexts[reachability] ?? printable(reachability)
  return relay === 'server' ? `${text}; it relays for others` : text
}

/** What people see of a peer id: all of them begin alike, so that the end tells them apart. */
export function shortPeer(id: string): string {
  return id.slice(-shortLength)
}

export const shortLength = 10

export function roundTripText({ roundTripMs }: Pick<PeerStatus, 'roundTripMs'>): string {
  if (roundTripMs === null) return '-'
  return `${roundTripMs < 10 ? roundTripMs.toFixed(1) : Math.round(roundTripMs)} ms`
}
