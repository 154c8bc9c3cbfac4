import { connect, type Socket } from 'node:net'

/** Somebody who opens a bare connection to a node's p2p port and says what they like. */
export class Stranger {
  readonly #socket: Socket
  readonly #received: Buffer[] = []
  /** When the node has ended the connection. */
  readonly ended: Promise<void>

  private constructor(socket: Socket) {
    this.#socket = socket
    socket.on('data', (bytes: Buffer) => this.#received.push(bytes))
    // A reset is one way to say no.
    socket.on('error', () => undefined)
    this.ended = new Promise(resolve => {
      socket.on('close', () => resolve())
    })
  }

  static async connect(port: number): Promise<Stranger> {
    const socket = connect(port, '127.0.0.1')
    const stranger = new Stranger(socket)
    await stranger.#either('connect')
    return stranger
  }

  get isOpen(): boolean {
    return !this.#socket.destroyed
  }

  get received(): Buffer {
    return Buffer.concat(this.#received)
  }

  say(bytes: Uint8Array): void {
    this.#socket.write(bytes)
  }

  /** Resolves once so many bytes have come, or the connection has ended. */
  async heard(bytes: number): Promise<void> {
    while (this.isOpen && this.received.length < bytes) {
      await this.#either('data')
    }
  }

  /** Waits for an event, or the end. */
  async #either(event: 'connect' | 'data'): Promise<void> {
    const happened = Promise.withResolvers<void>()
    this.#socket.once(event, () => happened.resolve())
    await Promise.race([happened.promise, this.ended])
  }

  close(): void {
    this.#socket.destroy()
  }
}

/** The TCP port of a multiaddr. */
export function portOf(address: string): number {
  const [, port] = /\/tcp\/(\d+)/.exec(address) ?? []
  if (port === undefined) throw new TypeError(`${address} has no TCP port`)
  return Number(port)
}
