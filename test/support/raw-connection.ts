import { connect, type Socket } from 'node:net'

/** A TCP connection on which a test writes HTTP as it likes, right or wrong. */
export class RawConnection {
  readonly #socket: Socket
  #received = ''
  #isClosed = false
  #wake: () => void = () => undefined

  private constructor(socket: Socket) {
    this.#socket = socket
    socket.setEncoding('latin1')
    socket.on('data', (text: string) => {
      this.#received += text
      this.#wake()
    })
    // A reset is a way to close; what had arrived before is what tests look at.
    socket.on('error', () => undefined)
    socket.on('close', () => {
      this.#isClosed = true
      this.#wake()
    })
  }

  static async open(url: string): Promise<RawConnection> {
    const { hostname, port } = new URL(url)
    const socket = connect({ host: hostname, port: Number(port) })
    await new Promise((resolve, reject) => {
      socket.once('connect', resolve)
      socket.once('error', reject)
    })
    return new RawConnection(socket)
  }

  write(bytes: string | Uint8Array): void {
    this.#socket.write(bytes)
  }

  /**
   * All that has arrived, as Latin-1, once it matches; undefined where the other side closed
   * before.
   */
  async received(wanted: RegExp): Promise<string | undefined> {
    while (!wanted.test(this.#received)) {
      if (this.#isClosed) return undefined
      await this.#news()
    }
    return this.#received
  }

  /** All that has arrived, as Latin-1, when the other side has closed. */
  async closed(): Promise<string> {
    while (!this.#isClosed) await this.#news()
    return this.#received
  }

  /** Sends that nothing more will come, and goes on reading. */
  end(): void {
    this.#socket.end()
  }

  /** Goes away at once, as a killed client does. */
  destroy(): void {
    this.#socket.destroy()
  }

  #news(): Promise<void> {
    return new Promise(resolve => {
      this.#wake = resolve
    })
  }
}

/** One HTTP/1.1 request as text; a body gets its content-length unless a header gives another. */
export function httpText(
  line: string,
  options: { readonly headers?: { readonly [name: string]: string }; readonly body?: string } = {},
): string {
  const { headers = {}, body } = options
  const length = body === undefined ? {} : { 'content-length': `${Buffer.byteLength(body)}` }
  const all = { host: 'localhost', ...length, ...headers }
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`)
  return `${line} HTTP/1.1\r\n${lines.join('')}\r\n${body ?? ''}`
}
