import type { Command } from 'commander'
import type { ExitCode } from './exit-code.ts'
import { UsageError } from './exit-code.ts'
import type { Terminal } from './terminal.ts'

/** What a command is run with. */
export interface CommandContext {
  readonly terminal: Terminal
  /** The data folder, absolute. It need not exist. */
  readonly data: string
  readonly args: readonly string[]
  /** Only what the person gave: defaults are the command's own. */
  readonly options: { readonly [name: string]: unknown }
  /** Fires at the first Ctrl-C. */
  readonly signal: AbortSignal
}

export type RunCommand = (context: CommandContext) => Promise<ExitCode>

/**
 * Adds one command under a parent. What it does is loaded only when it runs, so that light ones
 * start fast.
 */
export type AddCommand = (parent: Command, spec: CommandSpec) => Command

export interface CommandSpec {
  /** Name and arguments: `get <key>`. */
  readonly usage: string
  readonly summary: string
  readonly load: () => Promise<RunCommand>
  /** It handles Ctrl-C and SIGTERM itself. */
  readonly ownsSignals?: boolean
  /** What its parent does when no command of it is named. */
  readonly isDefault?: boolean
}

export function textOption({ options }: CommandContext, name: string): string | undefined {
  const value = options[name]
  return typeof value === 'string' ? value : undefined
}

export function isSwitchedOn({ options }: CommandContext, name: string): boolean {
  return options[name] === true
}

/** @throws UsageError */
export function countOption(
  context: CommandContext,
  name: string,
  { fallback, max }: { readonly fallback: number; readonly max: number },
): number {
  const text = textOption(context, name)
  if (text === undefined) return fallback
  const count = /^\d+$/.test(text) ? Number(text) : Number.NaN
  if (count <= max) return count
  throw new UsageError(`--${name} must be a whole number from 0 to ${max}, not '${text}'`)
}

/** One JSON value on stdout, for `--json`. */
export function writeJson({ terminal }: CommandContext, value: unknown): void {
  terminal.write(`${JSON.stringify(value, null, 2)}\n`)
}
