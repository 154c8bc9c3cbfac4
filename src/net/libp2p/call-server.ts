import type { Connection, Libp2p, Stream } from '@libp2p/interface'
import type { Log } from '../../interface/log.ts'
import type { PeerId, ProtocolName, StreamHandler } from '../../interface/network.ts'
import { streamsPerPeerMax } from '../../limits.ts'
import type { Clock } from '../../std/clock.ts'
import type { TaskScope } from '../../std/task-scope.ts'
import { errorLabel, isFaultOfPeer } from '../session/error-label.ts'
import type { PeerMeasures } from '../session/measures.ts'
import { serveCall } from '../session/serve-call.ts'
import { callProtocol } from './open-link.ts'
import type { SessionOpener } from './session-opener.ts'
import { StreamChannel } from './stream-channel.ts'

export interface CallServerComponents {
  readonly clock: Clock
  readonly log: Log
  readonly scope: TaskScope
  readonly opener: SessionOpener
  readonly streamHandlers: ReadonlyMap<ProtocolName, StreamHandler>
  readonly measuresOf: (peer: PeerId) => PeerMeasures
  readonly onMisbehaviour: (peer: PeerId) => void
}

/** Answers stream calls: one library stream each, a limited number per peer. */
export class CallServer {
  readonly #parts: CallServerComponents
  readonly #callsOf = new Map<PeerId, number>()

  constructor(components: CallServerComponents) {
    this.#parts = components
  }

  /** Registers with a node that is not started yet. */
  async attach(node: Libp2p): Promise<void> {
    node.use(callProtocol, this.#parts.opener.gate)
    await node.handle(callProtocol, (stream, connection) => this.#onCall(stream, connection), {
      maxInboundStreams: streamsPerPeerMax,
      maxOutboundStreams: streamsPerPeerMax,
      runOnLimitedConnection: true,
    })
  }

  #onCall(stream: Stream, connection: Connection): void {
    const { streamHandlers: handlers, opener, measuresOf, clock, scope } = this.#parts
    scope.spawn('serve stream call', async signal => {
      // The gate has waited for it; this tells who it is.
      const { peer } = (await opener.opened(connection)).session
      const channel = new StreamChannel(stream, measuresOf(peer))
      const leave = this.#enter(peer)
      if (leave === undefined) return channel.abort(new Error('Too many streams'))
      try {
        await serveCall(channel, { clock, peer, handlers, signal })
      } catch (error) {
        this.#report(peer, error)
      } finally {
        leave()
      }
    })
  }

  /** Takes one of the places that a peer has over all of its connections; returns its release. */
  #enter(peer: PeerId): (() => void) | undefined {
    const calls = this.#callsOf.get(peer) ?? 0
    if (calls >= streamsPerPeerMax) return undefined
    this.#callsOf.set(peer, calls + 1)
    return () => {
      const left = (this.#callsOf.get(peer) ?? 1) - 1
      if (left > 0) this.#callsOf.set(peer, left)
      else this.#callsOf.delete(peer)
    }
  }

  #report(peer: PeerId, error: unknown): void {
    const { log, onMisbehaviour } = this.#parts
    if (isFaultOfPeer(error)) onMisbehaviour(peer)
    else log.error('peer stream failed', { error: errorLabel(error) })
  }
}
