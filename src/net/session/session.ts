import type { Log } from '../../interface/log.ts'
import type {
  PeerId,
  ProtocolName,
  RequestHandler,
  RequestOptions,
} from '../../interface/network.ts'
import { messageBytesMax } from '../../limits.ts'
import type { Clock } from '../../std/clock.ts'
import { type Frame, FrameDecoder } from '../../wire/frame.ts'
import { protocolBytesMax } from '../../wire/request-body.ts'
import { peerError } from '../peer-error.ts'
import type { ByteChannel } from './byte-channel.ts'
import { errorLabel } from './error-label.ts'
import { FrameWriter } from './frame-writer.ts'
import { PendingRequests } from './pending-requests.ts'
import { Pinger } from './pinger.ts'
import { RequestServer } from './request-server.ts'

export interface SessionComponents {
  readonly clock: Clock
  readonly log: Log
}

export interface SessionOptions {
  readonly peer: PeerId
  readonly channel: ByteChannel
  readonly handlers: ReadonlyMap<ProtocolName, RequestHandler>
  readonly onRoundTrip: (ms: number) => void
  /** Once, when the session has ended: `peer_message_invalid` if that is the peer's fault. */
  readonly onEnd: (error: unknown) => void
  /** Both sides have said goodbye and no request is under way. */
  readonly onQuiet: () => void
}

const none: Uint8Array = new Uint8Array(0)

/**
 * The long-lived framed stream to one member: requests of both sides, any number in flight, and
 * pings that tell the round trip and whether the peer is still there.
 */
export class Session {
  readonly peer: PeerId
  readonly #log: Log
  readonly #options: SessionOptions
  readonly #writer: FrameWriter
  readonly #decoder = new FrameDecoder(messageBytesMax + protocolBytesMax + 1)
  readonly #pending: PendingRequests
  readonly #server: RequestServer
  readonly #pinger: Pinger
  #hasSentGoodbye = false
  #hasReceivedGoodbye = false
  #ending: Promise<void> | undefined

  constructor({ clock, log }: SessionComponents, options: SessionOptions) {
    this.peer = options.peer
    this.#log = log
    this.#options = options
    this.#writer = new FrameWriter(options.channel)
    this.#pending = new PendingRequests(clock, frame => this.#writer.write(frame))
    this.#pinger = new Pinger(clock, {
      send: id => this.#send({ type: 'ping', id, body: none }),
      onRoundTrip: options.onRoundTrip,
      onSilent: () => void this.end(peerError('peer_timeout')),
    })
    this.#server = new RequestServer({
      peer: options.peer,
      handlers: options.handlers,
      queuedBytes: () => this.#writer.queuedBytes,
      send: frame => this.#send(frame),
      onFailure: (protocol, error) =>
        log.error('peer request failed', { protocol, error: errorLabel(error) }),
    })
  }

  /** Begins to read. Apart from the constructor, so that the owner knows the session first. */
  begin(): void {
    this.#options.channel.listen({
      onBytes: bytes => this.#receiveBytes(bytes),
      onClose: () => void this.end(peerError('peer_unreachable')),
    })
    if (this.isOpen) this.#pinger.start()
  }

  get isOpen(): boolean {
    return this.#ending === undefined && this.#options.channel.isOpen
  }

  /** Both sides have said goodbye and no request is under way. */
  get isQuiet(): boolean {
    const isBusy = this.#pending.count + this.#server.count + this.#writer.queuedBytes > 0
    return this.#hasSentGoodbye && this.#hasReceivedGoodbye && !isBusy
  }

  /** @throws peer_unreachable, peer_timeout, peer_failed, peer_overloaded, the signal's reason */
  async request(
    protocol: ProtocolName,
    body: Uint8Array,
    options: RequestOptions,
  ): Promise<Uint8Array> {
    if (!this.isOpen) throw peerError('peer_unreachable')
    try {
      return await this.#pending.request(protocol, body, options)
    } finally {
      this.#tellQuiet()
    }
  }

  /** The round trip now, in milliseconds. @throws peer_unreachable */
  async ping(): Promise<number> {
    if (!this.isOpen) throw peerError('peer_unreachable')
    return await this.#pinger.ping()
  }

  /** Another connection to this peer is better: this one may end when nothing is under way. */
  sayGoodbye(): void {
    if (this.#hasSentGoodbye || !this.isOpen) return
    this.#hasSentGoodbye = true
    this.#send({ type: 'goodbye', id: 0, body: none })
    this.#writer.flushed().then(() => this.#tellQuiet())
  }

  /** Ends the session now; resolves when none of its handlers runs any more. */
  end(error: unknown): Promise<void> {
    if (this.#ending !== undefined) return this.#ending
    const { promise, resolve } = Promise.withResolvers<void>()
    // First of all: closing the channel calls back in here.
    this.#ending = promise
    this.#pinger.stop()
    this.#pending.end()
    this.#options.channel.abort(error instanceof Error ? error : peerError('peer_unreachable'))
    this.#options.onEnd(error)
    this.#server.end().then(resolve)
    return promise
  }

  #tellQuiet(): void {
    if (this.isOpen && this.isQuiet) this.#options.onQuiet()
  }

  #receiveBytes(bytes: Uint8Array): void {
    try {
      for (const frame of this.#decoder.push(bytes)) {
        if (!this.isOpen) return
        this.#receive(frame)
      }
    } catch (error) {
      this.#log.warn('peer session broken', { peer: this.peer, error: errorLabel(error) })
      void this.end(error)
    }
  }

  #receive(frame: Frame): void {
    const { type, id } = frame
    if (type === 'request') this.#server.receive(frame)
    else if (type === 'reply') this.#pending.receiveReply(frame)
    else if (type === 'failure') this.#pending.receiveFailure(frame)
    else if (type === 'cancel') this.#server.cancel(id)
    else if (type === 'ping') this.#send({ type: 'pong', id, body: none })
    else if (type === 'pong') this.#pinger.receivePong(id)
    else if (type === 'goodbye') this.#receiveGoodbye()
    else throw peerError('peer_message_invalid')
  }

  #receiveGoodbye(): void {
    this.#hasReceivedGoodbye = true
    // Where the other side has a better connection, so have we.
    this.sayGoodbye()
    this.#tellQuiet()
  }

  /** A peer that takes no answers is gone; one that is asked too much is only asked later. */
  #send(frame: Frame): void {
    try {
      this.#writer.write(frame)
    } catch (error) {
      void this.end(error)
    }
  }
}
