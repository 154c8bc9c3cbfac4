import type { Connection, Stream } from '@libp2p/interface'
import type { Log } from '../../interface/log.ts'
import type { PeerId, ProtocolName, RequestHandler } from '../../interface/network.ts'
import { dialTimeoutMs, streamsPerPeerMax } from '../../limits.ts'
import type { Clock } from '../../std/clock.ts'
import { linkSignal } from '../../std/signal.ts'
import { peerError } from '../peer-error.ts'
import { isFaultOfPeer } from '../session/error-label.ts'
import type { PeerMeasures } from '../session/measures.ts'
import type { PeerLink, PeerLinks } from '../session/peer-links.ts'
import { Session } from '../session/session.ts'
import { StreamChannel } from './stream-channel.ts'

/** One long-lived stream per connection: requests, replies, pings. */
export const sessionProtocol = '/hyperspace/session/1'
/** One stream per stream call. */
export const callProtocol = '/hyperspace/call/1'

export interface OpenLinkComponents {
  readonly clock: Clock
  readonly log: Log
  readonly links: PeerLinks
  readonly handlers: ReadonlyMap<ProtocolName, RequestHandler>
  readonly self: PeerId
  readonly measuresOf: (peer: PeerId) => PeerMeasures
  /** The peer's session ended by what it sent. */
  readonly onMisbehaviour: (peer: PeerId) => void
}

/** Begins the session with a peer that has proved membership over `stream`. */
export function openLink(
  parts: OpenLinkComponents,
  peer: PeerId,
  { connection, stream }: { readonly connection: Connection; readonly stream: Stream },
): PeerLink {
  const { clock, log, links } = parts
  const measures = parts.measuresOf(peer)
  const session = new Session(
    { clock, log },
    {
      peer,
      channel: new StreamChannel(stream, measures),
      handlers: parts.handlers,
      onRoundTrip: ms => measures.roundTripMeasured(ms),
      onEnd: error => {
        links.remove(link)
        connection.abort(error instanceof Error ? error : peerError('peer_unreachable'))
        if (isFaultOfPeer(error)) parts.onMisbehaviour(peer)
      },
      onQuiet: () => links.fadeOut(link),
    },
  )
  const link: PeerLink = {
    session,
    dialer: connection.direction === 'outbound' ? parts.self : peer,
    isRelayed: !connection.direct,
    connectedMs: clock.monotonicMs(),
    address: connection.remoteAddr.toString(),
    direction: connection.direction,
    connectedAt: clock.now(),
    openChannel: signal => openCallChannel(connection, { clock, measures, signal }),
    isInUse: () => connection.streams.some(({ protocol }) => protocol !== sessionProtocol),
    close: () => closeConnection(connection),
  }
  links.add(link)
  session.begin()
  return link
}

async function openCallChannel(
  connection: Connection,
  options: { clock: Clock; measures: PeerMeasures; signal: AbortSignal },
): Promise<StreamChannel> {
  // The library resets what is over the limit without a word, so the limit is kept here.
  const open = connection.streams.filter(
    ({ protocol, direction }) => protocol === callProtocol && direction === 'outbound',
  )
  if (open.length >= streamsPerPeerMax) throw peerError('peer_overloaded')
  const linked = linkSignal(options.clock, [options.signal], dialTimeoutMs)
  try {
    const stream = await connection.newStream(callProtocol, {
      signal: linked.signal,
      maxOutboundStreams: streamsPerPeerMax,
      runOnLimitedConnection: true,
    })
    return new StreamChannel(stream, options.measures)
  } catch (error) {
    options.signal.throwIfAborted()
    throw peerError('peer_unreachable', error)
  } finally {
    linked[Symbol.dispose]()
  }
}

async function closeConnection(connection: Connection): Promise<void> {
  try {
    await connection.close()
  } catch (error) {
    connection.abort(error instanceof Error ? error : peerError('peer_unreachable'))
  }
}
