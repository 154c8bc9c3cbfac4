import { Agent, type Dispatcher, request } from 'undici'
import { OperationError } from '../../../errors.ts'
import {
  downloadIdleTimeoutMs,
  downloadRedirectsMax,
  upstreamConnectTimeoutMs,
} from '../../../limits.ts'
import type { AbortOptions } from '../../../std/signal.ts'

export interface HttpGetOptions extends AbortOptions {
  readonly agent: Agent
  readonly headers: { readonly [name: string]: string }
  /**
   * Bearer token; goes to the origin of the first address only, never to where that one redirects.
   */
  readonly token: string | undefined
}

export type HttpReply = Dispatcher.ResponseData

/** Connections of one pull. Its owner destroys it. */
export function createAgent(): Agent {
  return new Agent({
    connect: { timeout: upstreamConnectTimeoutMs },
    headersTimeout: downloadIdleTimeoutMs,
    bodyTimeout: downloadIdleTimeoutMs,
  })
}

/**
 * GETs an address and follows redirects to the storage behind it. Any status that is no redirect is
 * a reply.
 *
 * @throws download_failed for redirects that cannot be followed; errors of undici when the
 *   connection breaks
 */
export async function httpGet(url: URL, options: HttpGetOptions): Promise<HttpReply> {
  let current = url
  for (let redirects = 0; redirects <= downloadRedirectsMax; redirects++) {
    const isFirstOrigin = current.origin === url.origin
    const reply = await request(current, {
      dispatcher: options.agent,
      signal: options.signal,
      headers: {
        // Offsets and digests are those of the file itself, so it must not be compressed on the
        // way.
        'accept-encoding': 'identity',
        'user-agent': 'hyperspace-cache',
        ...options.headers,
        ...(options.token !== undefined && isFirstOrigin
          ? { authorization: `Bearer ${options.token}` }
          : {}),
      },
    })
    const location = headerOf(reply, 'location')
    if (reply.statusCode < 300 || reply.statusCode >= 400 || location === undefined) return reply
    await reply.body.dump()
    current = redirectTarget(location, current)
  }
  throw new OperationError(
    'download_failed',
    `${placeOf(url)} redirects more than ${downloadRedirectsMax} times`,
    { origin: 'upstream' },
  )
}

function redirectTarget(location: string, from: URL): URL {
  const target = URL.parse(location, from.href)
  const isKept = target?.protocol === 'https:' || target?.protocol === from.protocol
  if (target !== null && isKept) return target
  throw new OperationError(
    'download_failed',
    `${placeOf(from)} redirects to an address that is not safe to follow`,
    { origin: 'upstream' },
  )
}

/** A header's value, the first one where there are several. */
export function headerOf(reply: HttpReply, name: string): string | undefined {
  const value = reply.headers[name]
  return Array.isArray(value) ? value[0] : value
}

/** An address for people: without its query, which may hold a signature. */
export function placeOf(url: URL): string {
  return `${url.host}${url.pathname}`
}

/** What a status means for a download. Drains the reply. */
export async function statusFailure(reply: HttpReply, place: string): Promise<OperationError> {
  const status = reply.statusCode
  const retryAfterSeconds = Number(headerOf(reply, 'retry-after'))
  await reply.body.dump()
  const isBusy = status === 408 || status === 429 || status >= 500
  return new OperationError('download_failed', `${place} ${meaningOf(status)} (HTTP ${status})`, {
    origin: isBusy ? 'upstream' : 'client',
    retryable: isBusy,
    ...(retryAfterSeconds > 0 ? { retryAfterMs: retryAfterSeconds * 1_000 } : {}),
  })
}

function meaningOf(status: number): string {
  if (status === 401) {
    return (
      'asks for a login: it is private, gated or does not exist. ' +
      'Check the name, accept its licence on its page, and set HF_TOKEN'
    )
  }
  if (status === 403) {
    return (
      'refuses access: accept its licence on its page, ' +
      'and set HF_TOKEN to a token that may read it'
    )
  }
  if (status === 404 || status === 410) return 'does not exist: check the name'
  if (status === 429) return 'asks to slow down: try again later'
  if (status >= 500) return 'is out of order: try again later'
  return 'gave an answer that is no file'
}
