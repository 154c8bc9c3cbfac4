import type { PeerId } from '../../key/peer-id.ts'

/** What decides which of several connections to one peer is used. */
export interface LinkTraits {
  readonly dialer: PeerId
  readonly isRelayed: boolean
  /** Monotonic. */
  readonly connectedMs: number
}

/**
 * Picks the connection to use: a direct one rather than a relayed one; of two that were dialled at
 * the same time from both sides, the one that the smaller peer id dialled, so that both sides pick
 * the same without asking; else the one that has been there longest.
 */
export function chooseLink<Link extends LinkTraits>(links: readonly Link[]): Link | undefined {
  return links.toSorted(compareLinks)[0]
}

function compareLinks(a: LinkTraits, b: LinkTraits): number {
  if (a.isRelayed !== b.isRelayed) return a.isRelayed ? 1 : -1
  if (a.dialer !== b.dialer) return a.dialer < b.dialer ? -1 : 1
  return a.connectedMs - b.connectedMs
}
