import type { Readable, Writable } from 'node:stream'
import picocolors from 'picocolors'

export type Colors = ReturnType<typeof picocolors.createColors>
export type StopSignal = 'SIGINT' | 'SIGTERM' | 'SIGHUP'

/**
 * Everything a command sees of the process around it: the only way to the console, the environment
 * and the signals. `CapturedTerminal` is its twin for tests.
 */
export interface Terminal {
  readonly env: { readonly [name: string]: string | undefined }
  readonly stdin: Readable
  /** For libraries that draw by themselves (prompts, progress). Data never goes there. */
  readonly stderr: Writable
  /** Whether a person can be asked something. */
  readonly isInteractive: boolean
  /** Whether stdin is a pipe or a file, so that there may be something to read. */
  readonly isPiped: boolean
  /** Whether a person reads stdout. */
  readonly isStdoutTty: boolean
  /** Whether stderr may be drawn on: progress bars and spinners. */
  readonly canDraw: boolean
  /** Width of stdout in characters. */
  readonly columns: number
  /** Colours of stdout; without a TTY, or with NO_COLOR, they do nothing. */
  readonly colors: Colors
  /** The same for stderr. */
  readonly errorColors: Colors
  /** Data: what was asked for. */
  write(text: string): void
  /** Everything else: progress, hints, errors. */
  writeError(text: string): void
  /** Takes signals over from Node's default (which is to die). Returns what gives them back. */
  onSignal(listener: (signal: StopSignal) => void): () => void
  /** Ends the process at once, whatever runs: for a person who has asked twice. */
  exitNow(code: number): void
}

const stopSignals: readonly StopSignal[] = ['SIGINT', 'SIGTERM', 'SIGHUP']

/** The terminal this process runs in. */
export function systemTerminal(): Terminal {
  const { env, stdin, stdout, stderr } = process
  // A reader that has seen enough (`| head`) is no error.
  stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(0)
    throw error
  })
  return {
    env,
    stdin,
    stderr,
    isInteractive: stdin.isTTY === true && stderr.isTTY === true && stdout.isTTY === true,
    isPiped: stdin.isTTY !== true,
    isStdoutTty: stdout.isTTY === true,
    canDraw: stderr.isTTY === true && env['TERM'] !== 'dumb' && env['CI'] === undefined,
    columns: stdout.columns ?? 100,
    colors: picocolors.createColors(wantsColors(env, stdout.isTTY === true)),
    errorColors: picocolors.createColors(wantsColors(env, stderr.isTTY === true)),
    write: text => void stdout.write(text),
    writeError: text => void stderr.write(text),
    onSignal(listener) {
      for (const signal of stopSignals) process.on(signal, listener)
      return () => {
        for (const signal of stopSignals) process.off(signal, listener)
      }
    },
    exitNow: code => process.exit(code),
  }
}

/** https://no-color.org and its counterpart FORCE_COLOR. */
export function wantsColors(env: Terminal['env'], isTty: boolean): boolean {
  if ((env['NO_COLOR'] ?? '') !== '') return false
  if ((env['FORCE_COLOR'] ?? '0') !== '0') return true
  return isTty && env['TERM'] !== 'dumb'
}
