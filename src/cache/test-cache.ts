import { FakeEngine, type FakeEngineOptions } from '../engine/fake/fake-engine.ts'
import { silentLog } from '../interface/log.ts'
import { type Metrics, silentMetrics } from '../interface/metrics.ts'
import type { Store } from '../interface/store.ts'
import { type CompletionRequest, emptyRequest } from '../key/completion-request.ts'
import { localScope, type Scope } from '../key/scope.ts'
import { MiB } from '../limits.ts'
import { VirtualClock } from '../std/clock.ts'
import { systemRandom } from '../std/random.ts'
import { TaskScope } from '../std/task-scope.ts'
import { MemoryStore } from '../store/memory-store.ts'
import { Flights } from './flights.ts'
import { ModelTable } from './model-table.ts'
import { ResponseCache } from './response-cache.ts'
import type { CacheControl, ServeComponents, ServeOptions, ServeRequest } from './serve-request.ts'

/**
 * The cache with a fake engine, a memory store and a clock that stands still: what tests of this
 * folder use.
 */
export interface TestCache extends ServeComponents {
  readonly engine: FakeEngine
  readonly clock: VirtualClock
  readonly store: Store
  readonly background: TaskScope
  readonly options: ServeOptions
  /** Forgets what is open in memory, as a restart does: the next look-up goes to the store. */
  reopened(): TestCache
}

export const testSecret: Uint8Array = new Uint8Array(32).fill(7)
export const testScope: Scope = localScope(testSecret, undefined)
export const plainControl: CacheControl = { noStore: false, noCache: false, onlyIfCached: false }

export function createTestCache(
  engineOptions: FakeEngineOptions = {},
  given: { readonly store?: Store; readonly metrics?: Metrics; readonly ttlMs?: number } = {},
): TestCache {
  const clock = new VirtualClock()
  const store = given.store ?? new MemoryStore({ clock }, { bytesMax: 16 * MiB })
  const engine = new FakeEngine({ modelName: 'fake', ...engineOptions })
  const metrics = given.metrics ?? silentMetrics
  const background = new TaskScope((task, error) => {
    throw new Error(`${task} failed`, { cause: error })
  })
  const open = (): TestCache => ({
    engine,
    clock,
    store,
    background,
    metrics,
    models: new ModelTable([engine]),
    flights: new Flights(background),
    cache: new ResponseCache(
      { store, clock, random: systemRandom, log: silentLog, metrics, scope: background },
      { ttlMs: given.ttlMs ?? 3_600_000 },
    ),
    options: { nodeSecret: testSecret, sampled: 'cache' },
    reopened: open,
  })
  return open()
}

/** A chat request with one user message. */
export function question(text: string, more: Partial<CompletionRequest> = {}): CompletionRequest {
  return {
    ...emptyRequest,
    kind: 'chat',
    model: 'fake',
    messages: [{ role: 'user', content: [{ type: 'text', text }] }],
    unknown: { api: 'openai', fields: {} },
    ...more,
  }
}

export function ask(
  request: CompletionRequest,
  more: {
    readonly control?: Partial<CacheControl>
    readonly sample?: number
    readonly scope?: Scope
  } = {},
): ServeRequest {
  return {
    request,
    scope: more.scope ?? testScope,
    sample: more.sample ?? 0,
    control: { ...plainControl, ...more.control },
  }
}
