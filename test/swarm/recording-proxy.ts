import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'

/** Bytes of one connection, each way, in the pieces in which they came. */
export interface Recording {
  readonly fromDialer: Buffer[]
  readonly fromListener: Buffer[]
}

/** Somebody in the middle of a TCP connection who sees everything, and can end it. */
export class RecordingProxy {
  readonly recordings: Recording[] = []
  readonly #server: Server
  readonly #sockets = new Set<Socket>()

  private constructor(port: number) {
    this.#server = createServer(dialer => this.#pass(dialer, port))
  }

  static async start(port: number): Promise<RecordingProxy> {
    const proxy = new RecordingProxy(port)
    proxy.#server.listen(0, '127.0.0.1')
    await once(proxy.#server, 'listening')
    return proxy
  }

  get port(): number {
    const address: AddressInfo | string | null = this.#server.address()
    if (address === null || typeof address === 'string') throw new Error('The proxy is closed')
    return address.port
  }

  /** All that has passed, in no order between the two directions. */
  bytes(): Buffer {
    return Buffer.concat(this.recordings.flatMap(one => [...one.fromDialer, ...one.fromListener]))
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    this.#server.close()
    if (this.#server.listening) await once(this.#server, 'close')
  }

  #pass(dialer: Socket, port: number): void {
    const listener = connect(port, '127.0.0.1')
    const recording: Recording = { fromDialer: [], fromListener: [] }
    this.recordings.push(recording)
    dialer.on('data', (bytes: Buffer) => recording.fromDialer.push(bytes))
    listener.on('data', (bytes: Buffer) => recording.fromListener.push(bytes))
    this.#join(dialer, listener)
    this.#join(listener, dialer)
  }

  #join(from: Socket, to: Socket): void {
    this.#sockets.add(from)
    from.pipe(to)
    // A broken connection is broken on both sides.
    from.on('error', () => to.destroy())
    from.on('close', () => {
      this.#sockets.delete(from)
      to.destroy()
    })
  }
}
