import { join } from 'node:path'
import type { Config } from './config.ts'
import { LlamaProcessEngine } from './engine/llama/process/llama-process-engine.ts'
import { readGgufHeader } from './engine/models/gguf-header.ts'
import { ModelDigests } from './engine/models/model-digest.ts'
import { type KnownModel, ModelFolder } from './engine/models/model-folder.ts'
import { discoverUpstreams, type FoundUpstream } from './engine/upstream/discover.ts'
import { UpstreamEngine } from './engine/upstream/upstream-engine.ts'
import type { Engine } from './interface/engine.ts'
import type { Log } from './interface/log.ts'
import { upstreamConnectTimeoutMs } from './limits.ts'
import type { Clock } from './std/clock.ts'
import type { Random } from './std/random.ts'
import type { AbortOptions } from './std/signal.ts'

export interface EngineComponents {
  readonly clock: Clock
  readonly log: Log
  readonly random: Random
}

/**
 * The engines of a node in the order in which names are looked up, and what a person should know of
 * their making.
 */
export interface EngineSet {
  readonly engines: readonly Engine[]
  readonly upstreams: readonly UpstreamEngine[]
}

/**
 * Builds the engines that the configuration asks for: the models and upstreams that were named;
 * with none named, the bundled demo model and whatever servers answer on this machine.
 */
export async function createEngines(
  components: EngineComponents,
  config: Config,
  options: AbortOptions,
): Promise<EngineSet> {
  const isNamed = config.model.length > 0 || config.upstream.length > 0
  const upstreams = isNamed
    ? config.upstream.map((url, index) => createUpstream(components, config, { url, index }))
    : (await discover(config, components.clock, options)).map(found =>
        createUpstream(components, config, { url: found.url, name: found.kind }),
      )
  const models =
    config.upstream.length > 0 && config.model.length === 0
      ? []
      : await modelsOf(components, config)
  const embedded =
    models.length === 0 ? [] : [await createLlama(components, config, { models, ...options })]
  return { engines: [...embedded, ...upstreams], upstreams }
}

async function discover(
  config: Config,
  clock: Clock,
  options: AbortOptions,
): Promise<readonly FoundUpstream[]> {
  return config.discover ? await discoverUpstreams({ clock, ...options }) : []
}

function createUpstream(
  components: EngineComponents,
  config: Config,
  at: { readonly url: string; readonly index?: number; readonly name?: string },
): UpstreamEngine {
  const apiKey = at.index === undefined ? undefined : config.upstreamKey[at.index]
  const folder = at.index === undefined ? undefined : config.upstreamSlots[at.index]
  const digests = new ModelDigests({ log: components.log }, { dataDir: config.data })
  const slots = {
    folder: folder ?? '',
    modelIdOf: async (path: string, signal: AbortSignal) => await digests.modelId(path, { signal }),
  }
  return new UpstreamEngine(components, {
    name: at.name ?? new URL(at.url).host,
    url: at.url,
    connectTimeoutMs: upstreamConnectTimeoutMs,
    idleTimeoutMs: config.upstreamTimeout,
    ...(apiKey === undefined ? {} : { apiKey }),
    ...(folder === undefined ? {} : { slots }),
  })
}

async function modelsOf(
  components: EngineComponents,
  config: Config,
): Promise<readonly KnownModel[]> {
  const folder = createModelFolder(components.log, config)
  if (config.model.length > 0) return await Promise.all(config.model.map(name => folder.find(name)))
  return (await folder.list()).filter(model => model.origin === 'bundled')
}

async function createLlama(
  { clock, log, random }: EngineComponents,
  config: Config,
  { models, signal }: AbortOptions & { readonly models: readonly KnownModel[] },
): Promise<LlamaProcessEngine> {
  const digests = new ModelDigests({ log }, { dataDir: config.data })
  // Before anything long: the header tells what is wrong with a file, which llama.cpp does not.
  for (const { path } of models) await readGgufHeader(path, { signal })
  const described = await Promise.all(
    models.map(async model => ({
      path: model.path,
      name: model.name,
      aliases: model.aliases,
      id: await digests.modelId(model.path, { signal }),
      parallel: config.parallel,
      queueMax: config.queue,
      ...(config.threads === 0 ? {} : { threads: config.threads }),
      ...(config.context === 0 ? {} : { contextTokens: config.context }),
    })),
  )
  const stateFolder = join(config.data, 'tmp')
  return new LlamaProcessEngine({ clock, log, random }, { models: described, stateFolder })
}

/** The models that this node knows, those given by path included. */
export function createModelFolder(log: Log, config: Config): ModelFolder {
  const digests = new ModelDigests({ log }, { dataDir: config.data })
  const paths = config.model.filter(name => name.toLowerCase().endsWith('.gguf'))
  return new ModelFolder({ digests, log }, { dataDir: config.data, paths })
}
