/**
 * Fields of one log line: numbers, flags, short texts, an `error`. Never a prompt, a completion or
 * a key.
 */
export interface LogFields {
  readonly [name: string]: unknown
}

/**
 * Structured log. `event` is a fixed noun-verb string (`record evicted`); everything variable goes
 * into fields. error: a human must act. warn: degraded, self-healing. info: state changes of the
 * node. debug: the rest.
 */
export interface Log {
  error(event: string, fields?: LogFields): void
  warn(event: string, fields?: LogFields): void
  info(event: string, fields?: LogFields): void
  debug(event: string, fields?: LogFields): void
  child(fields: LogFields): Log
}

const nothing = (): void => undefined

/** A log that nobody reads, for tests. */
export const silentLog: Log = {
  error: nothing,
  warn: nothing,
  info: nothing,
  debug: nothing,
  child: () => silentLog,
}
