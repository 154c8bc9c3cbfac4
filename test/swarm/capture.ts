import { type ChildProcessByStdio, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import type { Readable } from 'node:stream'

/** Why nothing can be captured here; undefined where it can. */
export function captureHindrance(): string | undefined {
  if (process.getuid?.() !== 0) return 'only root may capture packets'
  const { error } = spawnSync('tcpdump', ['--version'])
  return error === undefined ? undefined : 'tcpdump is not installed (apt-get install tcpdump)'
}

type Child = ChildProcessByStdio<null, Readable, Readable>

/** tcpdump on loopback: what passes between TCP ports, as a pcap file. */
export class Capture {
  readonly #child: Child
  readonly #pieces: Buffer[] = []
  readonly #ended: Promise<unknown>

  private constructor(child: Child) {
    this.#child = child
    this.#ended = once(child, 'close')
    child.stdout.on('data', (bytes: Buffer) => this.#pieces.push(bytes))
  }

  /** Resolves when it captures. */
  static async start(ports: readonly number[]): Promise<Capture> {
    const filter = ports.map(port => `tcp port ${port}`).join(' or ')
    const options = ['-i', 'lo', '--immediate-mode', '-U', '-s', '0', '-w', '-', filter]
    const child = spawn('tcpdump', options, { stdio: ['ignore', 'pipe', 'pipe'] })
    const capture = new Capture(child)
    let said = ''
    while (!said.includes('listening on')) {
      const piece = await Promise.race([once(child.stderr, 'data'), capture.#ended])
      if (child.exitCode !== null) throw new Error(`tcpdump ended: ${said}`)
      said += String(piece)
    }
    return capture
  }

  /** How much has come so far. */
  get size(): number {
    return this.#pieces.reduce((sum, { length }) => sum + length, 0)
  }

  /** Ends it; returns what it has seen. */
  async stop(): Promise<Buffer> {
    this.#child.kill('SIGINT')
    await this.#ended
    return Buffer.concat(this.#pieces)
  }
}
