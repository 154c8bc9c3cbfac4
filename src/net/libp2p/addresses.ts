import { multiaddr } from '@multiformats/multiaddr'
import { OperationError } from '../../errors.ts'
import type { Reachability } from '../../interface/network.ts'

/** Addresses in the order in which others should try them: public, private, loopback, relayed. */
export function bestFirst(addresses: readonly string[]): readonly string[] {
  return addresses.toSorted((a, b) => rankOf(a) - rankOf(b))
}

/** How far an address reaches. */
export type AddressKind = 'public' | 'private' | 'loopback' | 'relayed'

export function addressKind(address: string): AddressKind {
  if (address.includes('/p2p-circuit')) return 'relayed'
  if (/^\/ip4\/127\.|^\/ip6\/::1\//.test(address)) return 'loopback'
  return isPrivate(address) ? 'private' : 'public'
}

const ranks: { readonly [kind in AddressKind]: number } = {
  public: 0,
  private: 1,
  loopback: 2,
  relayed: 3,
}

function rankOf(address: string): number {
  return ranks[addressKind(address)]
}

/** RFC 1918, 3927, 4193, 4291 and 6598: addresses that mean something on one network only. */
function isPrivate(address: string): boolean {
  const ip4 = /^\/ip4\/(?:10\.|192\.168\.|169\.254\.|172\.(?:1[6-9]|2\d|3[01])\.)/
  const shared = /^\/ip4\/100\.(?:6[4-9]|[7-9]\d|1[01]\d|12[0-7])\./
  const ip6 = /^\/ip6\/(?:f[cd]|fe[89ab])/i
  return ip4.test(address) || shared.test(address) || ip6.test(address)
}

export interface ReachabilityFacts {
  readonly addresses: readonly string[]
  /** A member has dialled us directly. */
  readonly wasDialled: boolean
  readonly isListening: boolean
  readonly isWan: boolean
  /** Members connected now. */
  readonly peers: number
}

/** A public address is listed by the library only once AutoNAT has confirmed it. */
export function reachabilityOf(facts: ReachabilityFacts): Reachability {
  const kinds = facts.addresses.map(addressKind)
  if (facts.wasDialled || kinds.includes('public')) return 'public'
  if (kinds.includes('relayed')) return 'relayed'
  if (!facts.isListening || (facts.isWan && facts.peers > 0)) return 'private'
  return 'unknown'
}

/**
 * The library reads what is announced in a timer of its own too: what it throws there ends the
 * process.
 * @throws config_invalid for what is no address
 */
export function assertAnnounced(addresses: readonly string[]): void {
  assertAddresses(addresses, { use: 'announce', flag: '--announce' })
}

/** @throws config_invalid for what is no address: it would be dialled in vain for ever */
export function assertPeerAddresses(addresses: readonly string[]): void {
  assertAddresses(addresses, { use: 'connect to', flag: '--peers' })
}

function assertAddresses(
  addresses: readonly string[],
  { use, flag }: { readonly use: string; readonly flag: string },
): void {
  for (const address of addresses) {
    try {
      multiaddr(address)
    } catch (cause) {
      const message =
        `Cannot ${use} '${address}': it is no address. ` +
        `One looks like /ip4/203.0.113.7/tcp/11501 (${flag})`
      throw new OperationError('config_invalid', message, { origin: 'client', cause })
    }
  }
}
