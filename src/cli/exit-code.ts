import { type ErrorCode, OperationError } from '../errors.ts'
import { isAbort } from '../std/signal.ts'

/** What the process ends with. Documented in docs/errors.md; scripts rely on it. */
export const exitCodes = {
  ok: 0,
  failure: 1,
  usage: 2,
  notRunning: 3,
  network: 4,
  verification: 5,
  /** 128 + SIGINT, as shells have it. */
  interrupted: 130,
} as const
export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes]

/** The command line itself is wrong. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}

const codesOfErrors: { readonly [code in ErrorCode]?: ExitCode } = {
  config_invalid: exitCodes.usage,
  node_not_running: exitCodes.notRunning,
  download_failed: exitCodes.network,
  upstream_unreachable: exitCodes.network,
  upstream_timeout: exitCodes.network,
  upstream_failed: exitCodes.network,
  peer_failed: exitCodes.network,
  peer_overloaded: exitCodes.network,
  peer_timeout: exitCodes.network,
  peer_unreachable: exitCodes.network,
  swarm_refused: exitCodes.network,
  receipt_invalid: exitCodes.verification,
  record_invalid: exitCodes.verification,
}

export function exitCodeOf(error: unknown): ExitCode {
  if (error instanceof UsageError) return exitCodes.usage
  if (isAbort(error)) return exitCodes.interrupted
  if (error instanceof OperationError) return codesOfErrors[error.code] ?? exitCodes.failure
  return exitCodes.failure
}

/**
 * What a person is told. A failure that we did not foresee is a defect, and its stack helps whoever
 * mends it.
 */
export function describeError(error: unknown): string {
  if (error instanceof OperationError || error instanceof UsageError) return error.message
  if (isAbort(error)) return 'Interrupted'
  const stack = error instanceof Error ? (error.stack ?? error.message) : String(error)
  return `This is a defect of Hyperspace, please report it:\n${stack}`
}
