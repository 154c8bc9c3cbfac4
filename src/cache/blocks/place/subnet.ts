import { isIPv4, isIPv6 } from 'node:net'
import type { PeerView } from '../../../interface/network.ts'

/**
 * The network that a peer is in, as far as peers in it are likely to fail together or to belong to
 * one hand: /24 of IPv4, /48 of IPv6. Undefined for addresses that say nothing of it: those of this
 * machine, of private networks, of relays, and of other transports.
 */
export function subnetOf({
  address,
  isRelayed,
}: Pick<PeerView, 'address' | 'isRelayed'>): string | undefined {
  if (isRelayed) return undefined
  const [, protocol, host = ''] = address.split('/')
  if (protocol === 'ip4' && isIPv4(host)) {
    const bytes = host.split('.').map(Number)
    return isPrivate(bytes) ? undefined : `${bytes.slice(0, 3).join('.')}.0/24`
  }
  if (protocol === 'ip6' && isIPv6(host)) {
    const groups = groupsOf(host)
    // 2000::/3 is all that is routed on the Internet.
    const isGlobal = ((groups[0] ?? 0) & 0xe000) === 0x2000
    const prefix = groups.slice(0, 3).map(group => group.toString(16))
    return isGlobal ? `${prefix.join(':')}::/48` : undefined
  }
  return undefined
}

/** RFC 1918, RFC 6598 (shared by carriers), loopback and link-local. */
function isPrivate([first = 0, second = 0]: readonly number[]): boolean {
  if (first === 10 || first === 127) return true
  if (first === 172) return second >= 16 && second <= 31
  if (first === 100) return second >= 64 && second <= 127
  return (first === 192 && second === 168) || (first === 169 && second === 254)
}

/** The 16-bit groups before `::`, and zeros for those that it stands for. */
function groupsOf(host: string): readonly number[] {
  const [front = '', back] = host.split('::')
  const leading = front === '' ? [] : front.split(':')
  const trailing = back === undefined || back === '' ? [] : back.split(':')
  const missing = Math.max(0, 8 - leading.length - trailing.length)
  const texts = [...leading, ...Array.from({ length: missing }, () => '0'), ...trailing]
  return texts.map(text => Number.parseInt(text, 16))
}
