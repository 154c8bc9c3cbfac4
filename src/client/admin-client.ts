import type { EntryView, ExportedRecord } from '../cache/inspect-cache.ts'
import type { PrefixExplanation } from '../cache/prefix/prefix-cache.ts'
import { type ErrorCode, OperationError } from '../errors.ts'
import type { Completion } from '../interface/generation.ts'
import type { StoreStats } from '../interface/store.ts'
import { isJsonObject, type JsonObject } from '../std/json.ts'
import type { AbortOptions } from '../std/signal.ts'
import type { NodeStatus, SwarmReport } from './node-status.ts'

/**
 * Where a node is and what proves that the caller may administer it: `findRunningNode` reads both.
 */
export interface AdminAddress {
  /** `http://127.0.0.1:11500` */
  readonly url: string
  readonly adminToken: string
}

/** An entry as `cache get` shows it. The completion is there when the response key was given. */
export interface EntryFound {
  readonly view: EntryView
  readonly completion?: Completion
}

/** A request that is not to be answered, but explained. */
export interface PrefixQuestion {
  /** Its path: `/v1/chat/completions`. */
  readonly endpoint: string
  readonly body: JsonObject
  readonly scope?: 'local' | 'swarm'
  readonly apiKey?: string
}

/**
 * The admin API of a running node, typed. Every call rejects with
 * - node_not_running when nobody answers at the address,
 * - unauthorized when the token is not the node's,
 * - request_invalid, not_found … as the node says,
 * - the signal's reason when it is aborted.
 */
export class AdminClient {
  readonly #address: AdminAddress

  constructor(address: AdminAddress) {
    this.#address = address
  }

  /** `requestsRunning` without this one. */
  async status(options: AbortOptions): Promise<NodeStatus> {
    const status = await this.#call('GET', '/admin/status', options)
    if (status['name'] !== 'hyperspace' || !Array.isArray(status['models'])) {
      throw foreign(this.#address.url)
    }
    const found = status as unknown as NodeStatus
    // The node counts the very request that asks.
    return { ...found, requestsRunning: Math.max(0, found.requestsRunning - 1) }
  }

  /** Stops the node as SIGTERM would. Resolves when it has begun to. */
  async shutdown(options: AbortOptions): Promise<void> {
    await this.#call('POST', '/admin/shutdown', options)
  }

  async cacheStats(options: AbortOptions): Promise<StoreStats> {
    const stats = await this.#call('GET', '/admin/cache', options)
    if (!Array.isArray(stats['tiers'])) throw foreign(this.#address.url)
    return stats as unknown as StoreStats
  }

  /** At most `limit` entries, the most valuable first where the store knows an order. */
  async cacheEntries(limit: number, options: AbortOptions): Promise<readonly EntryView[]> {
    const { entries } = await this.#call('GET', `/admin/cache/entries?limit=${limit}`, options)
    if (!Array.isArray(entries)) throw foreign(this.#address.url)
    return entries as unknown as readonly EntryView[]
  }

  /** By response key or look-up key; undefined when there is none. */
  async cacheEntry(key: string, options: AbortOptions): Promise<EntryFound | undefined> {
    const found = await this.#callFor('GET', entryPath(key), options)
    if (found === undefined) return undefined
    if (!isJsonObject(found['view'])) throw foreign(this.#address.url)
    return found as unknown as EntryFound
  }

  /** Whether there was one. */
  async removeCacheEntry(key: string, options: AbortOptions): Promise<boolean> {
    return (await this.#callFor('DELETE', entryPath(key), options)) !== undefined
  }

  async clearCache(options: AbortOptions): Promise<void> {
    await this.#call('DELETE', '/admin/cache/entries', options)
  }

  /**
   * The records under these look-up keys, at most 1,000 at once; those that are gone are left out.
   */
  async exportRecords(
    keys: readonly string[],
    options: AbortOptions,
  ): Promise<readonly ExportedRecord[]> {
    const { records } = await this.#call('POST', '/admin/cache/export', options, { keys })
    if (!Array.isArray(records)) throw foreign(this.#address.url)
    return records as unknown as readonly ExportedRecord[]
  }

  /** Returns how many were new. At most 1,000 records and 32 MiB at once. */
  async importRecords(records: readonly ExportedRecord[], options: AbortOptions): Promise<number> {
    const { added } = await this.#call('POST', '/admin/cache/import', options, { records })
    if (typeof added !== 'number') throw foreign(this.#address.url)
    return added
  }

  /**
   * From where the node would begin to compute a prompt now; undefined for a node that cannot tell.
   * @throws what the endpoint would: request_invalid, model_not_found, context_length_exceeded
   */
  async explainPrefix(
    ask: PrefixQuestion,
    options: AbortOptions,
  ): Promise<PrefixExplanation | undefined> {
    const found = await this.#callFor('POST', '/admin/cache/prefix', options, { ...ask })
    if (found === undefined) return undefined
    if (typeof found['isOn'] !== 'boolean') throw foreign(this.#address.url)
    return found as unknown as PrefixExplanation
  }

  /** Who the node is, and its place in its swarm. */
  async swarm(options: AbortOptions): Promise<SwarmReport> {
    const report = await this.#call('GET', '/admin/swarm', options)
    if (typeof report['self'] !== 'string') throw foreign(this.#address.url)
    return report as unknown as SwarmReport
  }

  /** Makes the node follow its folder's swarm.json. @throws config_invalid, data_folder_unusable */
  async reloadSwarm(options: AbortOptions): Promise<void> {
    await this.#call('POST', '/admin/swarm/reload', options)
  }

  /** Returns the peer id found there. @throws peer_unreachable, swarm_refused */
  async connectPeer(address: string, options: AbortOptions): Promise<string> {
    const reply = await this.#call('POST', '/admin/peers/connect', options, { address })
    return textOf(reply['peer'], this.#address.url)
  }

  async setPeerBanned(peer: string, isBanned: boolean, options: AbortOptions): Promise<void> {
    await this.#call('POST', `/admin/peers/${isBanned ? 'ban' : 'unban'}`, options, { peer })
  }

  /** One round trip, in milliseconds. @throws peer_unreachable, peer_timeout */
  async pingPeer(peer: string, options: AbortOptions): Promise<number> {
    const { roundTripMs } = await this.#call('POST', '/admin/peers/ping', options, { peer })
    if (typeof roundTripMs !== 'number') throw foreign(this.#address.url)
    return roundTripMs
  }

  /** Peers that say that they hold a key: a response key or a look-up key. */
  async findHolders(key: string, options: AbortOptions): Promise<readonly string[]> {
    const path = `/admin/find/${encodeURIComponent(key)}`
    const { holders } = await this.#call('GET', path, options)
    if (!Array.isArray(holders)) throw foreign(this.#address.url)
    return holders.map(holder => textOf(holder, this.#address.url))
  }

  /** As `#call`, with undefined for what the node does not have. */
  async #callFor(
    method: string,
    path: string,
    options: AbortOptions,
    body?: unknown,
  ): Promise<JsonObject | undefined> {
    try {
      return await this.#call(method, path, options, body)
    } catch (error) {
      if (error instanceof OperationError && error.code === 'not_found') return undefined
      throw error
    }
  }

  async #call(
    method: string,
    path: string,
    { signal }: AbortOptions,
    body?: unknown,
  ): Promise<JsonObject> {
    const { url, adminToken } = this.#address
    const reply = await reach(new URL(path, url), {
      method,
      signal,
      headers: { authorization: `Bearer ${adminToken}`, 'content-type': 'application/json' },
      body: body === undefined ? null : JSON.stringify(body),
    })
    const parsed = parseObject(await reply.text())
    if (reply.ok && parsed !== undefined) return parsed
    throw reply.ok ? foreign(url) : refusalOf(reply.status, parsed)
  }
}

/** A key may be anything a person typed. */
function entryPath(key: string): string {
  return `/admin/cache/entries/${encodeURIComponent(key)}`
}

/**
 * `fetch`, with an error that says that no node answers.
 * @throws node_not_running; the signal's reason when it is aborted
 */
export async function reach(url: URL, init: RequestInit): Promise<Response> {
  try {
    return await fetch(url, init)
  } catch (error) {
    init.signal?.throwIfAborted()
    const why = error instanceof Error && error.cause instanceof Error ? error.cause.message : error
    throw new OperationError('node_not_running', `No node answers at ${url.origin} (${why})`, {
      origin: 'self',
      retryable: true,
      cause: error,
    })
  }
}

/** What a node said in its error body, as the error that it was. */
export function refusalOf(status: number, body: JsonObject | undefined): OperationError {
  const said = isJsonObject(body?.['error']) ? body['error'] : undefined
  const message = said?.['message']
  const text = typeof message === 'string' ? message : `The node answered with HTTP ${status}`
  const field = said?.['param']
  return new OperationError(codeOf(status, said?.['code']), text, {
    origin: status < 500 ? 'client' : 'self',
    ...(typeof field === 'string' ? { field } : {}),
  })
}

export function parseObject(text: string): JsonObject | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return isJsonObject(value) ? value : undefined
  } catch {
    // Not JSON: the caller says what that means.
    return undefined
  }
}

/** Codes that callers tell apart; every other refusal is sorted by its status. */
const knownCodes: readonly ErrorCode[] = [
  'model_not_found',
  'context_length_exceeded',
  'draining',
  'store_failed',
  'engine_busy',
  'upstream_unreachable',
  'upstream_timeout',
  'config_invalid',
  'data_folder_unusable',
  'peer_failed',
  'peer_overloaded',
  'peer_timeout',
  'peer_unreachable',
  'swarm_refused',
]

function codeOf(status: number, code: unknown): ErrorCode {
  const known = knownCodes.find(candidate => candidate === code)
  if (known !== undefined) return known
  if (status === 401) return 'unauthorized'
  if (status === 403) return 'forbidden'
  if (status === 404) return 'not_found'
  return status < 500 ? 'request_invalid' : 'engine_failed'
}

function textOf(value: unknown, url: string): string {
  if (typeof value === 'string') return value
  throw foreign(url)
}

function foreign(url: string): OperationError {
  return new OperationError(
    'node_not_running',
    `What answers at ${url} is no Hyperspace node of this version`,
    { origin: 'self' },
  )
}
