import { BlockMemory } from './cache/block-memory.ts'
import { rehearseStripes } from './cache/blocks/stripe.ts'
import type { SwarmBlockStats } from './cache/blocks/swarm-blocks.ts'
import type { PrefixSwarm } from './cache/prefix/ask-prefix.ts'
import { createPrefixCache } from './cache/prefix/create-prefix-cache.ts'
import type { PrefixCache } from './cache/prefix/prefix-cache.ts'
import { stateOf } from './cache/prefix/prompt-blocks.ts'
import type { PrefixStatus } from './client/node-status.ts'
import type { Config } from './config.ts'
import { dataFolderPaths } from './data-folder.ts'
import { createShardCoder, type ShardCoder } from './erasure/index.ts'
import type { BlobStore } from './interface/blob-store.ts'
import type { EngineModel } from './interface/engine.ts'
import type { Log } from './interface/log.ts'
import type { Metrics } from './interface/metrics.ts'
import type { Scope } from './key/scope.ts'
import { blockBytes } from './key/state-layout.ts'
import { blockInlineBytesMax, KiB, readyMemoryBytesMax } from './limits.ts'
import { Identity } from './net/identity.ts'
import type { Clock } from './std/clock.ts'
import { type Startable, startAll, stopAll } from './std/lifecycle.ts'
import type { Random } from './std/random.ts'
import type { TaskScope } from './std/task-scope.ts'
import { ThreadedBlockCodec } from './store/blocks/threaded-block-codec.ts'
import { FileStore } from './store/files/file-store.ts'
import type { BlockGauges } from './telemetry/prometheus.ts'

export interface PrefixPartComponents {
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly metrics: Metrics
  /** Owns what is done after an answer. Stops before this part does. */
  readonly background: TaskScope
  readonly swarmOf: (scope: Scope) => PrefixSwarm | undefined
}

/** What keeps KV state on this node: its own, and shards of its swarm's. */
export interface PrefixPart extends Startable {
  readonly cache: PrefixCache
  /** Shards of others' blocks, and manifests of this node's own: for the swarm's part. */
  readonly shards: BlobStore
  readonly coder: ShardCoder
  /** For blocks, this node's and others'. */
  readonly memory: BlockMemory
  /** Makes ready what models need whose blocks are too large to be opened in place. */
  warmUp(models: readonly EngineModel[]): void
}

/** More than the head and the seal of a block take. */
const aroundRowsBytes: number = 16 * KiB
/**
 * Threads that code blocks: one block's shards are coded while the other's travel, and the engine
 * keeps the rest of the machine.
 */
const coderThreads = 2

/** Undefined where none is to be kept (`--no-kv`). */
export function createPrefixPart(
  components: PrefixPartComponents,
  config: Config,
): PrefixPart | undefined {
  if (!config.kv) return undefined
  const { clock, random, log, background } = components
  const paths = dataFolderPaths(config.data)
  const open = (name: string, folder: string, bytesMax: number): FileStore =>
    new FileStore({ clock, log }, { name, folder, bytesMax })
  const store = open('block store', paths.blocks, config.kvDisk)
  const shards = open('shard store', paths.shards, config.kvShared)
  const codec = new ThreadedBlockCodec(components)
  const coder = createShardCoder({ threads: coderThreads, clock })
  const memory = new BlockMemory({ clock, scope: background }, config.kvMemory)
  const cache = createPrefixCache(
    { ...components, store, codec, memory, scope: background },
    { ttlMs: config.ttl, memoryBytesMax: config.kvMemory },
  )
  const parts = [store, shards, codec, coder, cache]
  return {
    name: 'prefix part',
    cache,
    shards,
    coder,
    memory,
    warmUp(models) {
      const states = models
        .map(stateOf)
        .flatMap(reached => ('state' in reached ? reached.state : []))
      const large = states.filter(({ layout }) => blockBytes(layout) > blockInlineBytesMax)
      if (large.length === 0) return
      codec.warmUp()
      const readyBytesMax = Math.min(config.kvMemory, readyMemoryBytesMax)
      for (const state of large) {
        memory.keepReady(blockBytes(state.layout) + aroundRowsBytes)
        state.keepReady?.(readyBytesMax)
      }
      const nobody = Identity.fromSeed(random.bytes(32))
      background.spawn('rehearse manifests', () => rehearseStripes(nobody, clock))
    },
    start: options => startAll(parts, options),
    async stop() {
      memory.close()
      await stopAll(parts)
    },
  }
}

/** For `status`; undefined where nothing is kept. */
export function describePrefix(
  part: PrefixPart | undefined,
  models: readonly EngineModel[],
  swarm: SwarmBlockStats | undefined,
): PrefixStatus | undefined {
  if (part === undefined) return undefined
  const { memory, disk } = part.cache.stats()
  const { blobs: blocks, bytes, bytesMax, readOnlyBecause } = disk
  return {
    models: models.map(model => ({
      name: model.name,
      state: part.cache.offReason(model) ?? 'on',
    })),
    memory,
    disk: {
      blocks,
      bytes,
      bytesMax,
      ...(readOnlyBecause === undefined ? {} : { readOnlyBecause }),
    },
    swarm: swarm ?? null,
  }
}

/** For the metrics; undefined where nothing is kept. */
export function blockGauges(
  part: PrefixPart | undefined,
  swarm: SwarmBlockStats | undefined,
): BlockGauges | undefined {
  if (part === undefined) return undefined
  const { memory, disk, auditsWaiting } = part.cache.stats()
  const { shardsHeld = 0, shardBytes = 0, placed = 0 } = swarm ?? {}
  return {
    tiers: [
      { tier: 'memory', blocks: memory.blocks, bytes: memory.bytes },
      { tier: 'disk', blocks: disk.blobs, bytes: disk.bytes },
      { tier: 'shards', blocks: shardsHeld, bytes: shardBytes },
    ],
    placed,
    auditsWaiting,
  }
}
