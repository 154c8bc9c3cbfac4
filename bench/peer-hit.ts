import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Pool } from 'undici'
import type { BenchResult, BenchRow } from './bench-result.ts'
import { startUpstream } from './support/hyperspace.ts'
import { type ServerProcess, startServer } from './support/server-process.ts'
import { median, percentile } from './support/statistics.ts'
import { type SwarmNode, startSwarmNode } from './support/swarm-node.ts'

const cores = { asker: 0, holder: 1, path: 1, upstream: 1 }
/** With the envelope around it this makes an answer of 2 KB. */
const answerTokens = 250
/** So slow that no answer of its can be meant when one comes at once. */
const slowMs = 5_000
const inFlight = 32
const counts = { warmUps: 300, oneByOne: 600, rounds: 5, perRound: 800, far: 150 }
const questions: number = counts.warmUps + counts.oneByOne + counts.rounds * counts.perRound
const farDelayMs = 20

/**
 * Questions that another node has answered before: node A has computed them all, node B is asked
 * each once and may take 5 s to compute it itself. A second time from B's memory, for comparison.
 */
export async function run(): Promise<BenchResult> {
  const folder = mkdtempSync(join(tmpdir(), 'hyperspace-bench-'))
  const running: ServerProcess[] = []
  const keep = <Server extends ServerProcess>(server: Server): Server => {
    running.push(server)
    return server
  }
  const core = cores.upstream
  try {
    const fast = keep(await startUpstream({ tokens: answerTokens, core }))
    const slow = keep(await startUpstream({ tokens: answerTokens, core, delayMs: slowMs }))
    const node = async (name: string, upstream: string, addresses: readonly string[] = []) => {
      const pinned = name === 'holder' ? cores.holder : cores.asker
      const own = { upstream, folder: join(folder, name), core: pinned, addresses }
      const started = await startSwarmNode(own)
      keep(started.server)
      return started
    }
    const holder = await node('holder', fast.url)
    const address = await fill(holder)
    const near = await node('near', slow.url, [address])
    const nearRows = await measureNear(near, holder)
    // A third node would be found and asked too, past the long path.
    await near.server.stop()
    const path = keep(await startPath(address))
    const far = await node('far', slow.url, [address.replace(/\d+(?=\/p2p)/, portOf(path))])
    return { name: 'peer-hit', rows: [...nearRows, ...(await measureFar(far, holder))] }
  } finally {
    await Promise.all(running.map(server => server.stop()))
    rmSync(folder, { recursive: true, force: true })
  }
}

/** Lets a node compute all answers, and waits until it offers them; where peers reach it. */
async function fill(holder: SwarmNode): Promise<string> {
  const pool = new Pool(holder.server.url, { connections: 16 })
  await inLanes(16, 0, questions, index => ask(pool, index, 'upstream'))
  await pool.close()
  const { addresses } = await holder.until(swarm => swarm.sharedAnswers >= questions)
  const [address] = addresses
  if (address === undefined) throw new Error('The node has no address')
  return address
}

interface Round {
  readonly hitsPerSecond: number
  readonly memoryPerSecond: number
  readonly askerMicros: number
  readonly holderMicros: number
}

async function measureNear(asker: SwarmNode, holder: SwarmNode): Promise<readonly BenchRow[]> {
  const peer = await connected(asker)
  const pool = new Pool(asker.server.url, { connections: inFlight })
  const start = counts.warmUps + counts.oneByOne
  await inLanes(4, 0, counts.warmUps, index => ask(pool, index, 'peer'))
  const times: number[] = []
  const pings: number[] = []
  for (let index = counts.warmUps; index < start; index++) {
    times.push(await ask(pool, index, 'peer'))
    pings.push(await asker.pingMs(peer))
  }
  const rounds: Round[] = []
  for (let round = 0; round < counts.rounds; round++) {
    const from = start + round * counts.perRound
    rounds.push(await measureRound({ asker, holder, pool }, from))
  }
  await pool.close()
  return [...rowsOfTimes('loopback', times, pings), ...rowsOfRounds(rounds)]
}

async function measureRound(
  { asker, holder, pool }: { asker: SwarmNode; holder: SwarmNode; pool: Pool },
  from: number,
): Promise<Round> {
  const usage = async (): Promise<readonly number[]> =>
    await Promise.all([asker, holder].map(async ({ server }) => (await server.usage()).cpuMicros))
  const speedOf = async (source: 'peer' | 'memory'): Promise<number> => {
    const startMs = performance.now()
    await inLanes(inFlight, from, from + counts.perRound, index => ask(pool, index, source))
    return (counts.perRound * 1_000) / (performance.now() - startMs)
  }
  const before = await usage()
  const hitsPerSecond = await speedOf('peer')
  const [askerMicros = Number.NaN, holderMicros = Number.NaN] = (await usage()).map(
    (micros, index) => (micros - (before[index] ?? Number.NaN)) / counts.perRound,
  )
  return { hitsPerSecond, memoryPerSecond: await speedOf('memory'), askerMicros, holderMicros }
}

async function measureFar(asker: SwarmNode, holder: SwarmNode): Promise<readonly BenchRow[]> {
  const peer = await connected(asker)
  const pool = new Pool(asker.server.url, { connections: 1 })
  const times: number[] = []
  const pings: number[] = []
  for (let index = 0; index < counts.far; index++) {
    pings.push(await asker.pingMs(peer))
    times.push(await ask(pool, index, 'peer'))
  }
  await pool.close()
  const { peers } = await holder.swarm()
  if (peers.length !== 1) throw new Error('The far node should be the only peer')
  // Not the first ones, which find everything cold.
  return rowsOfTimes(`${2 * farDelayMs} ms path`, times.slice(30), pings.slice(30))
}

/** The peer's id, once its round trip is known: the look-up's head start depends on it. */
async function connected(asker: SwarmNode): Promise<string> {
  const { peers } = await asker.until(swarm => (swarm.peers[0]?.roundTripMs ?? null) !== null)
  const [peer] = peers
  if (peers.length !== 1 || peer === undefined) throw new Error('There should be one peer')
  return peer.id
}

/** A way to the address that takes longer. */
async function startPath(address: string): Promise<ServerProcess> {
  const [, to = ''] = /\/tcp\/(\d+)\//.exec(address) ?? []
  return await startServer({
    script: fileURLToPath(new URL('./targets/delay-proxy.ts', import.meta.url)),
    args: port => ['--port', String(port), '--to', to, '--delay', String(farDelayMs)],
    core: cores.path,
  })
}

function portOf({ url }: ServerProcess): string {
  return new URL(url).port
}

async function inLanes(
  lanes: number,
  from: number,
  to: number,
  work: (index: number) => Promise<unknown>,
): Promise<void> {
  let next = from
  const lane = async (): Promise<void> => {
    while (next < to) {
      const index = next
      next += 1
      await work(index)
    }
  }
  await Promise.all(Array.from({ length: lanes }, lane))
}

/** Asks a question of 2 KB; how many milliseconds the answer took. @throws for any other source */
async function ask(pool: Pool, index: number, source: string): Promise<number> {
  const startMs = performance.now()
  const reply = await pool.request({
    method: 'POST',
    path: '/v1/chat/completions',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      model: 'bench',
      messages: [
        { role: 'system', content: 'You are a helpful assistant. '.repeat(60) },
        { role: 'user', content: `What is ${index} times ${index}?` },
      ],
    }),
  })
  await reply.body.text()
  const tookMs = performance.now() - startMs
  const told = reply.headers['x-hyperspace-source']
  if (reply.statusCode === 200 && told === source) return tookMs
  throw new Error(`Question ${index}: ${reply.statusCode} by ${told} and not ${source}`)
}

function rowsOfTimes(
  where: string,
  times: readonly number[],
  pings: readonly number[],
): readonly BenchRow[] {
  const isFar = where !== 'loopback'
  const ping = median(pings)
  const p50 = median(times)
  const over = isFar ? { target: '< 10 ms' } : {}
  return [
    { label: `${where}: empty request to the peer, p50`, value: ping, unit: 'ms' },
    {
      label: `${where}: peer hit, p50`,
      value: p50,
      unit: 'ms',
      ratio: p50 / ping,
      of: 'empty request',
      ...(isFar ? {} : { target: '< 5 ms' }),
    },
    { label: `${where}: peer hit, p99`, value: percentile(times, 99), unit: 'ms' },
    { label: `${where}: added to the round trip, p50`, value: p50 - ping, unit: 'ms', ...over },
  ]
}

function rowsOfRounds(rounds: readonly Round[]): readonly BenchRow[] {
  const many = `${inFlight} in flight`
  const of = (figure: keyof Round): number => median(rounds.map(round => round[figure]))
  const ratios = rounds.map(round => round.hitsPerSecond / round.memoryPerSecond)
  return [
    {
      label: `loopback: peer hits, ${many}`,
      value: of('hitsPerSecond'),
      unit: '/s',
      ratio: median(ratios),
      of: 'memory hits',
      target: '> 1,000 /s',
    },
    { label: `loopback: memory hits, ${many}`, value: of('memoryPerSecond'), unit: '/s' },
    { label: `loopback: CPU of the asker, ${many}`, value: of('askerMicros'), unit: 'µs' },
    { label: `loopback: CPU of the holder, ${many}`, value: of('holderMicros'), unit: 'µs' },
  ]
}
