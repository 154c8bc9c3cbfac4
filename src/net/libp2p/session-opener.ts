import type { Connection, Libp2p, Stream, StreamMiddleware } from '@libp2p/interface'
import { parsePeerId } from '../../key/peer-id.ts'
import { connectionsPerPeerMax, membershipTimeoutMs } from '../../limits.ts'
import type { Random } from '../../std/random.ts'
import { linkSignal } from '../../std/signal.ts'
import type { TaskScope } from '../../std/task-scope.ts'
import { MembershipProof, nonceBytes, type ProofRole } from '../membership.ts'
import { peerError } from '../peer-error.ts'
import type { PeerLink } from '../session/peer-links.ts'
import { type OpenLinkComponents, openLink, sessionProtocol } from './open-link.ts'
import { proveMembership } from './prove-stream.ts'

export interface SessionOpenerComponents extends OpenLinkComponents {
  readonly random: Random
  readonly scope: TaskScope
  /** `SwarmKeys.session` */
  readonly key: Uint8Array
}

type Outcome = PromiseWithResolvers<PeerLink>

/**
 * Brings every new connection to a session: who dialled opens the stream, both prove membership
 * bound to their peer ids, and only then anything is served. A connection that does not get there
 * in time is closed.
 */
export class SessionOpener {
  readonly #parts: SessionOpenerComponents
  readonly #outcomes = new WeakMap<Connection, Outcome>()

  constructor(components: SessionOpenerComponents) {
    this.#parts = components
  }

  /** Registers with a node that is not started yet. */
  async attach(node: Libp2p): Promise<void> {
    node.addEventListener('connection:open', ({ detail }) => this.#onConnection(detail))
    await node.handle(
      sessionProtocol,
      (stream, connection) => {
        this.#parts.scope.spawn('accept session', () =>
          this.#prove({ stream, connection }, 'listener'),
        )
      },
      { maxInboundStreams: 1, maxOutboundStreams: 1, runOnLimitedConnection: true },
    )
  }

  /** The session of a connection, once both sides are proved. @throws swarm_refused and others */
  opened(connection: Connection): Promise<PeerLink> {
    return this.#outcomeOf(connection).promise
  }

  /** Lets streams through once their connection's peer is proved: for every protocol but ours. */
  readonly gate: StreamMiddleware = async (stream, connection, next) => {
    await this.opened(connection)
    next(stream, connection)
  }

  #outcomeOf(connection: Connection): Outcome {
    const known = this.#outcomes.get(connection)
    if (known !== undefined) return known
    const outcome = Promise.withResolvers<PeerLink>()
    // Often nobody asks: the failure is told to whoever does.
    outcome.promise.catch(() => undefined)
    this.#outcomes.set(connection, outcome)
    return outcome
  }

  #onConnection(connection: Connection): void {
    this.#parts.scope.spawn('open session', async signal => {
      const linked = linkSignal(this.#parts.clock, [signal], membershipTimeoutMs)
      const onAbort = (): void => {
        const error = peerError('peer_timeout')
        this.#outcomeOf(connection).reject(error)
      }
      linked.signal.addEventListener('abort', onAbort)
      try {
        if (connection.direction === 'outbound') await this.#open(connection, linked.signal)
        await this.opened(connection)
      } catch (error) {
        this.#refuse(connection, error)
      } finally {
        linked[Symbol.dispose]()
      }
    })
  }

  async #open(connection: Connection, signal: AbortSignal): Promise<void> {
    const stream = await connection.newStream(sessionProtocol, {
      signal,
      maxOutboundStreams: 1,
      runOnLimitedConnection: true,
    })
    await this.#prove({ stream, connection }, 'dialer')
  }

  async #prove(on: { stream: Stream; connection: Connection }, role: ProofRole): Promise<void> {
    const { self, key, random, clock, links } = this.#parts
    const { stream, connection } = on
    try {
      const peer = parsePeerId(connection.remotePeer.toString())
      if (peer === undefined) throw peerError('swarm_refused')
      if (links.of(peer).length >= connectionsPerPeerMax) throw peerError('peer_overloaded')
      if ((role === 'dialer') !== (connection.direction === 'outbound')) {
        throw peerError('peer_message_invalid')
      }
      const proof = new MembershipProof({
        role,
        context: 'hyperspace/session/1',
        key,
        nonce: random.bytes(nonceBytes),
        ids: { self, peer },
      })
      await proveMembership(stream, proof, { clock })
      this.#outcomeOf(connection).resolve(openLink(this.#parts, peer, on))
    } catch (error) {
      this.#refuse(connection, error)
    }
  }

  #refuse(connection: Connection, error: unknown): void {
    this.#outcomeOf(connection).reject(error)
    connection.abort(error instanceof Error ? error : peerError('swarm_refused'))
  }
}
