import { createHash, createHmac } from 'node:crypto'
import type { ExportedRecord } from '../../cache/inspect-cache.ts'
import { OperationError, requestInvalid } from '../../errors.ts'
import { parseLookupKey } from '../../key/response-key.ts'
import { answerBytesMax } from '../../limits.ts'
import { parseExportedRecord } from '../../server/admin/admin-endpoints.ts'
import { isJsonObject, type Json } from '../../std/json.ts'

/**
 * Lines of JSON: a header, the records, and an end that tells a whole file from a cut one. Records
 * stay sealed and keys stay look-up keys, so the file is as private as the store.
 */
export interface ExportHeader {
  readonly format: 'hyperspace-cache-export'
  readonly version: 1
  /**
   * Names the secret of the folder without telling it: only folders with the same one can find the
   * answers.
   */
  readonly secretId: string
}

export type ExportLine =
  | { readonly type: 'header'; readonly header: ExportHeader }
  | { readonly type: 'record'; readonly record: ExportedRecord }
  | { readonly type: 'end'; readonly records: number }

/** Longest line of an export: the largest answer in base64, sealed, with its digests. */
export const exportLineBytesMax: number = 2 * answerBytesMax

export function encodeHeader(secret: Uint8Array): string {
  const header: ExportHeader = {
    format: 'hyperspace-cache-export',
    version: 1,
    secretId: secretIdOf(secret),
  }
  return `${JSON.stringify(header)}\n`
}

export function encodeRecord(record: ExportedRecord): string {
  return `${JSON.stringify({ ...record, sha256: digestOf(record.bytesBase64) })}\n`
}

export function encodeEnd(records: number): string {
  return `${JSON.stringify({ end: true, records })}\n`
}

export function secretIdOf(secret: Uint8Array): string {
  const digest = createHmac('sha256', secret).update('hyperspace/export/1').digest('hex')
  return digest.slice(0, 16)
}

/** @throws record_invalid naming the line */
export function parseExportLine(text: string, lineNumber: number): ExportLine {
  try {
    return parseLine(JSON.parse(text))
  } catch (error) {
    const isOurs = error instanceof OperationError
    const why = isOurs ? error.message : 'it is not JSON'
    throw lineInvalid(lineNumber, why)
  }
}

export function lineInvalid(lineNumber: number, why: string): OperationError {
  return new OperationError('record_invalid', `Line ${lineNumber} of the export is wrong: ${why}`, {
    origin: 'client',
  })
}

function parseLine(value: Json): ExportLine {
  if (!isJsonObject(value)) throw requestInvalid('line', 'it is no JSON object')
  if (value['format'] !== undefined) return { type: 'header', header: parseHeader(value) }
  if (value['end'] === true && typeof value['records'] === 'number') {
    return { type: 'end', records: value['records'] }
  }
  const record = parseExportedRecord(value, 'line')
  if (parseLookupKey(record.lookupKey) === undefined) {
    throw requestInvalid('line', 'its look-up key is not 64 hex digits')
  }
  if (value['sha256'] !== digestOf(record.bytesBase64)) {
    throw requestInvalid('line', 'its digest is not that of its bytes')
  }
  return { type: 'record', record }
}

function parseHeader({
  format,
  version,
  secretId,
}: {
  readonly [name: string]: Json
}): ExportHeader {
  if (format !== 'hyperspace-cache-export' || typeof secretId !== 'string') {
    throw requestInvalid('line', 'it is no header of a Hyperspace export')
  }
  if (version !== 1) throw requestInvalid('line', 'its version is not 1: use a newer Hyperspace')
  return { format, version, secretId }
}

function digestOf(bytesBase64: string): string {
  return createHash('sha256').update(Buffer.from(bytesBase64, 'base64')).digest('hex')
}
