import type { ModelTable } from './cache/model-table.ts'
import type { ModelStatus, NodeStatus, PrefixStatus } from './client/node-status.ts'
import type { Config } from './config.ts'
import type { EngineSet } from './engines.ts'
import type { EngineModel } from './interface/engine.ts'
import type { Store } from './interface/store.ts'
import type { JoinedSwarm } from './swarm-part.ts'
import { describeSwarm } from './swarm-report.ts'
import type { MetricTotals } from './telemetry/prometheus.ts'

export interface NodeFacts {
  readonly config: Config
  readonly version: string
  readonly url: string
  readonly isDraining: boolean
  readonly now: number
  readonly startedAt: number
  readonly engineSet: EngineSet
  readonly models: ModelTable
  readonly store: Store
  readonly swarm: JoinedSwarm | undefined
  readonly totals: MetricTotals
  readonly requestsRunning: number
  /** Absent where no KV state is kept. */
  readonly prefix?: PrefixStatus | undefined
}

/** What a running node says of itself, to `status`, `up` and the admin API. */
export function describeNode(facts: NodeFacts): NodeStatus {
  const { config, version, url, now, startedAt, engineSet, totals } = facts
  return {
    name: 'hyperspace',
    version,
    pid: process.pid,
    startedAt: new Date(startedAt).toISOString(),
    uptimeSeconds: Math.max(0, Math.round((now - startedAt) / 1_000)),
    dataFolder: config.data,
    urls: { openai: `${url}/v1`, anthropic: url },
    state: facts.isDraining ? 'draining' : 'started',
    models: facts.models.list().map(({ model }) => describeModel(model)),
    upstreams: engineSet.upstreams.map(upstream => ({
      name: upstream.label.name,
      url: upstream.label.url,
      models: upstream.models().length,
    })),
    notices: noticesOf(facts),
    engines: engineSet.engines.map(engine => ({ kind: engine.kind, ...engine.load() })),
    requestsRunning: facts.requestsRunning,
    cache: { tiers: facts.store.stats().tiers, ...totals },
    ...(facts.prefix === undefined ? {} : { prefix: facts.prefix }),
    swarm: facts.swarm === undefined ? null : describeSwarm(facts.swarm),
    sharing: sharingOf(facts.swarm),
  }
}

function noticesOf({ engineSet, store, prefix }: NodeFacts): readonly string[] {
  const upstreams = engineSet.upstreams.flatMap(({ failure }) =>
    failure === undefined ? [] : [failure.message],
  )
  const stores = store
    .stats()
    .tiers.flatMap(({ readOnlyBecause }) =>
      readOnlyBecause === undefined ? [] : [`Answers are not stored: ${readOnlyBecause}`],
    )
  const unkept = prefix?.disk.readOnlyBecause
  const blocks = unkept === undefined ? [] : [`KV state is not stored: ${unkept}`]
  return [...upstreams, ...stores, ...blocks]
}

function describeModel(model: EngineModel): ModelStatus {
  const { details, speed } = model
  return {
    name: model.name,
    aliases: model.aliases,
    id: model.id,
    origin: details.origin,
    contextTokens: model.contextTokens ?? null,
    numericClass: model.numericClass,
    bytes: details.bytes ?? null,
    quantization: details.quantization ?? null,
    prefillTokensPerSecond: speed.prefillTokensPerSecond ?? null,
    decodeTokensPerSecond: speed.decodeTokensPerSecond ?? null,
    chat: model.capabilities.chat,
    embeddings: model.capabilities.embeddings,
  }
}

function sharingOf(swarm: JoinedSwarm | undefined): string {
  if (swarm === undefined) return 'nothing: prompts and answers stay on this machine'
  const shared = swarm.blocks === undefined ? 'answers' : 'answers and KV state of prompts'
  return (
    `${shared} with the members of swarm '${swarm.state.name}', sealed: only who has the same ` +
    'prompt can open them. `x-hyperspace-scope: local` keeps a request here'
  )
}
