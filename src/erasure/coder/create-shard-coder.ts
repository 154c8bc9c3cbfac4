import type { Worker } from 'node:worker_threads'
import { codingIdleMs } from '../../limits.ts'
import { type Clock, systemClock } from '../../std/clock.ts'
import type { AbortOptions } from '../../std/signal.ts'
import { type CodeShape, checkShape, commonBytes, missingOf, presentOf } from '../code-shape.ts'
import { cauchyMatrix, parityMatrix, planRebuild } from '../generator.ts'
import { leafBytes, type ShardTree } from '../leaves.ts'
import { createMatrix } from '../matrix.ts'
import { checkShards, shardBytesOf, splitObject } from '../shards.ts'
import { startCoderWorker } from './coder-thread.ts'
import type { CodingWork } from './coding-job.ts'
import { CodingRunner } from './coding-runner.ts'
import type {
  CodedObject,
  DecodableObject,
  RebuildableObject,
  RebuiltShard,
  ShardCoder,
} from './shard-coder.ts'
import { copyInTurns, newShared, newSharedShards, toShared } from './shared-memory.ts'

export interface ShardCoderOptions {
  /**
   * Threads that share the work. They start when the first large object comes, or is announced by
   * `warmUp`. 0 does everything in place, whatever it takes: for the simulator.
   */
  readonly threads: number
  /** Milliseconds without work after which the threads end. @default 30_000 */
  readonly idleMs?: number
  /** @default the system's */
  readonly clock?: Clock
  /** @default a thread that runs coder-worker.ts. Tests start ones that die */
  readonly startWorker?: () => Worker
}

/** Start it before use. One that is not stopped keeps the process alive until it is idle. */
export function createShardCoder(options: ShardCoderOptions): ShardCoder {
  const { threads, idleMs = codingIdleMs } = options
  const { clock = systemClock, startWorker = startCoderWorker } = options
  const runner = new CodingRunner({ clock, startWorker }, { threads, idleMs })
  return {
    name: 'shard coder',
    start: startOptions => runner.start(startOptions),
    stop: () => runner.stop(),
    encode: (object, shape, callOptions) => encode(runner, object, shape, callOptions),
    decode: (coded, callOptions) => decode(runner, coded, callOptions),
    rebuild: (coded, callOptions) => rebuild(runner, coded, callOptions),
    warmUp: () => runner.warmUp(smallWork),
    hash: (shards, callOptions) => hash(runner, shards, callOptions),
  }
}

/** A few leaves of zeros, for each thread to compile what it runs. */
function smallWork(): CodingWork {
  const shape = { dataShards: 2, parityShards: 1 }
  const shardBytes = 4 * leafBytes
  const inputs = newSharedShards(shape.dataShards, shardBytes)
  const outputs = newSharedShards(shape.parityShards, shardBytes)
  const matrix = parityMatrix(cauchyMatrix(shape))
  return { shardBytes, product: { matrix, inputs, outputs }, hashed: [...inputs, ...outputs] }
}

async function encode(
  runner: CodingRunner,
  object: Uint8Array,
  shape: CodeShape,
  options: AbortOptions,
): Promise<CodedObject> {
  checkShape(shape)
  const { dataShards, parityShards } = shape
  const objectBytes = object.length
  const shardBytes = shardBytesOf(objectBytes, dataShards)
  return runner.inTurn((dataShards + parityShards) * shardBytes, options, async turn => {
    const inputs = await dataShardsOf(object, dataShards, turn.signal)
    const outputs = newSharedShards(parityShards, shardBytes)
    const matrix = parityMatrix(cauchyMatrix(shape))
    const shards = [...inputs, ...outputs]
    const product = { matrix, inputs, outputs }
    const trees = await turn.run({ shardBytes, product, hashed: shards })
    const leafHashes = trees.map(tree => tree.leafHashes)
    return { shards, leafHashes, roots: trees.map(({ root }) => root), shardBytes, objectBytes }
  })
}

async function decode(
  runner: CodingRunner,
  coded: DecodableObject,
  options: AbortOptions,
): Promise<Uint8Array> {
  checkCoded(coded)
  const { shards, dataShards, objectBytes } = coded
  const shardBytes = checkShards(shards, coded)
  const missing = missingOf(shards).filter(index => index < dataShards)
  const { matrix, sources } = planRebuild(cauchyMatrix(coded), presentOf(shards), missing)
  return runner.inTurn(shards.length * shardBytes, options, async turn => {
    const memory = newShared(dataShards * shardBytes)
    const data = splitObject(memory, dataShards)
    // What is there is put where it belongs; what is missing is made in its place.
    const copies = data.flatMap((target, index) => {
      const source = shards[index]
      return source === undefined ? [] : { source, target }
    })
    await copyInTurns(copies, turn.signal)
    if (missing.length === 0) return memory.subarray(0, objectBytes)
    const inputs = await toShared(
      sources.flatMap(index => (index < dataShards ? data[index] : shards[index]) ?? []),
      turn.signal,
    )
    const outputs = missing.flatMap(index => data[index] ?? [])
    await turn.run({ shardBytes, product: { matrix, inputs, outputs }, hashed: [] })
    return memory.subarray(0, objectBytes)
  })
}

async function rebuild(
  runner: CodingRunner,
  coded: RebuildableObject,
  options: AbortOptions,
): Promise<readonly RebuiltShard[]> {
  checkCoded(coded)
  const { shards, wanted } = coded
  const { matrix, sources } = planRebuild(cauchyMatrix(coded), presentOf(shards), wanted)
  const present = sources.flatMap(index => shards[index] ?? [])
  const shardBytes = commonBytes(shards.flatMap(shard => shard ?? []))
  const shardCount = Math.max(shards.length, present.length + wanted.length)
  return runner.inTurn(shardCount * shardBytes, options, async turn => {
    const inputs = await toShared(present, turn.signal)
    const outputs = newSharedShards(wanted.length, shardBytes)
    const product = { matrix, inputs, outputs }
    const trees = await turn.run({ shardBytes, product, hashed: outputs })
    return wanted.flatMap((index, at) => {
      const [shard, tree] = [outputs[at], trees[at]]
      return shard === undefined || tree === undefined ? [] : { index, shard, ...tree }
    })
  })
}

async function hash(
  runner: CodingRunner,
  shards: readonly Uint8Array[],
  options: AbortOptions,
): Promise<readonly ShardTree[]> {
  const shardBytes = commonBytes(shards)
  return runner.inTurn(shards.length * shardBytes, options, async turn => {
    const hashed = await toShared(shards, turn.signal)
    const matrix = createMatrix(0, 0, () => 0)
    return turn.run({ shardBytes, product: { matrix, inputs: [], outputs: [] }, hashed })
  })
}

async function dataShardsOf(
  object: Uint8Array,
  dataShards: number,
  signal: AbortSignal,
): Promise<readonly Uint8Array[]> {
  if (object.buffer instanceof SharedArrayBuffer) return splitObject(object, dataShards)
  const target = newShared(dataShards * shardBytesOf(object.length, dataShards))
  await copyInTurns([{ source: object, target }], signal)
  return splitObject(target, dataShards)
}

function checkCoded(coded: CodeShape & Pick<RebuildableObject, 'shards'>): void {
  checkShape(coded)
  const count = coded.dataShards + coded.parityShards
  if (coded.shards.length === count) return
  throw new RangeError(`There must be ${count} shards or gaps, not ${coded.shards.length}`)
}
