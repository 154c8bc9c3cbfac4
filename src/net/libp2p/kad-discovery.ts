import type { Libp2p } from '@libp2p/interface'
import type { KadDHT, QueryEvent } from '@libp2p/kad-dht'
import { peerIdFromString } from '@libp2p/peer-id'
import { CID } from 'multiformats/cid'
import { create as createDigest } from 'multiformats/hashes/digest'
import type { PeerDiscovery } from '../../interface/discovery.ts'
import type { PeerId } from '../../interface/network.ts'
import { parsePeerId } from '../../key/peer-id.ts'
import type { AbortOptions } from '../../std/signal.ts'
import { peerError } from '../peer-error.ts'
import type { NodeServices } from './node/node-services.ts'

/** Codes of multiformats: the key is passed off as the SHA-256 of some raw bytes. */
const rawCode = 0x55
const sha256Code = 0x12

export interface KadDiscoveryComponents {
  /** @throws peer_unreachable while the network is not started */
  readonly node: () => Libp2p<NodeServices>
  /** Connects with a peer whose address the node knows. */
  readonly dial: (peer: PeerId, signal: AbortSignal) => Promise<unknown>
}

/** `PeerDiscovery` by kad-dht. Without any member it waits for the first one. */
export class KadDiscovery implements PeerDiscovery {
  readonly #parts: KadDiscoveryComponents

  constructor(components: KadDiscoveryComponents) {
    this.#parts = components
  }

  async *closestPeers(key: Uint8Array, options: AbortOptions): AsyncGenerator<PeerId> {
    for await (const event of quietly(this.#dht().getClosestPeers(key, options), options)) {
      if (event.name !== 'FINAL_PEER') continue
      const peer = parsePeerId(event.peer.id.toString())
      if (peer !== undefined) yield peer
    }
  }

  async reach(peer: PeerId, options: AbortOptions): Promise<void> {
    await this.#locate(peer, options)
    await this.#parts.dial(peer, options.signal)
  }

  async provide(key: Uint8Array, options: AbortOptions): Promise<void> {
    for await (const event of this.#dht().provide(cidOf(key), options)) void event
  }

  async withdraw(key: Uint8Array, options: AbortOptions): Promise<void> {
    await this.#dht().cancelReprovide(cidOf(key), options)
  }

  async *findProviders(key: Uint8Array, options: AbortOptions): AsyncGenerator<PeerId> {
    const seen = new Set<PeerId>()
    for await (const event of quietly(this.#dht().findProviders(cidOf(key), options), options)) {
      if (event.name !== 'PROVIDER') continue
      for (const { id } of event.providers) {
        const peer = parsePeerId(id.toString())
        if (peer === undefined || seen.has(peer)) continue
        seen.add(peer)
        yield peer
      }
    }
  }

  /** Looks for the peer's address, where it is not known. @throws peer_unreachable */
  async #locate(peer: PeerId, options: AbortOptions): Promise<void> {
    const { peerStore } = this.#parts.node()
    const id = peerIdFromString(peer)
    // The library may know a peer without knowing where it is.
    for (const useCache of [true, false]) {
      try {
        for await (const event of this.#dht().findPeer(id, { ...options, useCache })) {
          if (event.name !== 'FINAL_PEER' || event.peer.multiaddrs.length === 0) continue
          await peerStore.merge(id, { multiaddrs: event.peer.multiaddrs }, options)
          return
        }
      } catch (error) {
        options.signal.throwIfAborted()
        throw peerError('peer_unreachable', error)
      }
    }
    throw peerError('peer_unreachable')
  }

  #dht(): KadDHT {
    return this.#parts.node().services.dht
  }
}

function cidOf(key: Uint8Array): CID {
  return CID.createV1(rawCode, createDigest(sha256Code, key))
}

/** A deadline is how a search ends, and no error. */
async function* quietly(
  events: AsyncIterable<QueryEvent>,
  { signal }: AbortOptions,
): AsyncGenerator<QueryEvent> {
  try {
    yield* events
  } catch (error) {
    if (!signal.aborted) throw error
  }
}
