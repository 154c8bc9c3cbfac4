import type { IncomingHttpHeaders } from 'node:http'
import type { CacheControl } from '../../cache/serve-request.ts'
import { requestInvalid } from '../../errors.ts'
import { sampleMax } from '../../limits.ts'

/** What the headers of a request ask of the cache. */
export interface RequestHead {
  readonly sample: number
  readonly control: CacheControl
}

const plainControl: CacheControl = { noStore: false, noCache: false, onlyIfCached: false }
export const plainHead: RequestHead = { sample: 0, control: plainControl }

/** Whether no header changes how the request is served: then equal bodies are equal requests. */
export function isPlainHead(headers: IncomingHttpHeaders): boolean {
  return (
    headers['cache-control'] === undefined &&
    headers['x-hyperspace-sample'] === undefined &&
    headers['x-hyperspace-scope'] === undefined
  )
}

/** @throws request_invalid naming the header */
export function parseHead(headers: IncomingHttpHeaders): RequestHead {
  if (isPlainHead(headers)) return plainHead
  return {
    sample: parseSample(headers['x-hyperspace-sample']),
    control: parseControl(headers['cache-control'] ?? ''),
  }
}

function parseSample(value: string | string[] | undefined): number {
  if (value === undefined) return 0
  const sample = typeof value === 'string' && /^\d{1,7}$/.test(value) ? Number(value) : Number.NaN
  if (sample <= sampleMax) return sample
  const name = 'x-hyperspace-sample'
  throw requestInvalid(name, `'${name}' must be a whole number from 0 to ${sampleMax}`)
}

/** RFC 9111 §5.2.1; unknown directives are ignored, as it says. */
function parseControl(text: string): CacheControl {
  const directives = new Map(
    text.split(',').map(item => {
      const [name = '', value = ''] = item.trim().toLowerCase().split('=')
      return [name, value.replaceAll('"', '')]
    }),
  )
  const maxAge = directives.get('max-age')
  if (maxAge !== undefined && !/^\d{1,10}$/.test(maxAge)) {
    throw requestInvalid('cache-control', "'max-age' of cache-control must be whole seconds")
  }
  return {
    noStore: directives.has('no-store'),
    noCache: directives.has('no-cache'),
    onlyIfCached: directives.has('only-if-cached'),
    ...(maxAge === undefined ? {} : { maxAgeSeconds: Number(maxAge) }),
  }
}
