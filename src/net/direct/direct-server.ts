import { createServer as createTcpServer, type Socket } from 'node:net'
import { createSecureContext, createServer, type SecureContext, type TLSSocket } from 'node:tls'
import type { Log } from '../../interface/log.ts'
import type { PeerId, ProtocolName, StreamHandler } from '../../interface/network.ts'
import { directAcceptedMax, directAcceptedPerPeerMax, membershipTimeoutMs } from '../../limits.ts'
import type { Clock } from '../../std/clock.ts'
import type { Random } from '../../std/random.ts'
import type { TaskScope } from '../../std/task-scope.ts'
import { afterThisTurn } from '../../std/turn.ts'
import { errorLabel, isFaultOfPeer } from '../session/error-label.ts'
import type { PeerMeasures } from '../session/measures.ts'
import { type DirectIdentity, KnownCertificate, tlsRules } from './direct-identity.ts'
import { type DirectOffer, ticketBytes } from './direct-offer.ts'
import { PendingPlaces } from './pending-places.ts'
import { serveDirect } from './serve-direct.ts'

export interface DirectServerComponents {
  readonly clock: Clock
  readonly log: Log
  readonly random: Random
  readonly scope: TaskScope
  readonly identity: DirectIdentity
  readonly handlers: ReadonlyMap<ProtocolName, StreamHandler>
  readonly measuresOf: (peer: PeerId) => PeerMeasures
  readonly onMisbehaviour: (peer: PeerId) => void
}

export interface DirectServerOptions {
  readonly host: string
  /** 0: any free one. */
  readonly port: number
  /** Connections from one address that may be unproved at once. */
  readonly pendingPerAddressMax: number
}

/** A member that may connect. */
interface Guest {
  readonly peer: PeerId
  readonly ticket: Uint8Array
  readonly known: KnownCertificate
  readonly sockets: Set<TLSSocket>
}

/**
 * Where members connect for bytes. Who connects names a ticket that its session with us brought it,
 * in the first message of TLS; without one it is refused before anything is signed or shown. Then
 * its certificate must name the peer that the ticket was given to.
 */
export class DirectServer {
  readonly #parts: DirectServerComponents
  readonly #options: DirectServerOptions
  readonly #places: PendingPlaces
  readonly #guests = new Map<PeerId, Guest>()
  /** By the ticket in hex. */
  readonly #guestOf = new Map<string, Guest>()
  /** Connections that have proved nothing, by where they come from. */
  readonly #pending = new Map<string, Pending>()
  readonly #acceptor = createTcpServer({ noDelay: true, keepAlive: true }, raw => this.#admit(raw))
  readonly #handshaker = createServer(
    {
      ...tlsRules,
      requestCert: true,
      // The context without a certificate is that of strangers: TLS itself refuses them.
      SNICallback: (name, answer) => this.#answerGreeting(name, answer),
    },
    socket => this.#onSecured(socket),
  )
  #context: SecureContext | undefined
  #port: number | undefined

  constructor(components: DirectServerComponents, options: DirectServerOptions) {
    this.#parts = components
    this.#options = options
    this.#places = new PendingPlaces(options.pendingPerAddressMax)
    this.#acceptor.maxConnections = directAcceptedMax
    // Its socket is destroyed with it; nothing else is to be done.
    this.#handshaker.on('tlsClientError', () => undefined)
  }

  /** Rejects when the port is taken. */
  async start(): Promise<void> {
    const { host, port } = this.#options
    this.#context = createSecureContext({
      ...tlsRules,
      ...(await this.#parts.identity.certificate()),
    })
    await new Promise<void>((resolve, reject) => {
      this.#acceptor.once('error', reject)
      this.#acceptor.listen(port, host, resolve)
    })
    const address = this.#acceptor.address()
    if (address !== null && typeof address === 'object') this.#port = address.port
    // An accept that fails, for want of files, is tried again with the next connection.
    this.#acceptor.on('error', error =>
      this.#parts.log.warn('direct accept failed', { error: errorLabel(error) }),
    )
  }

  /** Nothing of it is open when this returns; handlers end with the scope. */
  async stop(): Promise<void> {
    const isClosed = new Promise<void>(resolve => this.#acceptor.close(() => resolve()))
    this.#port = undefined
    for (const { raw } of [...this.#pending.values()]) raw.destroy()
    for (const peer of [...this.#guests.keys()]) this.close(peer)
    await isClosed
  }

  /** What a member that is connected needs for a direct connection; undefined: there is none. */
  offerTo(peer: PeerId): DirectOffer | undefined {
    if (this.#port === undefined) return undefined
    const guest = this.#guests.get(peer) ?? this.#invite(peer)
    return { port: this.#port, ticket: guest.ticket }
  }

  /** The member is connected no more: neither are its direct connections. */
  close(peer: PeerId): void {
    const guest = this.#guests.get(peer)
    if (guest === undefined) return
    this.#guests.delete(peer)
    this.#guestOf.delete(nameOf(guest.ticket))
    for (const socket of guest.sockets) socket.destroy()
  }

  #invite(peer: PeerId): Guest {
    const guest: Guest = {
      peer,
      ticket: this.#parts.random.bytes(ticketBytes),
      known: new KnownCertificate(this.#parts.identity),
      sockets: new Set(),
    }
    this.#guests.set(peer, guest)
    this.#guestOf.set(nameOf(guest.ticket), guest)
    return guest
  }

  #admit(raw: Socket): void {
    raw.on('error', () => raw.destroy())
    const leave = this.#places.enter(raw.remoteAddress ?? '')
    if (leave === undefined) {
      raw.destroy()
      return
    }
    const origin = originOf(raw)
    const cancel = this.#parts.clock.after(membershipTimeoutMs, () => raw.destroy())
    const settle = (): void => {
      cancel()
      if (this.#pending.get(origin)?.raw !== raw) return
      this.#pending.delete(origin)
      leave()
    }
    this.#pending.set(origin, { raw, settle })
    raw.once('close', settle)
    this.#handshaker.emit('connection', raw)
  }

  /** In a turn of its own: what happened within OpenSSL's call could end the connection there. */
  #answerGreeting(name: string, answer: (error: null, context?: SecureContext) => void): void {
    afterThisTurn(() => {
      if (this.#guestOf.has(name)) answer(null, this.#context)
      else answer(null)
    })
  }

  #onSecured(socket: TLSSocket): void {
    // Not in the types.
    const servername: unknown = Reflect.get(socket, 'servername')
    const guest = typeof servername === 'string' ? this.#guestOf.get(servername) : undefined
    const certificate = socket.getPeerCertificate().raw
    const pending = this.#pending.get(originOf(socket))
    socket.on('error', () => socket.destroy())
    if (guest === undefined || certificate === undefined || pending === undefined) {
      socket.destroy()
      return
    }
    this.#parts.scope.spawn('serve direct connection', async () => {
      try {
        await guest.known.verify(certificate, guest.peer)
        pending.settle()
        if (this.#guests.get(guest.peer) !== guest) return
        if (guest.sockets.size >= directAcceptedPerPeerMax || socket.destroyed) return
        guest.sockets.add(socket)
        await this.#serve(socket, guest.peer)
      } finally {
        guest.sockets.delete(socket)
        socket.destroy()
      }
    })
  }

  async #serve(socket: TLSSocket, peer: PeerId): Promise<void> {
    const { clock, log, handlers, measuresOf, onMisbehaviour, scope } = this.#parts
    const onStop = (): void => void socket.destroy()
    scope.signal.addEventListener('abort', onStop)
    try {
      await serveDirect(socket, {
        clock,
        peer,
        handlers,
        measures: measuresOf(peer),
        onFailure: error => {
          if (isFaultOfPeer(error)) onMisbehaviour(peer)
          else log.error('peer stream failed', { error: errorLabel(error) })
        },
      })
    } finally {
      scope.signal.removeEventListener('abort', onStop)
    }
  }
}

interface Pending {
  readonly raw: Socket
  /** It has been proved, or is closed. */
  readonly settle: () => void
}

/** Of the connections that are open no two have one. */
function originOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress} ${remotePort}`
}

/** The name under which TLS carries a ticket. */
function nameOf(ticket: Uint8Array): string {
  return Buffer.from(ticket).toString('hex')
}
