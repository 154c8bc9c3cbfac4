import type { PrefixReport } from '../../cache/prefix/prefix-report.ts'
import { importedTokensOf } from '../../cache/prefix/prefix-report.ts'
import { ageSecondsOf, type Entry } from '../../cache/response-cache.ts'
import type { Phase, Served } from '../../cache/serve-request.ts'
import type { Completion } from '../../interface/generation.ts'
import type { Source } from '../../interface/metrics.ts'
import type { ResponseKey } from '../../key/response-key.ts'

/** Header names and values in turn, as `writeHead` takes them fastest. */
export type HeadList = readonly string[]

export type Hit = Extract<Served, { outcome: 'hit' }>
export type Live = Exclude<Served, { outcome: 'hit' }>

/** The part of a hit's head that is the same for each reply from one entry. */
export function entryHead(key: ResponseKey, { completion, receipt }: Entry): HeadList {
  const signed =
    receipt === undefined
      ? []
      : ['x-hyperspace-receipt', Buffer.from(receipt).toString('base64url')]
  return [
    ...signed,
    'x-cache',
    'HIT',
    'x-hyperspace-key',
    key,
    'x-hyperspace-saved-tokens',
    String(savedTokensOf(completion)),
  ]
}

/** The part of a hit's head that changes with time. `now` is in milliseconds since 1970. */
export function hitHead(source: Hit['source'], entry: Entry, now: number): HeadList {
  const ttlSeconds = Math.max(0, Math.floor((entry.expiresAt - now) / 1_000))
  return [
    'cache-status',
    `hyperspace; hit; ttl=${ttlSeconds}; detail=${source}`,
    'age',
    String(ageSecondsOf(entry, now)),
    'x-hyperspace-source',
    source,
  ]
}

/**
 * Where a computed answer came from: `prefix` when KV state was imported for it; what the engine
 * had resident all along is the engine's.
 */
export function sourceOf(live: Live): Source {
  const report = live.follower.prefix()
  return report !== undefined && importedTokensOf(report) > 0 ? 'prefix' : live.source
}

/** Why it was no hit, and what the prefix cache did for it: for people. */
export function reasonOf(live: Live): string {
  const { reason } = live.follower.prefix() ?? {}
  return reason === undefined ? live.reason : `${live.reason}; ${reason}`
}

/** What tells the client why its answer is being computed (RFC 9211 and our own short ones). */
export function liveHead(live: Live, start: { readonly cachedTokens: number }): HeadList {
  const report = live.follower.prefix()
  return [
    'cache-status',
    cacheStatusOf(live, report),
    'x-cache',
    live.outcome === 'bypass' ? 'BYPASS' : 'MISS',
    'x-hyperspace-source',
    sourceOf(live),
    'x-hyperspace-key',
    live.key,
    'x-hyperspace-reason',
    reasonOf(live),
    'x-hyperspace-saved-tokens',
    String(start.cachedTokens),
  ]
}

/** What every reply carries. */
export function commonHead(
  requestId: string,
  phases: readonly Phase[],
  warnings: readonly string[],
): HeadList {
  const timing = serverTimingOf(phases)
  const head = ['x-request-id', requestId, 'request-id', requestId, 'server-timing', timing]
  if (warnings.length > 0) head.push('x-hyperspace-warning', warnings.join('; '))
  return head
}

/** Tokens that a hit did not compute: the whole prompt and the whole answer. */
export function savedTokensOf(completion: Completion): number {
  return completion.usage.promptTokens + completion.usage.completionTokens
}

function serverTimingOf(phases: readonly Phase[]): string {
  let text = ''
  for (const { name, ms } of phases) {
    text += `${text === '' ? '' : ', '}${name};dur=${Math.round(ms * 1_000) / 1_000}`
  }
  return text
}

function cacheStatusOf(live: Live, report: PrefixReport | undefined): string {
  if (live.outcome === 'bypass') return `hyperspace; fwd=bypass; detail="${live.reason}"`
  const detail = report === undefined ? '' : detailOf(report)
  if (live.outcome === 'collapsed') return `hyperspace; fwd=miss; collapsed${detail}`
  return `hyperspace; fwd=miss${live.stores ? '; stored' : ''}${detail}`
}

/** `; detail="resident=128 disk=1792"`: prompt tokens that were not computed. */
function detailOf({ spared }: PrefixReport): string {
  const counts = Object.entries(spared).filter(([, tokens]) => tokens > 0)
  if (counts.length === 0) return ''
  return `; detail="${counts.map(([from, tokens]) => `${from}=${tokens}`).join(' ')}"`
}
