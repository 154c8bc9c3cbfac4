import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { asked, systemTextOf } from '../test/prefix/long-prompt.ts'
import {
  type Shape,
  syntheticModel,
  syntheticSkip,
} from '../test/support/synthetic/synthetic-model.ts'
import type { BedNode } from '../test/swarm/bed-node.ts'
import { messagesPath } from '../test/swarm/questions.ts'
import { type BedNodeOptions, TestBed, until } from '../test/swarm/test-bed.ts'
import { Wan, wanHindrance } from '../test/swarm/wan.ts'
import type { BenchResult, BenchRow } from './bench-result.ts'
import { median } from './support/statistics.ts'

const shapes: readonly Shape[] = ['smollm2-135m', 'qwen2.5-0.5b']
const lengths = [512, 2_048, 4_096]
/** Two nodes on two cores: one thread each. */
const flags = { context: '4608', parallel: '2', threads: '1', kvDisk: '2GiB' } as const
/** A link over which the state of the small shape takes longer than prefilling it. */
const slowMbit = 10
/** The speed and the sizes of the small shape: two layers of keys and values in place of thirty. */
const slowEngine = {
  engine: 'fake',
  prefillTokensPerSecond: 400,
  stateRowBytes: 23_040 / 4,
} as const

/**
 * Time to the first token of a prompt whose beginning was computed before: cold, resident in the
 * engine, from the disk after a restart, and from a peer over loopback. The time is that of a whole
 * request for one token. What is resident is the least that any import can take: the tokens of the
 * question are computed either way.
 */
export async function run(): Promise<BenchResult> {
  if (syntheticSkip !== false) throw new Error(`No models to measure with: ${syntheticSkip}`)
  const rows: BenchRow[] = []
  for (const shape of shapes) {
    const file = syntheticModel(shape)
    for (const tokens of lengths) rows.push(...(await measure(shape, file, tokens)))
  }
  rows.push(...(await measureSlowLink()))
  return { name: 'prefix', rows }
}

type How = 'cold' | 'resident' | 'disk' | 'peer'
type Times = { readonly [how in How]: Timed }

interface Timed {
  readonly ms: number
  /** Tokens of the prompt that were computed. */
  readonly computed: number
}

async function measure(shape: string, file: string, tokens: number): Promise<readonly BenchRow[]> {
  const isAimed = shape === 'smollm2-135m' && tokens === 2_048
  const bed = new TestBed()
  try {
    const all: Times[] = []
    while (all.length < (isAimed ? 5 : 1)) all.push(await timesOf(bed, file, tokens, all.length))
    const middle = (value: (times: Times) => number): number => median(all.map(value))
    const row = (how: How, target?: string): BenchRow => ({
      label: `${shape}, ${tokens} tokens: ${how}, ${middle(times => times[how].computed)} computed`,
      value: middle(times => times[how].ms),
      unit: 'ms',
      ...(how === 'cold'
        ? {}
        : { ratio: middle(times => times[how].ms / times.cold.ms), of: 'cold' }),
      ...(isAimed && target !== undefined ? { target } : {}),
    })
    const above = (how: 'disk' | 'peer', target?: string): BenchRow => ({
      label: `${shape}, ${tokens} tokens: ${how} above resident`,
      value: middle(times => times[how].ms - times.resident.ms),
      unit: 'ms',
      ratio: middle(times => (times[how].ms - times.resident.ms) / times.cold.ms),
      of: 'cold',
      ...(isAimed && target !== undefined ? { target } : {}),
    })
    return [
      ...[row('cold'), row('resident')],
      ...[row('disk'), above('disk', '≤ 0.03 × cold')],
      ...[row('peer', '≤ 0.06 × cold'), above('peer')],
    ]
  } finally {
    await bed.close()
  }
}

/** One prompt through two nodes: the first computes it, both use what it computed. */
async function timesOf(bed: TestBed, file: string, tokens: number, index: number): Promise<Times> {
  const options: BedNodeOptions = { engine: 'demo', flags: { ...flags, model: [file] } }
  const holder = await bed.start(options)
  const model = (await holder.status()).models[0]?.name ?? ''
  // The first request of all pays for pages that were never touched.
  const warmUp = (node: BedNode, number: number): Promise<Timed> =>
    ttft(node, asked(model, 'Be short.', `Warm up ${index} ${number}`, 1))
  await warmUp(holder, 1)
  await idle(holder, 1)
  const system = await systemTextOf(holder, model, tokens, `bench ${index}`)
  // Questions of equal length.
  const ask = (node: BedNode, number: number, source: string): Promise<Timed> =>
    ttft(node, asked(model, system, `Where is ${number}?`, 1), source)
  const cold = await ask(holder, 1, 'engine')
  // The last one may hold the question, which is not kept at once.
  const blocks = Math.floor(tokens / 128) - 1
  await until(holder, 'blocks', (_, { prefix }) => (prefix?.disk.blocks ?? 0) >= blocks)
  await idle(holder, 2)
  await holder.stop()
  const again = await bed.restart(holder, options)
  await warmUp(again, 2)
  await idle(again, 3)
  const disk = await ask(again, 2, 'prefix')
  await idle(again, 4)
  const resident = await ask(again, 3, 'engine')
  await idle(again, 5)
  const asker = await bed.start({ ...options, peers: [again] })
  await bed.connected([again, asker])
  await warmUp(asker, 3)
  await idle(asker, 1)
  // How near the peer is decides what is expected of it before anything was measured, and a node
  // connects directly a moment after it has met a member.
  await until(asker, 'acquaintance', ({ peers: [first] }) => {
    return (first?.roundTripMs ?? null) !== null && first?.isDirect !== undefined
  })
  const peer = await ask(asker, 4, 'prefix')
  await Promise.all([again.kill(), asker.kill()])
  return { cold, resident, disk, peer }
}

/**
 * Until a node has done what it does behind so many answers: signed and offered them, and placed
 * the blocks that they began from. The next one would share the processor with it.
 */
async function idle(node: BedNode, answers: number): Promise<void> {
  await until(node, 'rest', ({ sharedAnswers }, { prefix, engines }) => {
    const isPlaced = (prefix?.swarm?.placing ?? 0) === 0
    return sharedAnswers >= answers && isPlaced && engines.every(({ running }) => running === 0)
  })
}

/** How long a whole request takes that asks for one token. @throws for any other source */
async function ttft(node: BedNode, body: object, source?: string): Promise<Timed> {
  const reply = await node.ask(messagesPath, body)
  if (reply.status === 200 && (source === undefined || reply.source === source)) {
    const { usage } = JSON.parse(reply.body)
    return { ms: reply.ms, computed: usage.input_tokens + usage.cache_creation_input_tokens }
  }
  const reason = reply.headers.get('x-hyperspace-reason')
  throw new Error(`${reply.status} by ${reply.source} and not ${source}: ${reason} ${reply.body}`)
}

/**
 * Where fetching would take longer than prefilling, the node prefills and says why. In namespaces,
 * where no other process reaches a node, so with an engine that only says how fast it is.
 */
async function measureSlowLink(): Promise<readonly BenchRow[]> {
  const hindrance = wanHindrance()
  const label = `as smollm2-135m, over ${slowMbit} Mbit/s`
  if (hindrance !== undefined) {
    return [{ label: `${label}: not measured (${hindrance})`, value: Number.NaN, unit: 'tokens' }]
  }
  const folder = mkdtempSync(join(tmpdir(), 'hyperspace-bench-'))
  const link = { latencyMs: 5, jitterMs: 0, lossRatio: 0, uplinkMbit: slowMbit }
  const wan = await Wan.start(folder, { nodeCount: 2, seed: 1, ...link })
  const bed = new TestBed()
  try {
    const start = (index: number, peers: readonly BedNode[]): Promise<BedNode> =>
      bed.start({
        ...slowEngine,
        peers,
        inside: wan.inside(index),
        flags: { p2pHost: wan.address(index), network: 'lan' },
      })
    const holder = await start(0, [])
    // What a link carries is not known before the first fetch, which is given up when it is slow.
    const turns = ['the first prompt', 'the next one']
    const systems = await Promise.all(turns.map(turn => systemTextOf(holder, 'fake', 2_048, turn)))
    for (const system of systems) await ttft(holder, asked('fake', system, 'one?', 1), 'engine')
    const blocks = 15 * systems.length
    await until(holder, 'blocks', (_, { prefix }) => (prefix?.disk.blocks ?? 0) >= blocks)
    await idle(holder, systems.length)
    // It comes when there is nothing left to place: it would be given copies, and fetch from itself.
    const asker = await start(1, [holder])
    await bed.connected([holder, asker])
    const rows: BenchRow[] = []
    for (const [index, turn] of turns.entries()) {
      const reply = await asker.ask(messagesPath, asked('fake', systems[index] ?? '', 'two?', 1))
      const reason = reply.headers.get('x-hyperspace-reason') ?? 'no reason'
      rows.push({
        label: `${label}, ${turn}: ${reply.source}, since ${reason}`,
        value: Number(reply.headers.get('x-hyperspace-saved-tokens') ?? 0),
        unit: 'tokens saved',
        target: 'prefills and says so',
      })
    }
    return rows
  } finally {
    await bed.close()
    await wan.stop()
    rmSync(folder, { recursive: true, force: true })
  }
}
