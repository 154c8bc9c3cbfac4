import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { BenchResult, BenchRow } from './bench-result.ts'
import { startUpstream } from './support/hyperspace.ts'
import { type ServerProcess, startServer } from './support/server-process.ts'
import { median } from './support/statistics.ts'
import { type SwarmNode, startSwarmNode } from './support/swarm-node.ts'

const peerCount = 16
const answers = 100
const everyMs = 30_000
const minutesDefault = 10

interface Sample {
  readonly minutes: number
  readonly megabytes: number
  readonly cpuMs: number
}

/** A node with 16 peers and nothing to do. `node bench/run.ts soak MINUTES`; not in CI. */
export async function run(): Promise<BenchResult> {
  const minutes = Number(process.argv[3] ?? minutesDefault)
  const folder = mkdtempSync(join(tmpdir(), 'hyperspace-bench-'))
  const running: ServerProcess[] = []
  try {
    const upstream = await startUpstream({ tokens: 250, core: 1 })
    running.push(upstream)
    const own = { upstream: upstream.url, folder: join(folder, 'node'), core: 0 }
    const node = await startSwarmNode({ ...own, addresses: [] })
    running.push(node.server)
    const [address = ''] = (await node.swarm()).addresses
    running.push(await startPeers(address))
    for (let index = 0; index < answers; index++) await ask(node, index)
    await node.until(({ peers }) => peers.length === peerCount)
    const samples = await takeSamples(node, minutes)
    return { name: 'soak', rows: rowsOf(samples, (await node.swarm()).peers.length) }
  } finally {
    await Promise.all(running.map(server => server.stop()))
    rmSync(folder, { recursive: true, force: true })
  }
}

async function startPeers(address: string): Promise<ServerProcess> {
  return await startServer({
    script: fileURLToPath(new URL('./targets/idle-peers.ts', import.meta.url)),
    args: port => [
      ...['--port', String(port)],
      ...['--address', address],
      ...['--count', String(peerCount)],
    ],
    core: 1,
  })
}

/** Something for the owners among the peers to be told of. */
async function ask({ server }: SwarmNode, index: number): Promise<void> {
  const reply = await fetch(`${server.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      model: 'bench',
      messages: [{ role: 'user', content: `What is ${index} times ${index}?` }],
    }),
  })
  await reply.text()
  if (!reply.ok) throw new Error(`Question ${index}: ${reply.status}`)
}

async function takeSamples({ server }: SwarmNode, minutes: number): Promise<readonly Sample[]> {
  const samples: Sample[] = []
  const startMs = performance.now()
  for (;;) {
    const { cpuMicros, residentBytes } = await server.usage()
    const elapsedMs = performance.now() - startMs
    samples.push({
      minutes: elapsedMs / 60_000,
      megabytes: residentBytes / 1e6,
      cpuMs: cpuMicros / 1e3,
    })
    if (elapsedMs > minutes * 60_000 - everyMs / 2) return samples
    await delay(everyMs)
  }
}

function rowsOf(samples: readonly Sample[], peersLeft: number): readonly BenchRow[] {
  // Before, the node still compiles its code, and gives back what its start took.
  const settled = samples.slice(Math.floor(samples.length / 2))
  const [first, last] = [settled[0], settled.at(-1)]
  const spentMs = (last?.cpuMs ?? Number.NaN) - (first?.cpuMs ?? Number.NaN)
  const passedMs = ((last?.minutes ?? Number.NaN) - (first?.minutes ?? Number.NaN)) * 60_000
  return [
    ...samples.map(({ minutes, megabytes }) => ({
      label: `RSS after ${minutes.toFixed(1)} min`,
      value: megabytes,
      unit: 'MB',
    })),
    {
      label: 'growth, second half',
      value: trend(settled),
      unit: 'MB/min',
      target: 'flat: < 0.2 MB/min',
    },
    { label: 'CPU, idle', value: (100 * spentMs) / passedMs, unit: '%', target: '< 1 %' },
    { label: 'peers connected at the end', value: peersLeft, unit: '', target: `${peerCount}` },
  ]
}

/** The median of all slopes between two samples: one garbage collection more does not move it. */
function trend(samples: readonly Sample[]): number {
  const slopes = samples.flatMap((a, index) =>
    samples.slice(index + 1).map(b => (b.megabytes - a.megabytes) / (b.minutes - a.minutes)),
  )
  return median(slopes)
}
