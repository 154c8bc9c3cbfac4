import { type FileHandle, open } from 'node:fs/promises'
import { dirname } from 'node:path'
import { StringDecoder } from 'node:string_decoder'
import { dataFolderPaths } from '../../data-folder.ts'
import { OperationError } from '../../errors.ts'
import { KiB, logLinesMax } from '../../limits.ts'
import { type CommandContext, countOption, isSwitchedOn } from '../command.ts'
import { type ExitCode, exitCodes } from '../exit-code.ts'
import { folderChanges } from './folder-changes.ts'
import { prettyLogLine } from './pretty-log-line.ts'

const chunkBytes = 64 * KiB

/** Prints the end of the node's log and, with --follow, what is written from then on. */
export async function logs(context: CommandContext): Promise<ExitCode> {
  const { data, terminal, signal } = context
  const file = dataFolderPaths(data).logFile
  const lines = countOption(context, 'lines', { fallback: 50, max: logLinesMax })
  const isRaw = isSwitchedOn(context, 'json') || !terminal.isStdoutTty
  const printer = new LinePrinter(line => {
    terminal.write(`${isRaw ? line : prettyLogLine(line, terminal.colors)}\n`)
  })
  let at = await printTail(file, { lines, printer })
  if (!isSwitchedOn(context, 'follow')) return exitCodes.ok
  for await (const _change of folderChanges(dirname(file), { signal })) {
    at = await printNew(at, printer)
  }
  return exitCodes.ok
}

interface Position {
  readonly file: string
  readonly inode: number
  readonly offset: number
}

async function printTail(
  file: string,
  { lines, printer }: { readonly lines: number; readonly printer: LinePrinter },
): Promise<Position> {
  try {
    await using handle = await open(file)
    const { ino, size } = await handle.stat()
    const offset = await printFrom(handle, await tailStart(handle, size, lines), printer)
    return { file, inode: ino, offset }
  } catch (error) {
    if (!isMissing(error)) throw error
    throw new OperationError('not_found', `There is no log at ${file}: no node has run there yet`, {
      origin: 'client',
      cause: error,
    })
  }
}

/**
 * What was written since. A log that was turned (another file, or a shorter one) is read from its
 * start.
 */
async function printNew(at: Position, printer: LinePrinter): Promise<Position> {
  try {
    await using handle = await open(at.file)
    const { ino, size } = await handle.stat()
    const isSame = ino === at.inode && size >= at.offset
    const offset = await printFrom(handle, isSame ? at.offset : 0, printer)
    return { ...at, inode: ino, offset }
  } catch (error) {
    // Between two files of a turn there is none; its next change is told, too.
    if (isMissing(error)) return at
    throw error
  }
}

async function printFrom(handle: FileHandle, start: number, printer: LinePrinter): Promise<number> {
  const chunk = Buffer.alloc(chunkBytes)
  let offset = start
  for (;;) {
    const { bytesRead } = await handle.read(chunk, 0, chunkBytes, offset)
    if (bytesRead === 0) return offset
    printer.write(chunk.subarray(0, bytesRead))
    offset += bytesRead
  }
}

/**
 * Where the last `lines` lines begin: found from the end, so that a large log is as quick as a
 * small one.
 */
async function tailStart(handle: FileHandle, size: number, lines: number): Promise<number> {
  const chunk = Buffer.alloc(chunkBytes)
  // The break that ends the last line is one more than there are lines.
  let breaksLeft = lines + 1
  for (let end = size; end > 0; end -= chunkBytes) {
    const start = Math.max(0, end - chunkBytes)
    const { bytesRead } = await handle.read(chunk, 0, end - start, start)
    for (let index = bytesRead - 1; index >= 0; index--) {
      if (chunk[index] === 10) breaksLeft -= 1
      if (breaksLeft === 0) return start + index + 1
    }
  }
  return 0
}

/** Cuts bytes into whole lines; the start of an unfinished one is kept for the next bytes. */
class LinePrinter {
  readonly #print: (line: string) => void
  readonly #decoder = new StringDecoder('utf8')
  #rest = ''

  constructor(print: (line: string) => void) {
    this.#print = print
  }

  write(bytes: Buffer): void {
    const lines = (this.#rest + this.#decoder.write(bytes)).split('\n')
    this.#rest = lines.pop() ?? ''
    for (const line of lines) this.#print(line)
  }
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT'
}
