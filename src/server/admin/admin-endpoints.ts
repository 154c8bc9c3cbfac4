import {
  type ExportedRecord,
  exportRecords,
  findEntry,
  importRecords,
  listEntries,
  lookupKeyOf,
} from '../../cache/inspect-cache.ts'
import type { PrefixCache } from '../../cache/prefix/prefix-cache.ts'
import type { ResponseCache } from '../../cache/response-cache.ts'
import { OperationError, requestInvalid } from '../../errors.ts'
import type { Store } from '../../interface/store.ts'
import { parseSwarmTag } from '../../key/scope.ts'
import type { Clock } from '../../std/clock.ts'
import type { Json } from '../../std/json.ts'
import { isJsonObject } from '../../std/json.ts'
import type { PlainCall, PlainEndpoint, PlainReply } from '../endpoint.ts'
import { encodeError as encodeOpenaiError } from '../openai/errors.ts'
import type { Router } from '../router.ts'

export interface AdminComponents {
  readonly store: Store
  readonly cache: ResponseCache
  /** KV state, which is as private as the answers; absent where none is kept. */
  readonly prefix?: Pick<PrefixCache, 'clear'> | undefined
  readonly clock: Clock
  /** What `hyperspace status --json` prints. */
  readonly status: () => unknown
  /** Stops the node as SIGTERM would. */
  readonly shutdown: () => void
}

/** Most entries of one listing; records of one export or import page. */
const entriesMax = 1_000_000
const pageMax = 1_000

/** What the CLI asks of a running node. Needs the admin token of the data folder. */
export function addAdminEndpoints(router: Router, parts: AdminComponents): void {
  const { store, cache, prefix } = parts
  router.add(
    'GET',
    '/admin/status',
    admin(() => ({ body: parts.status() })),
  )
  router.add(
    'POST',
    '/admin/shutdown',
    admin(() => {
      parts.shutdown()
      return { body: { stopping: true } }
    }),
  )
  router.add(
    'GET',
    '/admin/cache',
    admin(() => ({ body: store.stats() })),
  )
  router.add(
    'GET',
    '/admin/cache/entries',
    admin(({ query }) => {
      const limit = Math.min(Number(query.get('limit') ?? 100) || 100, entriesMax)
      return { body: { entries: listEntries(store, limit) } }
    }),
  )
  router.add(
    'DELETE',
    '/admin/cache/entries',
    admin(async () => {
      await cache.clear()
      await prefix?.clear()
      return { body: { cleared: true } }
    }),
  )
  router.add(
    'GET',
    '/admin/cache/entries/*',
    admin(({ rest }) => {
      const found = findEntry(store, rest)
      if (found === undefined) throw noEntry()
      return { body: found }
    }),
  )
  router.add(
    'DELETE',
    '/admin/cache/entries/*',
    admin(async ({ rest }) => {
      const key = lookupKeyOf(store, rest)
      if (key === undefined || !(await cache.remove(key))) throw noEntry()
      return { body: { removed: key } }
    }),
  )
  router.add(
    'POST',
    '/admin/cache/export',
    admin(call => exportPage(store, call)),
  )
  router.add(
    'POST',
    '/admin/cache/import',
    admin(call => importPage(parts, call)),
  )
}

function admin(handle: PlainEndpoint['handle']): PlainEndpoint {
  return { kind: 'plain', api: 'other', access: 'admin', encodeError: encodeOpenaiError, handle }
}

async function exportPage(store: Store, call: PlainCall): Promise<PlainReply> {
  const { keys } = await call.json()
  const isList = Array.isArray(keys) && keys.every(key => typeof key === 'string')
  if (!isList || keys.length > pageMax) {
    throw requestInvalid('keys', `'keys' must be a list of at most ${pageMax} look-up keys`)
  }
  return { body: { records: [...exportRecords(store, keys)] } }
}

async function importPage({ store, clock }: AdminComponents, call: PlainCall): Promise<PlainReply> {
  const { records } = await call.json()
  if (!Array.isArray(records) || records.length > pageMax) {
    throw requestInvalid('records', `'records' must be a list of at most ${pageMax} records`)
  }
  const checked = records.map((record, index) => parseExportedRecord(record, `records[${index}]`))
  return { body: { added: await importRecords(store, checked, clock.now()) } }
}

/** @throws request_invalid naming the field */
export function parseExportedRecord(value: Json, path: string): ExportedRecord {
  if (isJsonObject(value) && isJsonObject(value['meta'] ?? null)) {
    const { lookupKey, bytesBase64, meta } = value
    if (typeof lookupKey === 'string' && typeof bytesBase64 === 'string' && isJsonObject(meta)) {
      const { costSeconds, createdAt, expiresAt, fieldDigests } = meta
      const swarm = parseSwarmTag(String(meta['swarm'] ?? ''))
      if (
        isCount(costSeconds) &&
        isCount(createdAt) &&
        isCount(expiresAt) &&
        isDigests(fieldDigests)
      ) {
        const kept = { costSeconds, createdAt, expiresAt, fieldDigests }
        return { lookupKey, bytesBase64, meta: { ...kept, ...(swarm && { swarm }) } }
      }
    }
  }
  throw requestInvalid(path, `'${path}' is not a record that \`hyperspace cache export\` wrote`)
}

function isCount(value: Json | undefined): value is number {
  return typeof value === 'number' && Number.isFinite(value) && value >= 0
}

function isDigests(value: Json | undefined): value is { readonly [field: string]: string } {
  return isJsonObject(value) && Object.values(value).every(digest => typeof digest === 'string')
}

function noEntry(): OperationError {
  return new OperationError('not_found', 'No entry has this key', { origin: 'client' })
}
