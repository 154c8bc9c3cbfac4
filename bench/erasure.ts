import { hash as hashOf, randomFillSync } from 'node:crypto'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import {
  type CodedObject,
  createKernel,
  createReedSolomon,
  createShardCoder,
  leafBytes,
  type ShardCoder,
  shardBytesOf,
  splitObject,
} from '../src/erasure/index.ts'
import type { BenchResult, BenchRow } from './bench-result.ts'
import { packageCode, packageName } from './support/erasure-package.ts'
import { compileIsal, type Isal, type IsalShape } from './support/isal.ts'
import { median } from './support/statistics.ts'

const objectBytes = 32 * 2 ** 20
const rounds = 5
const warmUps = 1
/** One behind the other in a round, so that each finds its memory as warm as ISA-L finds its own. */
const repeats = 3
const pipelineRounds = 12
const shapes = [
  [4, 4],
  [8, 6],
  [10, 6],
] as const
const pipelineShape = { dataShards: 8, parityShards: 6 }
/** A quarter of the data shards. */
const pipelineLosses = 2
const signal = new AbortController().signal

/**
 * Coding 32 MiB on one thread, beside memcpy, the fastest package and ISA-L; and what a node does
 * with a block – coding and hashing, checking and rebuilding – in one and in two threads.
 */
export async function run(): Promise<BenchResult> {
  const isal = compileIsal()
  const shared = new Uint8Array(new SharedArrayBuffer(objectBytes))
  randomFillSync(shared)
  const codecRows = shapes.flatMap(([dataShards, parityShards]) => {
    const shape = { dataShards, parityShards, shardBytes: shardBytesOf(objectBytes, dataShards) }
    return rowsOfShape(shape, shared, isal)
  })
  if (typeof isal !== 'string') isal.remove()
  const hashSpeed = speedOfHash(shared)
  const hashRow: BenchRow = {
    label: 'SHA-256 of 64 KiB leaves, node:crypto',
    value: hashSpeed,
    unit: 'GB/s',
  }
  const pipelineRows: BenchRow[] = []
  for (const threads of [1, 2]) {
    pipelineRows.push(...(await rowsOfPipeline(threads, shared, hashSpeed)))
  }
  return { name: 'erasure', rows: [...codecRows, ...skipped(isal), hashRow, ...pipelineRows] }
}

type Operation = 'encode' | 'reconstruct'

/** Fastest seconds of everything, in turns: what else the machine does hits all alike. */
function rowsOfShape(shape: IsalShape, object: Uint8Array, isal: Isal | string): BenchRow[] {
  const ours = ourCode(shape, object)
  const theirs = packageCode(shape)
  const target = Buffer.alloc(objectBytes)
  const source = Buffer.from(object)
  const best = new Map<string, number>()
  const note = (what: string, seconds: number): void => {
    best.set(what, Math.min(best.get(what) ?? Number.POSITIVE_INFINITY, seconds))
  }
  for (let round = 0; round < warmUps + rounds; round++) {
    const isWarm = round >= warmUps
    const measure = (what: string, work: () => void): void => {
      for (let repeat = 0; repeat < repeats; repeat++) {
        const seconds = secondsOf(work)
        if (isWarm) note(what, seconds)
      }
    }
    measure('memcpy', () => source.copy(target))
    for (const operation of ['encode', 'reconstruct'] as const) {
      measure(operation, ours[operation])
      measure(`${packageName} ${operation}`, theirs[operation])
    }
    if (typeof isal === 'string') continue
    const seconds = isal.measure(shape)
    note('ISA-L encode', seconds.encode)
    note('ISA-L reconstruct', seconds.reconstruct)
  }
  const speedOf = (what: string): number | undefined => gigabytesPerSecond(best.get(what))
  return (['encode', 'reconstruct'] as const).flatMap(operation =>
    comparison(shape, operation, speedOf),
  )
}

function comparison(
  { dataShards, parityShards }: IsalShape,
  operation: Operation,
  speedOf: (what: string) => number | undefined,
): BenchRow[] {
  const value = speedOf(operation) ?? Number.NaN
  const label = `(${dataShards},${dataShards + parityShards}) ${operation}`
  const isTarget = dataShards === pipelineShape.dataShards
  return ['memcpy', `${packageName} ${operation}`, `ISA-L ${operation}`].flatMap((rival, index) => {
    const speed = speedOf(rival)
    if (speed === undefined) return []
    const [name = rival] = rival.split(` ${operation}`)
    const row = { label, value, unit: 'GB/s', ratio: value / speed }
    const of = `${name} (${speed.toFixed(speed < 1 ? 2 : 1)} GB/s)`
    return [{ ...row, of, ...(index === 0 && isTarget ? { target: '≥ 2.0 GB/s' } : {}) }]
  })
}

/** The most data shards that may be lost are lost. */
function ourCode(shape: IsalShape, object: Uint8Array): { readonly [O in Operation]: () => void } {
  const { dataShards, parityShards, shardBytes } = shape
  const code = createReedSolomon({ dataShards, parityShards, kernel: createKernel() })
  const data = splitObject(object, dataShards)
  const parity = Array.from({ length: parityShards }, () => new Uint8Array(shardBytes))
  const lostCount = Math.min(dataShards, parityShards)
  const lost = Array.from({ length: lostCount }, (_, index) => index)
  const left = [...data.map((shard, index) => (index < lostCount ? undefined : shard)), ...parity]
  const rebuilt = lost.map(() => new Uint8Array(shardBytes))
  return {
    encode: () => code.encode(data, parity),
    reconstruct: () => code.reconstruct(left, lost, rebuilt),
  }
}

async function rowsOfPipeline(
  threads: number,
  object: Uint8Array,
  hashSpeed: number,
): Promise<BenchRow[]> {
  const coder = createShardCoder({ threads })
  await coder.start({ signal })
  const best = { put: Number.POSITIVE_INFINITY, get: Number.POSITIVE_INFINITY }
  const stalls: number[] = []
  for (let round = 0; round < warmUps + pipelineRounds; round++) {
    const delay = monitorEventLoopDelay({ resolution: 1 })
    delay.enable()
    const startMs = performance.now()
    const coded = await coder.encode(object, pipelineShape, { signal })
    const putMs = performance.now() - startMs
    await get(coder, coded)
    const getMs = performance.now() - startMs - putMs
    delay.disable()
    if (round < warmUps) continue
    best.put = Math.min(best.put, putMs)
    best.get = Math.min(best.get, getMs)
    // The monitor's own resolution is part of what it measures.
    stalls.push(Math.max(0, delay.max / 1e6 - 1))
  }
  await coder.stop()
  return pipelineRowsOf(threads, best, { hashSpeed, stallMs: median(stalls) })
}

/** Checks as many shards as are needed, and makes the lost data of them. */
async function get(coder: ShardCoder, coded: CodedObject): Promise<void> {
  const end = pipelineShape.dataShards + pipelineLosses
  const shards = coded.shards.map((shard, index) =>
    index >= pipelineLosses && index < end ? shard : undefined,
  )
  const trees = await coder.hash(coded.shards.slice(pipelineLosses, end), { signal })
  const areRight = trees.every(
    ({ root }, index) => Buffer.compare(root, coded.roots[index + pipelineLosses] ?? root) === 0,
  )
  if (!areRight) throw new Error('A good shard was refused')
  await coder.decode({ ...pipelineShape, shards, objectBytes }, { signal })
}

function pipelineRowsOf(
  threads: number,
  best: { readonly put: number; readonly get: number },
  { hashSpeed, stallMs }: { readonly hashSpeed: number; readonly stallMs: number },
): BenchRow[] {
  const { dataShards, parityShards } = pipelineShape
  const word = threads === 1 ? '1 thread' : `${threads} threads`
  const rowOf = (label: string, ms: number, hashed: number): BenchRow => {
    const perCore = (gigabytesPerSecond(ms / 1e3) ?? Number.NaN) / threads
    // Hashing alone would reach this much.
    const limit = (hashSpeed * dataShards) / hashed
    const of = `hashing alone (${limit.toFixed(2)} GB/s)`
    return {
      label: `${label}, ${word}, per core`,
      value: perCore,
      unit: 'GB/s',
      ratio: perCore / limit,
      of,
    }
  }
  return [
    rowOf('(8,14) put: encode and hash all 14', best.put, dataShards + parityShards),
    rowOf('(8,14) get: check 8, rebuild 2', best.get, dataShards),
    {
      label: `worst stall of the event loop, ${word}, median of the rounds`,
      value: stallMs,
      unit: 'ms',
      target: '< 10 ms',
    },
  ]
}

function speedOfHash(bytes: Uint8Array): number {
  const leaf = Buffer.from(bytes.subarray(0, leafBytes))
  let best = Number.POSITIVE_INFINITY
  for (let round = 0; round < rounds; round++) {
    const seconds = secondsOf(() => {
      for (let done = 0; done < objectBytes; done += leafBytes) hashOf('sha256', leaf, 'buffer')
    })
    best = Math.min(best, seconds)
  }
  return gigabytesPerSecond(best) ?? Number.NaN
}

function secondsOf(work: () => void): number {
  const startMs = performance.now()
  work()
  return (performance.now() - startMs) / 1e3
}

function gigabytesPerSecond(seconds: number | undefined): number | undefined {
  return seconds === undefined ? undefined : objectBytes / 1e9 / seconds
}

function skipped(isal: Isal | string): BenchRow[] {
  if (typeof isal !== 'string') return []
  return [{ label: `ISA-L skipped: ${isal}`, value: 0, unit: '' }]
}
