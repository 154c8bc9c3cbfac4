import { setTimeout as delay } from 'node:timers/promises'
import type { PeerId } from '../src/interface/network.ts'
import type { LookupKey } from '../src/key/response-key.ts'
import type { BenchResult, BenchRow } from './bench-result.ts'
import {
  type DirectoryNode,
  type DirectoryNodes,
  randomKeys,
  settled,
  startDirectoryNodes,
} from './support/directory-nodes.ts'
import { median, percentile } from './support/statistics.ts'

const findCount = 1_000
const findDeadlineMs = 5_000
/** Connected with everybody; in a small swarm all are. */
const hubs = 4
const providedCount = 100_000
const kadCount = 50
const idleMs = 3_000
const signal = new AbortController().signal

/**
 * Finding and providing keys over real connections, all nodes in this process, so that CPU times
 * are those of all of them together; and the same by kad-dht, over the same connections.
 */
export async function run(): Promise<BenchResult> {
  const rows: BenchRow[] = []
  for (const count of [3, 16, 64]) {
    const isMesh = count <= 16
    const world = await startDirectoryNodes(count, isMesh ? count : hubs)
    try {
      rows.push(...(await measureFind(world, `${count} nodes`)))
      if (count === 16) rows.push(...(await measureProvide(world)))
    } finally {
      await world.stop()
    }
  }
  return { name: 'directory', rows }
}

async function measureFind({ nodes }: DirectoryNodes, where: string): Promise<readonly BenchRow[]> {
  const { asker, provider } = roles(nodes)
  const keys = randomKeys(findCount)
  provider.directory.add(keys)
  await settled(nodes)
  const times = await timesOf(keys, key =>
    asker.directory.find(key, { signal, deadlineMs: findDeadlineMs }),
  )
  const { first, all, cpuMicros } = times
  const isLargest = where.startsWith('64')
  return [
    { label: `${where}: find, first provider, p50`, value: median(first), unit: 'ms' },
    {
      label: `${where}: find, all answers, p50`,
      value: median(all),
      unit: 'ms',
      ...(isLargest ? { target: '< 5 ms' } : {}),
    },
    { label: `${where}: find, all answers, p99`, value: percentile(all, 99), unit: 'ms' },
    { label: `${where}: find, CPU of all`, value: cpuMicros, unit: 'µs' },
  ]
}

async function measureProvide({ nodes }: DirectoryNodes): Promise<readonly BenchRow[]> {
  const { asker, provider } = roles(nodes)
  const idle = await cpuPerMs(() => delay(idleMs))
  const keys = randomKeys(providedCount)
  const sentBefore = provider.directory.stats().messagesSent
  const own = await cpuOf(async () => {
    provider.directory.add(keys)
    await settled(nodes)
  }, idle)
  const messages = provider.directory.stats().messagesSent - sentBefore

  const kadKeys = randomKeys(kadCount)
  const kad = await cpuOf(async () => {
    for (const key of kadKeys) await provider.network.discovery.provide(bytesOf(key), { signal })
  }, idle)
  const { first } = await timesOf(kadKeys, key =>
    asker.network.discovery.findProviders(bytesOf(key), { signal }),
  )
  const ownMicros = own / providedCount
  const kadMicros = kad / kadCount
  return [
    {
      label: `16 nodes: provide ${providedCount} keys, messages per key`,
      value: messages / providedCount,
      unit: '',
    },
    { label: '16 nodes: provide, CPU of all per key', value: ownMicros, unit: 'µs' },
    {
      label: '16 nodes: kad-dht provide, CPU of all per key',
      value: kadMicros,
      unit: 'µs',
      ratio: kadMicros / ownMicros,
      of: 'directory',
      target: '≥ 50 × directory',
    },
    { label: '16 nodes: kad-dht find, first provider, p50', value: median(first), unit: 'ms' },
    { label: '16 nodes: kad-dht find, p99', value: percentile(first, 99), unit: 'ms' },
  ]
}

function roles(nodes: readonly DirectoryNode[]): {
  readonly asker: DirectoryNode
  readonly provider: DirectoryNode
} {
  const [asker, provider] = nodes
  if (asker === undefined || provider === undefined) throw new RangeError('Too few nodes')
  return { asker, provider }
}

/** One after the other. @throws when one of them finds nobody */
async function timesOf(
  keys: readonly LookupKey[],
  find: (key: LookupKey) => AsyncIterable<PeerId>,
): Promise<{
  readonly first: readonly number[]
  readonly all: readonly number[]
  readonly cpuMicros: number
}> {
  const first: number[] = []
  const all: number[] = []
  const before = process.cpuUsage()
  for (const key of keys) {
    const startMs = performance.now()
    let firstMs: number | undefined
    for await (const _peer of find(key)) firstMs ??= performance.now() - startMs
    if (firstMs === undefined) throw new Error(`Nobody provides key ${first.length}`)
    first.push(firstMs)
    all.push(performance.now() - startMs)
  }
  const { user, system } = process.cpuUsage(before)
  return { first, all, cpuMicros: (user + system) / keys.length }
}

/** CPU microseconds of the work, without what the nodes cost by being there. */
async function cpuOf(work: () => Promise<unknown>, idlePerMs: number): Promise<number> {
  const startMs = performance.now()
  const before = process.cpuUsage()
  await work()
  const { user, system } = process.cpuUsage(before)
  return user + system - idlePerMs * (performance.now() - startMs)
}

async function cpuPerMs(work: () => Promise<unknown>): Promise<number> {
  const startMs = performance.now()
  return (await cpuOf(work, 0)) / (performance.now() - startMs)
}

function bytesOf(key: LookupKey): Uint8Array {
  return Buffer.from(key, 'hex')
}
