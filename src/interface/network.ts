import type { PeerId } from '../key/peer-id.ts'
import type { Startable } from '../std/lifecycle.ts'
import type { AbortOptions } from '../std/signal.ts'

/**
 * How nodes of one swarm talk. Two implementations: `net/libp2p` (TCP, TLS, relays) and
 * `net/memory-network` (a simulated world on virtual time). `network.compliance.ts` is the contract
 * in code.
 *
 * Every peer that shows up here has proved that it knows the swarm's secret: protocols are served
 * to members only. Bodies are opaque bytes; whoever decodes them treats them as hostile all the
 * same.
 */
export interface Network extends Startable {
  readonly self: PeerId
  /** Addresses at which others reach this node, best first; empty while it only dials out. */
  addresses(): readonly string[]
  reachability(): Reachability
  /** Members that are connected now. */
  peers(): readonly PeerView[]
  /** Tells of members that come and go; returns what ends the telling. */
  onPeerChange(listener: (change: PeerChange) => void): () => void
  /**
   * Connects to a member and keeps the connection: a lost one is dialled again with back-off.
   * @throws peer_unreachable; swarm_refused when the other side does not know our secret or we not
   * theirs
   */
  connect(address: string, options: AbortOptions): Promise<PeerId>
  /** Ends a connection and forgets its address. */
  disconnect(peer: PeerId): Promise<void>
  /**
   * Refuses a peer's connections from now on, or takes that back: then a connection that `connect`
   * had been told to keep is dialled again.
   */
  setBanned(peer: PeerId, isBanned: boolean): Promise<void>

  /** Answers requests of a protocol. One handler each; set before `start`. */
  serve(protocol: ProtocolName, handler: RequestHandler): void
  /**
   * One request, one reply, over the long-lived framed stream to that peer.
   * @throws peer_unreachable, peer_timeout, peer_failed (the other side's handler threw),
   * peer_overloaded
   */
  request(
    peer: PeerId,
    protocol: ProtocolName,
    body: Uint8Array,
    options: RequestOptions,
  ): Promise<Uint8Array>

  /** Answers a request by a sequence of messages. One handler each; set before `start`. */
  serveStream(protocol: ProtocolName, handler: StreamHandler): void
  /**
   * Asks for a sequence of messages, each of at most `messageBytesMax`. Back-pressure is real: the
   * sender's handler is not asked for more than a few messages ahead of what was taken here.
   * Ending the iteration, or the signal, ends the sender's handler.
   */
  openStream(
    peer: PeerId,
    protocol: ProtocolName,
    body: Uint8Array,
    options: AbortOptions,
  ): AsyncIterable<Uint8Array>

  /** Answers a request by many bytes. One handler each; set before `start`. */
  serveBytes(protocol: ProtocolName, handler: StreamHandler): void
  /** A connected peer will probably be asked for bytes soon: what can be opened ahead, is. */
  expectBytes(peer: PeerId): void
  /**
   * Asks for many bytes (KV state), over the fastest path there is: straight from the peer where it
   * is directly reachable, else as a stream beside everything else; `PeerView.isDirect` tells. What
   * the handler yields comes in order, cut into pieces anyhow, of at most `messageBytesMax`; it may
   * yield any size, and may write over what it has yielded once it is asked for the next, or ended.
   * The handler may be asked twice: a
   * connection that is lost before it has answered is replaced by a stream. Ending the iteration,
   * and the signal, end it as for `openStream`; back-pressure is that of the connection, so that it
   * is ahead of the reader by at most `bytesAheadMax`. Ends without an error only when the handler
   * has. Rejects with a RangeError for a body over `messageBytesMax`.
   * @throws as `openStream`
   */
  openBytes(
    peer: PeerId,
    protocol: ProtocolName,
    body: Uint8Array,
    options: BytesOptions,
  ): AsyncIterable<Uint8Array>
}

export interface BytesOptions extends AbortOptions {
  /**
   * The reader has done with a piece when it asks for the next one, so that its memory may be used
   * again. @default false
   */
  readonly isTransient?: boolean
}

export type { PeerId }

/** `/hyperspace/<what>/<version>`. */
export type ProtocolName = `/hyperspace/${string}/${number}`

export type RequestHandler = (
  body: Uint8Array,
  from: PeerId,
  options: AbortOptions,
) => Promise<Uint8Array>

export type StreamHandler = (
  body: Uint8Array,
  from: PeerId,
  options: AbortOptions,
) => AsyncIterable<Uint8Array>

export interface RequestOptions extends AbortOptions {
  readonly timeoutMs: number
}

export type PeerChange =
  | { readonly type: 'connected'; readonly peer: PeerId }
  | { readonly type: 'disconnected'; readonly peer: PeerId }

/**
 * `public`: others dialled us from outside. `relayed`: only through a relay. `private`: we dial out
 * only.
 */
export type Reachability = 'public' | 'relayed' | 'private' | 'unknown'

/** What is known of a connected member. */
export interface PeerView {
  readonly id: PeerId
  readonly address: string
  readonly direction: 'inbound' | 'outbound'
  readonly isRelayed: boolean
  /**
   * Whether bytes came straight from the peer (`openBytes`) when they were last asked for;
   * undefined until then.
   */
  readonly isDirect?: boolean | undefined
  /** Exponentially weighted; undefined until measured. */
  readonly roundTripMs: number | undefined
  /** Bytes per second seen in streams from that peer; undefined until measured. */
  readonly bandwidth: number | undefined
  readonly bytesReceived: number
  readonly bytesSent: number
  /** Milliseconds since 1970. */
  readonly connectedAt: number
}
