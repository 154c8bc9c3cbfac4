import { copyFileSync, fstatSync, ftruncateSync, mkdirSync, openSync, rmSync } from 'node:fs'
import { dirname } from 'node:path'
import { destination, type Logger, multistream, pino } from 'pino'
import type { Log, LogFields } from '../interface/log.ts'
import { logBufferBytesMax, MiB } from '../limits.ts'

/** A log file past this size becomes `….1`: at most two files of it exist. */
const logBytesMax = 16 * MiB

export interface LogOptions {
  readonly file: string
  readonly level: 'error' | 'warn' | 'info' | 'debug'
  /** @default 16 MiB */
  readonly bytesMax?: number
}

export interface LogFile {
  readonly log: Log
  /** Writes what is buffered and closes the file. */
  close(): Promise<void>
}

/** JSON lines to a file of the data folder, in `level` and above; errors also to stderr. */
export function openLog({ file, level, bytesMax = logBytesMax }: LogOptions): LogFile {
  mkdirSync(dirname(file), { recursive: true })
  // Opened here: where it opens a file itself and fails, the first line would be thrown back at us.
  const dest = openSync(file, 'a')
  const sink = destination({ dest, sync: false, minLength: 0, maxLength: logBufferBytesMax })
  let bytes = fstatSync(dest).size
  sink.on('write', (written: number) => {
    bytes += written
    if (bytes <= bytesMax) return
    turn(file, dest)
    bytes = 0
  })
  // A log that cannot be written (disk full) must not take the node down; the store says what is
  // wrong.
  sink.on('error', () => undefined)
  const logger = pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: label => ({ level: label }) },
      serializers: { error: pino.stdSerializers.err },
    },
    multistream([
      { level, stream: sink },
      { level: 'error', stream: process.stderr },
    ]),
  )
  return {
    log: wrap(logger),
    close: () =>
      new Promise(resolve => {
        sink.once('close', () => resolve())
        // Otherwise it would wait for the write that failed to succeed.
        sink.once('error', () => sink.destroy())
        sink.end()
      }),
  }
}

function wrap(logger: Logger): Log {
  return {
    error: (event, fields) => logger.error(fields ?? {}, event),
    warn: (event, fields) => logger.warn(fields ?? {}, event),
    info: (event, fields) => logger.info(fields ?? {}, event),
    debug: (event, fields) => logger.debug(fields ?? {}, event),
    child: (fields: LogFields) => wrap(logger.child(fields)),
  }
}

/** Moves the lines to `….1` and goes on in the emptied file, which stays open. */
function turn(file: string, descriptor: number): void {
  try {
    copyFileSync(file, `${file}.1`)
  } catch {
    // No room for old lines: the bound counts more than they do.
    rmSync(`${file}.1`, { force: true })
  }
  ftruncateSync(descriptor)
}
