import { createServer, type Server } from 'node:http'
import { type AddressInfo, Server as NetServer, type Socket } from 'node:net'
import { OperationError } from '../errors.ts'
import {
  connectionsMax,
  drainTimeoutMs,
  headerBytesMax,
  keepAliveTimeoutMs,
  requestTimeoutMs,
} from '../limits.ts'
import type { Startable } from '../std/lifecycle.ts'
import { settlesWithin } from '../std/signal.ts'
import { type RequestComponents, RequestHandler, type RequestOptions } from './request-handler.ts'

export interface HttpServerOptions extends RequestOptions {
  readonly host: string
  readonly port: number
}

/**
 * The HTTP part of the node. `stop` takes no new connections, lets running requests finish until
 * the drain deadline or `abort`, then cuts them.
 */
export class HttpServer implements Startable {
  readonly name = 'http-server'
  readonly #parts: RequestComponents
  readonly #options: HttpServerOptions
  readonly #handler: RequestHandler
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  #state: 'stopped' | 'started' | 'draining' = 'stopped'

  constructor(components: RequestComponents, options: HttpServerOptions) {
    this.#parts = components
    this.#options = options
    this.#handler = new RequestHandler(components, options)
    this.#server = createServer({
      maxHeaderSize: headerBytesMax,
      keepAliveTimeout: keepAliveTimeoutMs,
      requestTimeout: requestTimeoutMs,
    })
    this.#server.maxConnections = connectionsMax
    this.#server.on('request', (message, reply) => this.#handler.handle(message, reply))
    this.#server.on('connection', (socket: Socket) => {
      this.#sockets.add(socket)
      socket.once('close', () => this.#sockets.delete(socket))
    })
  }

  get runningCount(): number {
    return this.#handler.runningCount
  }

  /** Where it listens; known once started. */
  get address(): AddressInfo {
    const address = this.#server.address()
    if (address === null || typeof address === 'string') throw new TypeError('Not listening')
    return address
  }

  async start(): Promise<void> {
    const { host, port } = this.#options
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', error => reject(cannotListen(host, port, error)))
      this.#server.listen({ host, port, backlog: 4_096 }, () => resolve())
    })
    this.#server.removeAllListeners('error')
    this.#server.on('error', error => this.#parts.log.error('http server failed', { error }))
    this.#state = 'started'
  }

  async stop(): Promise<void> {
    if (this.#state === 'stopped') return
    this.#state = 'draining'
    // http's own close() cuts replies that have ended but not reached their client yet.
    const closed = new Promise<void>(resolve =>
      NetServer.prototype.close.call(this.#server, () => resolve()),
    )
    const finished = this.#handler.drain().then(() => {
      for (const socket of this.#sockets) socket.destroySoon()
      return closed
    })
    await settlesWithin(this.#parts.clock, finished, drainTimeoutMs)
    this.#server.closeAllConnections()
    await finished
    // No more than its timer is left to be closed.
    this.#server.close()
    this.#state = 'stopped'
  }

  /** Cuts what still runs: a `stop` that is under way then ends at once. */
  abort(): void {
    this.#server.closeAllConnections()
  }
}

function cannotListen(host: string, port: number, cause: NodeJS.ErrnoException): OperationError {
  const why =
    cause.code === 'EADDRINUSE'
      ? `port ${port} is taken; stop what uses it or choose another with --port`
      : `${cause.code ?? cause.message}; choose another address with --host and --port`
  return new OperationError('address_unavailable', `Cannot listen on ${host}:${port}: ${why}`, {
    origin: 'self',
    cause,
  })
}
