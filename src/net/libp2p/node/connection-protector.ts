import type { ConnectionProtector, MessageStream } from '@libp2p/interface'
import type { Clock } from '../../../std/clock.ts'
import type { Random } from '../../../std/random.ts'
import { MembershipProof, nonceBytes } from '../../membership.ts'
import { peerError } from '../../peer-error.ts'
import { proveMembership } from '../prove-stream.ts'

/**
 * The first proof, on the bare connection: a stranger is gone before any key is exchanged, having
 * cost two hashes. Encryption comes after it and is not weakened by it.
 */
export class SwarmProtector implements ConnectionProtector {
  readonly #clock: Clock
  readonly #random: Random
  readonly #key: Uint8Array
  readonly #pending = new Map<string, number>()

  readonly #pendingPerAddressMax: number

  constructor({ clock, random }: SwarmProtectorComponents, options: SwarmProtectorOptions) {
    this.#clock = clock
    this.#random = random
    this.#key = options.key
    this.#pendingPerAddressMax = options.pendingPerAddressMax
  }

  /** @throws swarm_refused, peer_timeout, peer_overloaded */
  async protect(stream: MessageStream): Promise<MessageStream> {
    const isInbound = stream.direction === 'inbound'
    const proof = new MembershipProof({
      role: isInbound ? 'listener' : 'dialer',
      context: 'hyperspace/connection/1',
      key: this.#key,
      nonce: this.#random.bytes(nonceBytes),
      ids: undefined,
    })
    const leave = isInbound ? this.#enter(sourceOf(stream)) : () => undefined
    try {
      await proveMembership(stream, proof, { clock: this.#clock })
    } finally {
      leave()
    }
    return stream
  }

  /** Takes one of the places that an address has for connections that have proved nothing yet. */
  #enter(source: string): () => void {
    const count = this.#pending.get(source) ?? 0
    if (count >= this.#pendingPerAddressMax) throw peerError('peer_overloaded')
    this.#pending.set(source, count + 1)
    return () => {
      const left = (this.#pending.get(source) ?? 1) - 1
      if (left > 0) this.#pending.set(source, left)
      else this.#pending.delete(source)
    }
  }
}

export interface SwarmProtectorComponents {
  readonly clock: Clock
  readonly random: Random
}

export interface SwarmProtectorOptions {
  /** `SwarmKeys.connection` */
  readonly key: Uint8Array
  /** Connections from one address that may be unproved at once. */
  readonly pendingPerAddressMax: number
}

/** `1.2.3.4`, or the first 64 bits of an IPv6 address: what one stranger can have many of. */
function sourceOf(stream: MessageStream): string {
  const address: unknown = Reflect.get(stream, 'remoteAddr')
  const [, family = '', host = ''] = String(address).split('/')
  return family === 'ip6' ? host.split(':').slice(0, 4).join(':') : host
}
