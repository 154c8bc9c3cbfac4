import { statfs } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { Agent } from 'undici'
import { OperationError } from '../../../errors.ts'
import { diskReserveBytes, downloadProgressBytes, GiB, modelFileBytesMax } from '../../../limits.ts'
import type { Clock } from '../../../std/clock.ts'
import type { AbortOptions } from '../../../std/signal.ts'
import { DownloadMeter, type DownloadProgress } from './download-meter.ts'
import { type HttpReply, headerOf, httpGet, placeOf, statusFailure } from './http-get.ts'
import { PartFile, removePart } from './part-file.ts'
import { withRetries } from './retry.ts'

/** What to fetch and what is known about it beforehand. */
export interface Download {
  readonly url: URL
  readonly token: string | undefined
  readonly expectedBytes: number | undefined
  readonly expectedSha256: string | undefined
  /** Where to put it, until it is checked. */
  readonly partPath: string
}

export interface DownloadComponents {
  readonly clock: Clock
  readonly agent: Agent
}

export interface DownloadOptions extends AbortOptions {
  readonly onProgress?: (progress: DownloadProgress) => void
}

/**
 * Fetches a file into `partPath`, going on where an earlier attempt or process stopped. Size and
 * digest are checked against what was expected; a file that fails is removed. An abort keeps what
 * has arrived.
 *
 * @returns the SHA-256 of the bytes in the file
 * @throws download_failed with what to do
 */
export async function downloadFile(
  download: Download,
  components: DownloadComponents,
  options: DownloadOptions,
): Promise<string> {
  const source = { url: download.url.href, sha256: download.expectedSha256 }
  const part = await PartFile.open(download.partPath, source, options)
  let sha256: string
  try {
    if (download.expectedBytes !== undefined) {
      await ensureSpace(download.partPath, download.expectedBytes - part.receivedBytes)
    }
    const meter = new DownloadMeter(components.clock, part.receivedBytes, options.onProgress)
    let countedFrom = part.receivedBytes
    await withRetries(() => transfer(download, part, meter, { ...options, ...components }), {
      clock: components.clock,
      signal: options.signal,
      purpose: `Cannot download ${placeOf(download.url)}`,
      hasProgressed: () => {
        const hasProgressed = part.receivedBytes - countedFrom >= downloadProgressBytes
        if (hasProgressed) countedFrom = part.receivedBytes
        return hasProgressed
      },
    })
    sha256 = await part.finish()
  } finally {
    await part.close()
  }
  if (download.expectedSha256 !== undefined && sha256 !== download.expectedSha256) {
    await removePart(download.partPath)
    throw digestMismatch(download, sha256)
  }
  return sha256
}

/** One connection: asks for what is missing and appends it. Returns when the file is whole. */
async function transfer(
  download: Download,
  part: PartFile,
  meter: DownloadMeter,
  options: DownloadComponents & AbortOptions,
): Promise<void> {
  if (!canContinue(download, part)) await part.restart()
  if (part.receivedBytes === download.expectedBytes) return
  const reply = await httpGet(download.url, {
    ...options,
    token: download.token,
    headers: rangeHeaders(download, part),
  })
  const totalBytes = await prepare(download, part, reply)
  if (part.receivedBytes === totalBytes) {
    await reply.body.dump()
    return
  }
  meter.start(part.receivedBytes, totalBytes)
  for await (const chunk of reply.body) {
    if (!(chunk instanceof Uint8Array)) continue
    if (part.receivedBytes + chunk.byteLength > (totalBytes ?? modelFileBytesMax)) {
      throw new OperationError(
        'download_failed',
        `${placeOf(download.url)} sends more than it said`,
        {
          origin: 'upstream',
        },
      )
    }
    await part.write(chunk)
    meter.received(part.receivedBytes)
  }
  if (totalBytes !== undefined && part.receivedBytes < totalBytes) {
    throw brokenOff(`the connection ended at ${part.receivedBytes} of ${totalBytes} bytes`)
  }
  meter.finish(part.receivedBytes)
}

/**
 * Whether the rest of the file may be appended: something must tell in the end that both belong
 * together.
 */
function canContinue(download: Download, part: PartFile): boolean {
  const isVerifiable = download.expectedSha256 !== undefined || part.validator !== undefined
  return isVerifiable && part.receivedBytes <= (download.expectedBytes ?? modelFileBytesMax)
}

function rangeHeaders(download: Download, part: PartFile): { readonly [name: string]: string } {
  if (part.receivedBytes === 0) return {}
  const range = { range: `bytes=${part.receivedBytes}-` }
  // Where the digest is known it decides in the end, and the mirrors of a storage may tag equal
  // bytes differently. Without one, only the tag tells whether the rest belongs to what is here.
  if (download.expectedSha256 !== undefined || part.validator === undefined) return range
  return { ...range, 'if-range': part.validator }
}

/**
 * Reads the head of the reply and makes the part ready for its body; returns the size of the whole
 * file.
 */
async function prepare(
  download: Download,
  part: PartFile,
  reply: HttpReply,
): Promise<number | undefined> {
  const place = placeOf(download.url)
  if (reply.statusCode === 416) return await prepareAfter416(part, reply)
  if (reply.statusCode !== 200 && reply.statusCode !== 206) throw await statusFailure(reply, place)
  const range = parseContentRange(headerOf(reply, 'content-range'))
  const validator = validatorOf(reply)
  const isOther = download.expectedSha256 === undefined && validator !== part.validator
  if (reply.statusCode === 206 && (isOther || range?.start !== part.receivedBytes)) {
    await reply.body.dump()
    await part.restart()
    throw brokenOff('the server sent another part or version than asked for')
  }
  // A server that ignores ranges, or whose file has changed, sends it from the start.
  if (reply.statusCode === 200) await part.restart()
  const length = Number(headerOf(reply, 'content-length') ?? Number.NaN)
  const announced = reply.statusCode === 206 ? range?.totalBytes : length
  const totalBytes = Number.isSafeInteger(announced) ? announced : download.expectedBytes
  if (download.expectedBytes !== undefined && totalBytes !== download.expectedBytes) {
    await reply.body.dump()
    throw new OperationError(
      'download_failed',
      `${place} has ${totalBytes} bytes, but ${download.expectedBytes} were announced: ` +
        'try again later',
      { origin: 'upstream' },
    )
  }
  if (totalBytes !== undefined)
    await ensureSpace(download.partPath, totalBytes - part.receivedBytes)
  await part.setValidator(validator)
  return totalBytes
}

/** Weak tags (W/"…") promise the same meaning, not the same bytes; a date is the second best. */
function validatorOf(reply: HttpReply): string | undefined {
  const etag = headerOf(reply, 'etag')
  return etag?.startsWith('"') === true ? etag : headerOf(reply, 'last-modified')
}

/** Nothing is left to send: either the file was whole already, or it has become shorter. */
async function prepareAfter416(part: PartFile, reply: HttpReply): Promise<number> {
  const total = /^bytes \*\/(\d+)$/.exec(headerOf(reply, 'content-range') ?? '')?.[1]
  if (Number(total) === part.receivedBytes) return part.receivedBytes
  await reply.body.dump()
  await part.restart()
  throw brokenOff('the server has no such range')
}

function parseContentRange(
  header: string | undefined,
): { start: number; totalBytes: number | undefined } | undefined {
  const match = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(header ?? '')
  if (match === null) return undefined
  return {
    start: Number(match[1]),
    totalBytes: match[2] === '*' ? undefined : Number(match[2]),
  }
}

/** @throws download_failed when so many bytes do not fit beside the reserve */
async function ensureSpace(path: string, missingBytes: number): Promise<void> {
  const { bavail, bsize } = await statfs(dirname(path))
  const freeBytes = bavail * bsize
  if (missingBytes + diskReserveBytes <= freeBytes) return
  throw new OperationError(
    'download_failed',
    `The disk of ${dirname(path)} has ${inGiB(freeBytes)} free, ` +
      `but ${inGiB(missingBytes)} are needed: make room, or use another folder with --data`,
    { origin: 'store' },
  )
}

function inGiB(bytes: number): string {
  return `${(bytes / GiB).toFixed(1)} GiB`
}

function brokenOff(message: string): OperationError {
  return new OperationError('download_failed', message, { origin: 'upstream', retryable: true })
}

function digestMismatch(download: Download, sha256: string): OperationError {
  return new OperationError(
    'download_failed',
    `${placeOf(download.url)} arrived damaged and was removed: its SHA-256 is ${sha256}, ` +
      `not ${download.expectedSha256}. Pull again`,
    { origin: 'upstream', retryable: true },
  )
}
