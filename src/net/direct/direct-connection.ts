import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls'
import type { BytesOptions } from '../../interface/network.ts'
import type { PeerId } from '../../key/peer-id.ts'
import {
  directDiscardBytesMax,
  directDiscardMs,
  directIdleMs,
  directRoomsIdleMs,
  directSignOfLifeMs,
  KiB,
  streamIdleTimeoutMs,
} from '../../limits.ts'
import type { Clock } from '../../std/clock.ts'
import type { AbortOptions } from '../../std/signal.ts'
import { encodeFrame, type Frame } from '../../wire/frame.ts'
import { peerError } from '../peer-error.ts'
import type { PeerMeasures } from '../session/measures.ts'
import { type DirectIdentity, type KnownCertificate, tlsRules } from './direct-identity.ts'
import { DirectInbox, SpareRooms } from './direct-inbox.ts'
import type { DirectOffer } from './direct-offer.ts'
import { every } from './every.ts'

export interface DirectConnectionComponents {
  readonly clock: Clock
  readonly identity: DirectIdentity
  readonly known: KnownCertificate
  readonly measures: PeerMeasures
}

export interface DirectTarget {
  readonly peer: PeerId
  readonly host: string
  readonly offer: DirectOffer
}

/** TLS gives out what it has decrypted in records of at most so many bytes. */
const recordBytes: number = 16 * KiB
const none: Uint8Array = new Uint8Array(0)

/**
 * Opens a connection to where a member listens for them. It is reserved for the one who asked.
 * @throws the signal's reason, or anything else when there is no way or somebody else is there
 */
export async function openDirectConnection(
  components: DirectConnectionComponents,
  { peer, host, offer }: DirectTarget,
  { signal }: AbortOptions,
): Promise<DirectConnection> {
  const { identity, known } = components
  const certificate = await identity.certificate()
  signal.throwIfAborted()
  // Nobody may say anything before we have.
  const receiver = { onBytes: (_: Uint8Array): boolean => !socket.destroy() }
  // One buffer for all that is read: TLS would allocate another for every 16 KiB.
  const onread: NonNullable<ReadOptions['onread']> = {
    buffer: Buffer.allocUnsafeSlow(recordBytes),
    callback: (bytes, buffer) => receiver.onBytes(buffer.subarray(0, bytes)),
  }
  const options: ConnectionOptions & ReadOptions = {
    ...tlsRules,
    ...certificate,
    host,
    port: offer.port,
    servername: Buffer.from(offer.ticket).toString('hex'),
    onread,
  }
  const socket = connect(options)
  try {
    await secured(socket, signal)
    await known.verify(socket.getPeerCertificate().raw ?? none, peer)
    signal.throwIfAborted()
  } catch (error) {
    socket.destroy()
    throw error
  }
  if (socket.destroyed) throw peerError('peer_unreachable')
  const connection = new DirectConnection(components, socket)
  receiver.onBytes = bytes => connection.receive(bytes)
  return connection
}

/** An option of `net.connect` that the types of `tls.connect` lack; it is passed on. */
interface ReadOptions {
  onread?: { buffer: Uint8Array; callback: (bytes: number, buffer: Uint8Array) => boolean }
}

function secured(socket: TLSSocket, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason)
    socket.on('error', reject)
    socket.once('close', () => {
      signal.removeEventListener('abort', onAbort)
      reject(peerError('peer_unreachable'))
    })
    socket.once('secureConnect', () => {
      signal.removeEventListener('abort', onAbort)
      socket.setNoDelay(true)
      socket.setKeepAlive(true, streamIdleTimeoutMs)
      resolve()
    })
    signal.addEventListener('abort', onAbort)
    if (signal.aborted) onAbort()
  })
}

/** The asking end of a direct connection: one call at a time, and kept for the next one. */
export class DirectConnection {
  readonly #clock: Clock
  readonly #measures: PeerMeasures
  readonly #socket: TLSSocket
  #state: 'idle' | 'busy' | 'discarding' | 'closed' = 'busy'
  #inbox: DirectInbox | undefined
  readonly #spare = new SpareRooms()
  #receivedMs: number
  #wasUsable = false
  /** Of the state that it is in; a reader who never comes back must not keep it running. */
  #cancelTimer: () => void = () => undefined
  /** Resolves when nothing of it is left. */
  readonly closed: Promise<void>

  constructor(
    { clock, measures }: Pick<DirectConnectionComponents, 'clock' | 'measures'>,
    socket: TLSSocket,
  ) {
    this.#clock = clock
    this.#measures = measures
    this.#socket = socket
    this.#receivedMs = clock.monotonicMs()
    const { promise, resolve } = Promise.withResolvers<void>()
    this.closed = promise
    socket.on('error', () => this.destroy())
    socket.on('close', () => {
      this.destroy()
      resolve()
    })
  }

  /**
   * The peer has answered on it once, or it was opened ahead and has waited: if it fails after
   * that, it was just too old.
   */
  get wasUsable(): boolean {
    return this.#wasUsable
  }

  /** Takes an unused connection for one call; whether it was one. */
  reserve(): boolean {
    if (this.#state !== 'idle') return false
    this.#state = 'busy'
    this.#cancelTimer()
    return true
  }

  /** Gives back a reservation that is not needed. */
  release(): void {
    if (this.#state !== 'busy' || this.#inbox !== undefined) return
    this.#wasUsable = true
    this.#rest()
  }

  /**
   * One call on a reserved connection: yields what the handler yields, in pieces. Returns whether
   * the peer has answered; if not, the connection was lost before and the call may be made again.
   * @throws peer_failed, peer_overloaded, peer_unreachable, peer_timeout, peer_message_invalid, the
   * signal's reason
   */
  async *read(
    opening: Uint8Array,
    { signal, isTransient = false }: BytesOptions,
  ): AsyncGenerator<Uint8Array, boolean> {
    const inbox = new DirectInbox(this.#clock, isTransient ? this.#spare : undefined)
    const onAbort = (): void => inbox.discard(signal.reason)
    signal.addEventListener('abort', onAbort)
    try {
      signal.throwIfAborted()
      if (this.#state === 'closed') return false
      this.#cancelTimer = every(this.#clock, directSignOfLifeMs, () => this.#watch(inbox))
      this.#inbox = inbox
      this.#send({ type: 'open', id: 0, body: opening })
      for (;;) {
        const piece = await inbox.next()
        if (piece === undefined) return true
        if (!inbox.isFull) this.#socket.resume()
        yield piece
      }
    } catch (error) {
      if (signal.aborted || inbox.isAnswered) throw error
      return false
    } finally {
      signal.removeEventListener('abort', onAbort)
      this.#measures.transferMeasured(inbox.bulkBytes, inbox.waitedMs)
      this.#finish(inbox)
    }
  }

  /** What has just been decrypted; `false` asks for no more until the reader has taken some. */
  receive(bytes: Uint8Array): boolean {
    const inbox = this.#inbox
    this.#wasUsable = true
    this.#measures.bytesReceived += bytes.length
    this.#receivedMs = this.#clock.monotonicMs()
    if (inbox === undefined) {
      this.destroy()
      return false
    }
    try {
      inbox.push(bytes)
    } catch (error) {
      inbox.end(error)
      this.destroy()
      return false
    }
    if (this.#state === 'discarding') {
      if (inbox.isComplete) this.#rest()
      else if (inbox.discardedBytes > directDiscardBytesMax) this.destroy()
      return true
    }
    return !inbox.isFull
  }

  destroy(): void {
    if (this.#state === 'closed') return
    this.#state = 'closed'
    this.#cancelTimer()
    this.#inbox?.end(peerError('peer_unreachable'))
    this.#socket.destroy()
  }

  /** Keeps the connection for the next call, once the peer has nothing more to say on this one. */
  #finish(inbox: DirectInbox): void {
    if (this.#state === 'closed') return
    if (inbox.isComplete || this.#inbox === undefined) {
      this.#rest()
      return
    }
    this.#state = 'discarding'
    this.#cancelTimer()
    inbox.discard(undefined)
    this.#send({ type: 'cancel', id: 0, body: none })
    this.#socket.resume()
    this.#cancelTimer = this.#clock.after(directDiscardMs, () => this.destroy())
  }

  #rest(): void {
    this.#inbox = undefined
    this.#state = 'idle'
    // A reader that left pieces behind has left it unread.
    this.#socket.resume()
    this.#cancelTimer()
    this.#cancelTimer = this.#clock.after(directRoomsIdleMs, () => {
      this.#spare.clear()
      const leftMs = directIdleMs - directRoomsIdleMs
      this.#cancelTimer = this.#clock.after(leftMs, () => this.destroy())
    })
  }

  /** A peer that works at its answer shows it; one that is silent is gone. */
  #watch(inbox: DirectInbox): void {
    if (inbox.waitsSinceMs === undefined) return
    const sinceMs = Math.max(this.#receivedMs, inbox.waitsSinceMs)
    if (this.#clock.monotonicMs() - sinceMs < streamIdleTimeoutMs) return
    inbox.end(peerError('peer_timeout'))
    this.destroy()
  }

  #send(frame: Frame): void {
    for (const piece of encodeFrame(frame)) {
      this.#measures.bytesSent += piece.length
      this.#socket.write(piece)
    }
  }
}
