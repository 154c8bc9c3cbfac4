import { PassThrough, Readable, Writable } from 'node:stream'
import picocolors from 'picocolors'
import type { Colors, StopSignal, Terminal } from './terminal.ts'

export interface CapturedTerminalOptions {
  readonly env?: { readonly [name: string]: string }
  /** What stdin holds, as if piped in; absent: nothing is piped. */
  readonly input?: string
  /** A person sits there: what they type is written to `typed`. */
  readonly isInteractive?: boolean
}

/** A terminal that keeps what is written to it. For tests. */
export class CapturedTerminal implements Terminal {
  readonly env: { readonly [name: string]: string }
  readonly stdin: Readable
  readonly stderr: Writable
  readonly isInteractive: boolean
  readonly typed: PassThrough = new PassThrough()
  readonly isPiped: boolean
  readonly isStdoutTty = false
  readonly canDraw = false
  readonly columns = 100
  readonly colors: Colors = picocolors.createColors(false)
  readonly errorColors: Colors = this.colors
  /** All of stdout and of stderr so far. */
  out = ''
  err = ''
  exitedWith: number | undefined
  readonly #signalListeners = new Set<(signal: StopSignal) => void>()
  readonly #outListeners = new Set<() => void>()

  constructor({ env = {}, input, isInteractive = false }: CapturedTerminalOptions = {}) {
    this.env = env
    this.isPiped = input !== undefined
    this.isInteractive = isInteractive
    this.stdin = isInteractive
      ? this.typed
      : Readable.from(input === undefined ? [] : [Buffer.from(input)])
    this.stderr = new Writable({
      write: (chunk, _encoding, done) => {
        this.writeError(String(chunk))
        done()
      },
    })
  }

  write(text: string): void {
    this.out += text
    for (const listener of this.#outListeners) listener()
  }

  writeError(text: string): void {
    this.err += text
    for (const listener of this.#outListeners) listener()
  }

  onSignal(listener: (signal: StopSignal) => void): () => void {
    this.#signalListeners.add(listener)
    return () => this.#signalListeners.delete(listener)
  }

  exitNow(code: number): void {
    this.exitedWith = code
  }

  /** What Ctrl-C or `kill` would do. */
  raise(signal: StopSignal): void {
    for (const listener of this.#signalListeners) listener(signal)
  }

  /** Resolves as soon as stdout or stderr matches. */
  seen(pattern: RegExp): Promise<void> {
    return new Promise(resolve => {
      const check = (): void => {
        if (!pattern.test(this.out) && !pattern.test(this.err)) return
        this.#outListeners.delete(check)
        resolve()
      }
      this.#outListeners.add(check)
      check()
    })
  }
}
