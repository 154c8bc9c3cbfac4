import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Pool } from 'undici'
import type { BenchResult, BenchRow } from './bench-result.ts'
import { startHyperspace, startUpstream } from './support/hyperspace.ts'
import { median, percentile } from './support/statistics.ts'

const cores = { node: 0, upstream: 1 }
const warmUps = 300
const requests = 2_000
const answerTokens = 16

/** One streamed request, in milliseconds since it was sent. */
interface Times {
  readonly firstByteMs: number
  readonly endMs: number
}

/**
 * New questions, one after the other, to a mock upstream that answers at once: through a node and
 * straight, in turns. The difference is what a miss costs before the engine starts.
 */
export async function run(): Promise<BenchResult> {
  const folder = mkdtempSync(join(tmpdir(), 'hyperspace-bench-'))
  const upstream = await startUpstream({ tokens: answerTokens, core: cores.upstream })
  try {
    const node = await startHyperspace({ upstream: upstream.url, folder, core: cores.node })
    try {
      return { name: 'miss-overhead', rows: rowsOf(await takeTurns(node.url, upstream.url)) }
    } finally {
      await node.stop()
    }
  } finally {
    await upstream.stop()
    rmSync(folder, { recursive: true, force: true })
  }
}

interface Turns {
  readonly node: readonly Times[]
  readonly direct: readonly Times[]
}

async function takeTurns(nodeUrl: string, upstreamUrl: string): Promise<Turns> {
  const node: Times[] = []
  const direct: Times[] = []
  const viaNode = new Pool(nodeUrl, { connections: 1 })
  const straight = new Pool(upstreamUrl, { connections: 1 })
  for (let turn = 0; turn < warmUps + requests; turn++) {
    const body = questionOf(turn)
    const straightTimes = await ask(straight, body)
    const nodeTimes = await ask(viaNode, body)
    if (turn < warmUps) continue
    direct.push(straightTimes)
    node.push(nodeTimes)
  }
  await Promise.all([viaNode.close(), straight.close()])
  return { node, direct }
}

/** 2 KB, and different in each turn: every request is a miss. */
function questionOf(turn: number): string {
  return JSON.stringify({
    model: 'bench',
    stream: true,
    messages: [
      { role: 'system', content: 'You are a helpful assistant. '.repeat(60) },
      { role: 'user', content: `What is ${turn} times ${turn}?` },
    ],
  })
}

async function ask(pool: Pool, body: string): Promise<Times> {
  const startMs = performance.now()
  const reply = await pool.request({
    method: 'POST',
    path: '/v1/chat/completions',
    headers: { 'content-type': 'application/json' },
    body,
  })
  let firstByteMs: number | undefined
  for await (const _chunk of reply.body) firstByteMs ??= performance.now() - startMs
  const endMs = performance.now() - startMs
  const source = reply.headers['x-hyperspace-source'] ?? 'upstream'
  if (reply.statusCode === 200 && source === 'upstream' && firstByteMs !== undefined) {
    return { firstByteMs, endMs }
  }
  throw new Error(`A miss should be answered by the upstream, not ${reply.statusCode} by ${source}`)
}

function rowsOf({ node, direct }: Turns): readonly BenchRow[] {
  const figures = [
    ['first byte', (times: Times) => times.firstByteMs],
    ['whole answer', (times: Times) => times.endMs],
  ] as const
  return figures.flatMap(([what, read]) => {
    const [through, straight] = [node.map(read), direct.map(read)]
    const added = through.map((ms, turn) => ms - (straight[turn] ?? Number.NaN))
    const at = (percent: number): readonly BenchRow[] => {
      const rival = percentile(straight, percent)
      const value = percentile(through, percent)
      return [
        { label: `upstream alone: ${what}, p${percent}`, value: rival, unit: 'ms' },
        {
          label: `through the node: ${what}, p${percent}`,
          value,
          unit: 'ms',
          ratio: value / rival,
          of: 'upstream alone',
        },
      ]
    }
    const target = 'p50 < 2 ms'
    return [
      ...at(50),
      ...at(99),
      { label: `added: ${what}, p50`, value: median(added), unit: 'ms', target },
      { label: `added: ${what}, p99`, value: percentile(added, 99), unit: 'ms' },
    ]
  })
}
