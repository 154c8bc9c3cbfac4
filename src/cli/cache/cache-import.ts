import { open } from 'node:fs/promises'
import type { Readable } from 'node:stream'
import type { ExportedRecord } from '../../cache/inspect-cache.ts'
import { OperationError } from '../../errors.ts'
import { MiB } from '../../limits.ts'
import { type CommandContext, isSwitchedOn, writeJson } from '../command.ts'
import { type ExitCode, exitCodes } from '../exit-code.ts'
import { plural } from '../format.ts'
import { type CacheAccess, changeCache } from './cache-access.ts'
import {
  type ExportHeader,
  exportLineBytesMax,
  lineInvalid,
  parseExportLine,
  secretIdOf,
} from './export-format.ts'
import { folderSecret } from './folder-secret.ts'

/** What is sent to a node at once: well below the 32 MiB and 1,000 records that it takes. */
const batchBytesMax: number = 8 * MiB
const batchRecordsMax = 500

interface Imported {
  readonly read: number
  readonly added: number
}

/**
 * Each record is checked before it is stored; the first wrong line ends the import, and what came
 * before stays.
 */
export async function cacheImport(context: CommandContext): Promise<ExitCode> {
  const { terminal, args } = context
  const [file = '-'] = args
  try {
    const { read, added } = await changeCache(context, async cache => {
      const input = file === '-' ? terminal.stdin : (await open(file)).createReadStream()
      return await importAll(context, cache, input)
    })
    if (isSwitchedOn(context, 'json')) writeJson(context, { read, added })
    else {
      const rest = read - added
      terminal.write(`Imported ${plural(added, 'answer')}`)
      terminal.write(rest > 0 ? `; ${rest} were there already or have expired\n` : '\n')
    }
    return exitCodes.ok
  } catch (error) {
    if (!(error instanceof Error && 'syscall' in error)) throw error
    throw new OperationError('request_invalid', `Cannot read ${file}: ${error.message}`, {
      origin: 'client',
      cause: error,
    })
  }
}

async function importAll(
  context: CommandContext,
  cache: CacheAccess,
  input: Readable,
): Promise<Imported> {
  const batch = new Batch(cache, context.signal)
  let lineNumber = 0
  let announced: number | undefined
  for await (const text of linesOf(input)) {
    lineNumber += 1
    const line = parseExportLine(text, lineNumber)
    if ((line.type === 'header') !== (lineNumber === 1)) {
      throw lineInvalid(lineNumber, 'an export begins with its one header')
    }
    if (announced !== undefined) throw lineInvalid(lineNumber, 'it comes after the end')
    if (line.type === 'header') checkSecret(context, line.header)
    else if (line.type === 'end') announced = line.records
    else await batch.add(line.record)
  }
  await batch.flush()
  if (announced !== batch.read) {
    const written = announced === undefined ? 'its end is missing' : `it had ${announced} answers`
    throw invalidExport(`${written}, and ${batch.read} are in it`)
  }
  return batch
}

/** Lines without their breaks. Empty ones are left out. @throws record_invalid for endless ones */
export async function* linesOf(input: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  let pieces: Buffer[] = []
  let pieceBytes = 0
  for await (const chunk of input) {
    let rest = Buffer.from(chunk)
    for (let end = rest.indexOf(10); end !== -1; end = rest.indexOf(10)) {
      const line = Buffer.concat([...pieces, rest.subarray(0, end)]).toString()
      if (line !== '') yield line
      pieces = []
      pieceBytes = 0
      rest = rest.subarray(end + 1)
    }
    pieces.push(rest)
    pieceBytes += rest.length
    if (pieceBytes > exportLineBytesMax) {
      throw invalidExport(`one of its lines is longer than ${exportLineBytesMax} bytes`)
    }
  }
  const last = Buffer.concat(pieces).toString()
  if (last !== '') yield last
}

function invalidExport(why: string): OperationError {
  return new OperationError('record_invalid', `This is no whole export: ${why}`, {
    origin: 'client',
  })
}

/** @throws forbidden when the answers were sealed for another folder */
function checkSecret(context: CommandContext, { secretId }: ExportHeader): void {
  const secret = folderSecret(context.data)
  const isSame = secret !== undefined && secretIdOf(secret) === secretId
  if (isSame || isSwitchedOn(context, 'force')) return
  throw new OperationError(
    'forbidden',
    `These answers belong to a folder with another secret: a node on ${context.data} could never ` +
      'find them. Copy node.secret from there first (before the first start), or use --force',
    { origin: 'client' },
  )
}

/** Collects records until there are enough for one call. */
class Batch implements Imported {
  readonly #cache: CacheAccess
  readonly #signal: AbortSignal
  #records: ExportedRecord[] = []
  #bytes = 0
  read = 0
  added = 0

  constructor(cache: CacheAccess, signal: AbortSignal) {
    this.#cache = cache
    this.#signal = signal
  }

  async add(record: ExportedRecord): Promise<void> {
    this.#records.push(record)
    this.#bytes += record.bytesBase64.length
    this.read += 1
    if (this.#bytes >= batchBytesMax || this.#records.length >= batchRecordsMax) await this.flush()
  }

  async flush(): Promise<void> {
    this.#signal.throwIfAborted()
    const records = this.#records
    this.#records = []
    this.#bytes = 0
    if (records.length === 0) return
    this.added += await this.#cache.importRecords(records, { signal: this.#signal })
  }
}
