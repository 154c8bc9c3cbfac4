import type { Log } from '../interface/log.ts'
import type { PeerId, ProtocolName, RequestHandler } from '../interface/network.ts'
import { membersMax, membersTimeoutMs, membersToldMax } from '../limits.ts'
import type { TaskScope } from '../std/task-scope.ts'
import {
  decodeAddresses,
  decodeMembers,
  encodeAddresses,
  encodeMembers,
  type Member,
} from '../wire/member-messages.ts'
import { errorLabel, isFaultOfPeer } from './session/error-label.ts'

export const membersProtocol: ProtocolName = '/hyperspace/members/1'

export interface MemberExchangeComponents {
  readonly self: PeerId
  readonly log: Log
  readonly scope: TaskScope
  readonly request: (
    peer: PeerId,
    body: Uint8Array,
    options: { readonly signal: AbortSignal; readonly timeoutMs: number },
  ) => Promise<Uint8Array>
  /** Where this node is reached. */
  readonly addresses: () => readonly string[]
  readonly isConnected: (peer: PeerId) => boolean
  /** Where a connected member is reached, as far as is known now. */
  readonly addressesOf: (peer: PeerId) => Promise<readonly string[]>
  /** A connected member has told where it is. */
  readonly told: (member: Member) => Promise<void>
  /** There is another member. */
  readonly discovered: (member: Member) => void
  readonly onMisbehaviour: (peer: PeerId) => void
}

/**
 * Members tell each other who else there is: one message on each new connection, so that a swarm
 * whose members know one address becomes a mesh in a few round trips. The hash table alone finds
 * who was there when it looked, and looks again after minutes: of nodes that start together many
 * miss each other.
 *
 * Of two that come to the same member, the later one to tell its addresses is told of the earlier.
 */
export class MemberExchange {
  readonly #parts: MemberExchangeComponents
  /** Connected members that have told where they are, the latest last. */
  readonly #members = new Set<PeerId>()

  constructor(components: MemberExchangeComponents) {
    this.#parts = components
  }

  /** Answers `membersProtocol`. */
  readonly answer: RequestHandler = async (body, from) => {
    try {
      const addresses = decodeAddresses(body)
      await this.#parts.told({ peer: from, addresses })
    } catch (error) {
      if (isFaultOfPeer(error)) this.#parts.onMisbehaviour(from)
      throw error
    }
    // First of all those that know the fewest: the newest.
    const others = [...this.#members].filter(peer => peer !== from).reverse()
    this.#remember(from)
    const members = others.slice(0, membersToldMax).map(async peer => {
      return { peer, addresses: await this.#parts.addressesOf(peer) }
    })
    return encodeMembers((await Promise.all(members)).filter(hasAddress))
  }

  /** A member is connected now. */
  connected(peer: PeerId): void {
    const { scope, request, addresses, self, log, discovered, onMisbehaviour } = this.#parts
    scope.spawn('ask for members', async signal => {
      const body = encodeAddresses(addresses())
      try {
        const reply = await request(peer, body, { signal, timeoutMs: membersTimeoutMs })
        for (const member of decodeMembers(reply)) {
          if (member.peer !== self && hasAddress(member)) discovered(member)
        }
      } catch (error) {
        if (signal.aborted) return
        if (isFaultOfPeer(error)) onMisbehaviour(peer)
        log.debug('members not told', { peer, error: errorLabel(error) })
      }
    })
  }

  disconnected(peer: PeerId): void {
    this.#members.delete(peer)
  }

  #remember(peer: PeerId): void {
    this.#members.delete(peer)
    // It may have gone since it asked.
    if (this.#members.size < membersMax && this.#parts.isConnected(peer)) this.#members.add(peer)
  }
}

function hasAddress({ addresses }: Member): boolean {
  return addresses.length > 0
}
