import type { AbortOptions } from '../std/signal.ts'
import type { PeerId } from './network.ts'

/**
 * Finding members beyond those that are connected, through a distributed hash table. Slow and dear
 * (one walk costs 100–1,000 ms of processor time over all nodes): the directory uses it for what it
 * does not know, and no request waits for it longer than its own deadline.
 *
 * A key is any 32 bytes. Near is what is near for kad-dht: of two members the one whose SHA-256 of
 * its id's bytes (a multihash), XORed with the SHA-256 of the key, is the smaller number. The
 * directory counts on it.
 */
export interface PeerDiscovery {
  /**
   * Members nearest to a key, as they are found. Ends by itself or, quietly, with the signal, which
   * is needed: a node without members waits for the first. Who is named was there a moment ago.
   */
  closestPeers(key: Uint8Array, options: AbortOptions): AsyncIterable<PeerId>
  /**
   * Connects with a member, if it can be found and is there.
   * @throws peer_unreachable, swarm_refused
   */
  reach(peer: PeerId, options: AbortOptions): Promise<void>
  /** Tells the members nearest to the key that this node has something for it, again and again. */
  provide(key: Uint8Array, options: AbortOptions): Promise<void>
  /** Stops telling. What was told already expires by itself. */
  withdraw(key: Uint8Array, options: AbortOptions): Promise<void>
  /** Members that said so, as they are found. */
  findProviders(key: Uint8Array, options: AbortOptions): AsyncIterable<PeerId>
}
