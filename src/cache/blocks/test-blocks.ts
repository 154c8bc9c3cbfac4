import assert from 'node:assert/strict'
import { hash } from 'node:crypto'
import { createShardCoder } from '../../erasure/coder/create-shard-coder.ts'
import { type Log, silentLog } from '../../interface/log.ts'
import type { BlockMetrics } from '../../interface/metrics.ts'
import type { Network, PeerId } from '../../interface/network.ts'
import { type BlockHash, blockLookupKey } from '../../key/block-hash.ts'
import { type ModelId, modelIdFromDigest } from '../../key/model-id.ts'
import type { LookupKey } from '../../key/response-key.ts'
import { parseSwarmTag, type SwarmTag } from '../../key/scope.ts'
import { KiB } from '../../limits.ts'
import { RendezvousDirectory } from '../../net/directory/rendezvous-directory.ts'
import { Identity } from '../../net/identity.ts'
import type { MemoryNetwork } from '../../net/memory-network.ts'
import { MemoryWorld, type MemoryWorldOptions } from '../../net/memory-world.ts'
import { startAll, stopAll } from '../../std/lifecycle.ts'
import { SeededRandom } from '../../std/seeded-random.ts'
import { SimulatedClock } from '../../std/simulated-clock.ts'
import { TaskScope } from '../../std/task-scope.ts'
import { Reputation } from '../../trust/reputation.ts'
import { BlockMemory } from '../block-memory.ts'
import type { BlockSwarm } from './block-swarm.ts'
import { createSwarmBlocks } from './create-swarm-blocks.ts'
import type { FetchedBlock, FoundRun, PlaceableBlock } from './swarm-blocks.ts'
import { createTestBlobStore, type TestBlobStore } from './test-blob-store.ts'

export const modelId: ModelId = modelIdFromDigest('ab'.repeat(32))
export const swarmTag: SwarmTag = parseSwarmTag('0123456789abcdef') ?? assert.fail()
export const numericClass = 'test class'
/** Coded, and small enough for many of them. */
export const blockBytes: number = 600 * KiB

export interface BlockNodeOptions {
  readonly identity?: Identity
  readonly store?: TestBlobStore
  readonly storeBytesMax?: number
  readonly local?: Map<LookupKey, Uint8Array>
  readonly swarm?: SwarmTag
  readonly wrap?: (network: MemoryNetwork) => Network
  /** Is told of each call of the coder's `warmUp`. */
  readonly onWarmUp?: () => void
}

export interface BlockNode {
  readonly self: PeerId
  readonly identity: Identity
  readonly network: Network
  readonly directory: RendezvousDirectory
  readonly reputation: Reputation
  readonly store: TestBlobStore
  readonly local: Map<LookupKey, Uint8Array>
  readonly blocks: BlockSwarm
  /** How often each metric was counted, by name and label. */
  readonly counts: Map<string, number>
  stop(): Promise<void>
}

/** N nodes that share blocks of nothing in one simulated swarm on virtual time. */
export class TestBlockSwarm {
  readonly clock: SimulatedClock = new SimulatedClock()
  readonly world: MemoryWorld
  readonly nodes: BlockNode[] = []
  readonly logged: {
    readonly level: string
    readonly message: string
    readonly fields: unknown
  }[] = []
  readonly random: SeededRandom = new SeededRandom(7)

  constructor(options: MemoryWorldOptions = {}) {
    const { clock, random } = this
    this.world = new MemoryWorld({ clock, random }, { latencyMs: 10, ...options })
  }

  /** A started node that is connected with all others. */
  async add(options: BlockNodeOptions = {}): Promise<BlockNode> {
    const identity = options.identity ?? this.identity()
    const memory = this.world.createNetwork({ self: identity.peerId })
    const network = options.wrap?.(memory) ?? memory
    const node = await this.#createNode(identity, network, options)
    for (const other of this.nodes) await this.connect(network, other.self)
    this.nodes.push(node)
    return node
  }

  async addMany(count: number, options: BlockNodeOptions = {}): Promise<readonly BlockNode[]> {
    const added: BlockNode[] = []
    while (added.length < count) added.push(await this.add(options))
    await this.settleDown()
    return added
  }

  /** A member that speaks for itself: handlers are set by `prepare`, before it starts. */
  async addRogue(
    prepare: (network: MemoryNetwork) => void,
    identity: Identity = this.identity(),
  ): Promise<MemoryNetwork> {
    const network = this.world.createNetwork({ self: identity.peerId })
    prepare(network)
    await network.start()
    for (const other of this.nodes) await this.connect(network, other.self)
    return network
  }

  identity(): Identity {
    return Identity.fromSeed(this.random.bytes(32))
  }

  async connect(network: Network, peer: PeerId): Promise<void> {
    const { signal } = new AbortController()
    await this.clock.settle(network.connect(`/memory/${peer}`, { signal }))
  }

  /** Owners are told of members and keys once a second. */
  async settleDown(): Promise<void> {
    await this.clock.run(3_000)
  }

  /** Places blocks of a node that has them, and waits until that is done and announced. */
  async place(node: BlockNode, blocks: readonly PlaceableBlock[]): Promise<void> {
    for (const block of blocks) {
      node.local.set(blockLookupKey(block.hash), block.sealed)
      node.blocks.place(block)
    }
    await this.placed(node)
  }

  async placed(node: BlockNode): Promise<void> {
    for (let step = 0; node.blocks.stats().placing > 0; step++) {
      assert.ok(step < 10_000, 'placing comes to an end')
      await this.clock.run(50)
    }
    await this.settleDown()
  }

  async find(node: BlockNode, hashes: readonly BlockHash[], deadlineMs = 2_000): Promise<FoundRun> {
    const { signal } = new AbortController()
    return await this.clock.settle(node.blocks.find(hashes, { signal, deadlineMs }))
  }

  async fetch(node: BlockNode, run: FoundRun): Promise<readonly FetchedBlock[]> {
    const { signal } = new AbortController()
    return await this.clock.settle(collect(node.blocks.fetch(run, { signal })))
  }

  /** What a node gets of some blocks. */
  async get(node: BlockNode, hashes: readonly BlockHash[]): Promise<readonly FetchedBlock[]> {
    return await this.fetch(node, await this.find(node, hashes))
  }

  kill(node: BlockNode): void {
    this.nodes.splice(this.nodes.indexOf(node), 1)
    this.world.kill(node.self)
  }

  async close(): Promise<void> {
    for (const node of this.nodes.splice(0)) await this.clock.settle(node.stop())
  }

  async #createNode(
    identity: Identity,
    network: Network,
    options: BlockNodeOptions,
  ): Promise<BlockNode> {
    const { clock } = this
    const log = this.#log()
    const counts = new Map<string, number>()
    const store = options.store ?? createTestBlobStore(clock, options.storeBytesMax)
    const reputation = new Reputation(clock)
    const directory = new RendezvousDirectory({ network, clock, log })
    const local = options.local ?? new Map<LookupKey, Uint8Array>()
    const inPlace = createShardCoder({ threads: 0, clock })
    const coder = { ...inPlace, warmUp: () => options.onWarmUp?.() }
    const localBlocks = {
      has: (key: LookupKey) => local.has(key),
      sealed: async (key: LookupKey) => local.get(key),
    }
    const metrics = countingMetrics(counts)
    const scope = new TaskScope((task, error) => assert.fail(`${task}: ${error}`))
    const memory = new BlockMemory({ clock, scope })
    const parties = { network, directory, reputation, signer: identity, store, localBlocks }
    const blocks = createSwarmBlocks(
      { ...parties, coder, memory, clock, log, metrics },
      { swarm: options.swarm ?? swarmTag },
    )
    const parts = [store, coder, network, directory, blocks]
    const { signal } = new AbortController()
    await this.clock.settle(startAll(parts, { signal }))
    return {
      self: identity.peerId,
      identity,
      network,
      directory,
      reputation,
      store,
      local,
      blocks,
      counts,
      stop: () => stopAll(parts),
    }
  }

  #log(): Log {
    const at =
      (level: string): Log['info'] =>
      (message, fields) => {
        this.logged.push({ level, message, fields })
      }
    return {
      ...silentLog,
      debug: at('debug'),
      info: at('info'),
      warn: at('warn'),
      error: at('error'),
    }
  }
}

/** Blocks of a made-up prompt: any bytes will do, nobody here opens them. */
export function blocksOf(
  name: string,
  count: number,
  bytes: number = blockBytes,
): PlaceableBlock[] {
  return Array.from({ length: count }, (_, index) => {
    const random = new SeededRandom(index + name.length * 1_000)
    const sealed = new Uint8Array(bytes)
    sealed.set(random.bytes(Math.min(bytes, 4_096)))
    for (let at = 4_096; at < bytes; at += 4_096) sealed[at] = (at >> 12) & 0xff
    const blockHash = hash('sha256', `${name} ${index}`) as BlockHash
    return { hash: blockHash, sealed, modelId, numericClass, costSeconds: 1 }
  })
}

export function hashesOf(blocks: readonly PlaceableBlock[]): readonly BlockHash[] {
  return blocks.map(block => block.hash)
}

export async function collect<Value>(values: AsyncIterable<Value>): Promise<readonly Value[]> {
  const collected: Value[] = []
  for await (const value of values) collected.push(value)
  return collected
}

export function assertSame(
  fetched: readonly FetchedBlock[],
  expected: readonly PlaceableBlock[],
): void {
  assert.equal(fetched.length, expected.length, 'all blocks came')
  for (const [index, block] of fetched.entries()) {
    assert.equal(block.hash, expected[index]?.hash)
    assert.equal(Buffer.compare(block.sealed, expected[index]?.sealed ?? new Uint8Array()), 0)
  }
}

function countingMetrics(counts: Map<string, number>): BlockMetrics {
  const count = (name: string, by = 1): void => {
    counts.set(name, (counts.get(name) ?? 0) + by)
  }
  return {
    blockPlacementFinished: outcome => count(`placement ${outcome}`),
    shardReceived(result, bytes) {
      count(`shard ${result}`)
      count('received', bytes)
    },
    shardServed: bytes => count('served', bytes),
  }
}
