import { open } from 'node:fs/promises'
import { type ExportedRecord, exportRecords } from '../../cache/inspect-cache.ts'
import { OperationError } from '../../errors.ts'
import {
  type LookupKey,
  leavesKey,
  lookupKey,
  parseLookupKey,
  parseResponseKey,
  type ResponseKey,
} from '../../key/response-key.ts'
import { receiptBytesMax } from '../../limits.ts'
import { withReadOnlyStore } from '../cache/cache-access.ts'
import { linesOf } from '../cache/cache-import.ts'
import { parseExportLine } from '../cache/export-format.ts'
import { type CommandContext, textOption } from '../command.ts'
import { UsageError } from '../exit-code.ts'
import { runningAdmin } from '../swarm/swarm-folder.ts'
import { receiptInJson, receiptInText } from './receipt-text.ts'

/** What a person gave to be shown or verified. */
export type ReceiptInput =
  | {
      readonly type: 'record'
      readonly key: ResponseKey
      readonly sealed: Uint8Array
      /** The leaves, where they are stored beside it. */
      readonly sealedLeaves: Uint8Array | undefined
    }
  | { readonly type: 'receipt'; readonly bytes: Uint8Array }

/** Records by look-up key, those that there are. */
type FindRecords = (keys: readonly LookupKey[]) => Promise<readonly ExportedRecord[]>

/** @throws not_found, record_invalid, receipt_invalid, UsageError */
export async function readReceiptInput(context: CommandContext): Promise<ReceiptInput> {
  const [text = '-'] = context.args
  const key = parseResponseKey(text.toLowerCase())
  if (key !== undefined) return await recordOf(key, keys => findStored(context, keys))
  const option = textOption(context, 'key')?.toLowerCase()
  const wanted = option === undefined ? undefined : parseResponseKey(option)
  if (option !== undefined && wanted === undefined) {
    throw new UsageError(`--key must be a response key of 64 hex digits, not '${option}'`)
  }
  return await readFile(text, context, wanted)
}

async function recordOf(key: ResponseKey, findRecords: FindRecords): Promise<ReceiptInput> {
  const lookup = lookupKey(key)
  const asLookup = parseLookupKey(key)
  const wanted = [lookup, leavesKey(lookup), ...(asLookup === undefined ? [] : [asLookup])]
  const found = new Map(
    (await findRecords(wanted)).map(record => [record.lookupKey, bytesOf(record)] as const),
  )
  const sealed = found.get(lookup)
  if (sealed !== undefined) {
    return { type: 'record', key, sealed, sealedLeaves: found.get(leavesKey(lookup)) }
  }
  const why = found.has(key)
    ? 'This is the look-up key: the answer is here, but only its response key opens it'
    : `No stored answer has the response key ${key}`
  const hint = 'x-hyperspace-key of a reply has it, of a hit where the answer was cut at a limit'
  throw new OperationError('not_found', `${why} (${hint})`, { origin: 'client' })
}

/** A running node knows what is still on its way to the disk. */
async function findStored(
  context: CommandContext,
  keys: readonly LookupKey[],
): Promise<readonly ExportedRecord[]> {
  const admin = runningAdmin(context.data)
  if (admin !== undefined) return await admin.exportRecords(keys, context)
  return await withReadOnlyStore(context, async store => [...exportRecords(store, keys)])
}

async function readFile(
  file: string,
  { terminal }: CommandContext,
  wanted: ResponseKey | undefined,
): Promise<ReceiptInput> {
  try {
    const input = file === '-' ? terminal.stdin : (await open(file)).createReadStream()
    const { first, all } = await peek(input)
    // An open brace: JSON. A receipt begins with the head of a CBOR map, as text with an `r`.
    if (first[0] === 0x7b) return await readJson(all, wanted)
    return { type: 'receipt', bytes: receiptInText(await collect(all)) }
  } catch (error) {
    if (!(error instanceof Error && 'syscall' in error)) throw error
    throw new OperationError('not_found', `Cannot read ${file}: ${error.message}`, {
      origin: 'client',
      cause: error,
    })
  }
}

async function readJson(
  input: AsyncIterable<Uint8Array>,
  wanted: ResponseKey | undefined,
): Promise<ReceiptInput> {
  const lines = linesOf(input)[Symbol.asyncIterator]()
  const { value: head = '' } = await lines.next()
  if (!isJson(head)) return await readWholeJson(head, lines)
  const single = receiptInJson(head)
  if (single !== undefined) return { type: 'receipt', bytes: single }
  if (wanted === undefined) {
    throw new UsageError('The answers of an export are sealed: say which is meant with --key KEY')
  }
  return await recordOf(wanted, keys => findExported(head, lines, keys))
}

/** `receipt show --json` spread over lines. */
async function readWholeJson(head: string, lines: AsyncIterator<string>): Promise<ReceiptInput> {
  let text = head
  for (let next = await lines.next(); next.done !== true; next = await lines.next()) {
    text += next.value
    if (text.length > jsonCharactersMax) break
  }
  const bytes = isJson(text) ? receiptInJson(text) : undefined
  if (bytes !== undefined) return { type: 'receipt', bytes }
  throw new OperationError('receipt_invalid', 'The file is JSON without a receipt', {
    origin: 'client',
  })
}

/** Every line is checked until all wanted ones are found. @throws record_invalid */
async function findExported(
  head: string,
  lines: AsyncIterator<string>,
  keys: readonly LookupKey[],
): Promise<readonly ExportedRecord[]> {
  const left = new Set<string>(keys)
  const found: ExportedRecord[] = []
  let text = head
  for (let lineNumber = 1; left.size > 0; lineNumber++) {
    const line = parseExportLine(text, lineNumber)
    if (line.type === 'record' && left.delete(line.record.lookupKey)) found.push(line.record)
    const next = await lines.next()
    if (next.done === true) break
    text = next.value
  }
  return found
}

/** The first piece, and the whole again. */
async function peek(
  input: AsyncIterable<Uint8Array>,
): Promise<{ readonly first: Uint8Array; readonly all: AsyncIterable<Uint8Array> }> {
  const pieces = input[Symbol.asyncIterator]()
  const { value: first = new Uint8Array(0) } = await pieces.next()
  async function* all(): AsyncGenerator<Uint8Array> {
    yield first
    for (let next = await pieces.next(); next.done !== true; next = await pieces.next()) {
      yield next.value
    }
  }
  return { first, all: all() }
}

/** Pretty-printed, a receipt with all its fields is some 10 KB. */
const jsonCharactersMax = 65_536
/** As base64url with line breaks; larger than every receipt. */
const fileBytesMax: number = 2 * receiptBytesMax

async function collect(input: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const pieces: Uint8Array[] = []
  let bytes = 0
  for await (const piece of input) {
    bytes += piece.length
    pieces.push(piece)
    if (bytes > fileBytesMax) break
  }
  return Buffer.concat(pieces)
}

function bytesOf({ bytesBase64 }: ExportedRecord): Uint8Array {
  return Buffer.from(bytesBase64, 'base64')
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    // The first line of a pretty-printed text is none by itself.
    return false
  }
}
