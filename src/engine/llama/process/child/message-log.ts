import type { Log, LogFields } from '../../../../interface/log.ts'
import type { FromChild } from '../engine-messages.ts'
import { errorMessageOf } from '../error-message.ts'

/** The log of the engine's process: its lines are written by the node's. */
export function messageLog(send: (message: FromChild) => void, bound: LogFields = {}): Log {
  const line =
    (level: 'error' | 'warn' | 'info' | 'debug') =>
    (event: string, fields: LogFields = {}): void =>
      send({ type: 'log', level, event, fields: cloneable({ ...bound, ...fields }) })
  return {
    error: line('error'),
    warn: line('warn'),
    info: line('info'),
    debug: line('debug'),
    child: fields => messageLog(send, { ...bound, ...fields }),
  }
}

/** Plain values as they are; errors by their stacks; what has no plain form as text. */
function cloneable(fields: LogFields): LogFields {
  return Object.fromEntries(
    Object.entries(fields).map(([name, value]) => [
      name,
      value instanceof Error ? errorMessageOf(value) : plain(value),
    ]),
  )
}

function plain(value: unknown): unknown {
  try {
    return structuredClone(value)
  } catch {
    // A function, or something native: a log line is not worth ending the process for.
    return String(value)
  }
}
