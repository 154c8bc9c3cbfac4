import { execFile, spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { pinned } from './server-process.ts'

export interface Load {
  readonly url: string
  readonly headers: { readonly [name: string]: string }
  readonly body: string
  readonly connections: number
  readonly seconds: number
  /** The CPU core of the generator. */
  readonly core: number
  /** For the generator's files. */
  readonly folder: string
}

export interface LoadResult {
  readonly requests: number
  readonly requestsPerSecond: number
  readonly p50Ms: number
  readonly p99Ms: number
}

const run = promisify(execFile)
const autocannon = fileURLToPath(
  new URL('../../node_modules/autocannon/autocannon.js', import.meta.url),
)

/** wrk where it is installed: it needs a tenth of autocannon's CPU and tells microseconds. */
export function generatorName(): 'wrk' | 'autocannon' {
  return spawnSync('wrk', ['-v']).error === undefined ? 'wrk' : 'autocannon'
}

/**
 * Posts one body over keep-alive connections for a while.
 * @throws when any reply was not a 2xx: such a figure means nothing
 */
export async function applyLoad(load: Load): Promise<LoadResult> {
  const { failures, ...result } = await (generatorName() === 'wrk'
    ? runWrk(load)
    : runAutocannon(load))
  if (failures > 0) throw new Error(`${load.url}: ${failures} of ${result.requests} failed`)
  return result
}

type Outcome = LoadResult & { readonly failures: number }

/** wrk prints for people; this makes it print for us. Latencies are in microseconds there. */
const wrkReport = `
done = function(summary, latency)
  local errors = summary.errors
  io.stderr:write(string.format(
    '{"requests":%d,"micros":%d,"p50":%f,"p99":%f,"failures":%d}',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
`

async function runWrk(load: Load): Promise<Outcome> {
  const script = join(load.folder, 'post.lua')
  const headers = Object.entries(load.headers)
    .map(([name, value]) => `wrk.headers[${JSON.stringify(name)}] = [==[${value}]==]`)
    .join('\n')
  writeFileSync(
    script,
    `wrk.method = 'POST'\nwrk.body = [==[${load.body}]==]\n${headers}\n${wrkReport}`,
  )
  const { connections, seconds, url, core } = load
  const [command = '', ...args] = pinned(core, [
    'wrk',
    '--threads=1',
    `--connections=${connections}`,
    `--duration=${seconds}s`,
    `--script=${script}`,
    url,
  ])
  const { stderr } = await run(command, args)
  const told: { requests: number; micros: number; p50: number; p99: number; failures: number } =
    JSON.parse(stderr)
  return {
    requests: told.requests,
    requestsPerSecond: told.requests / (told.micros / 1e6),
    p50Ms: told.p50 / 1_000,
    p99Ms: told.p99 / 1_000,
    failures: told.failures,
  }
}

async function runAutocannon(load: Load): Promise<Outcome> {
  const { connections, seconds, url, core, body } = load
  const headers = Object.entries(load.headers).flatMap(([name, value]) => [
    '--headers',
    `${name}=${value}`,
  ])
  const [command = '', ...args] = pinned(core, [
    process.execPath,
    autocannon,
    '--json',
    `--connections=${connections}`,
    `--duration=${seconds}`,
    '--method=POST',
    `--body=${body}`,
    ...headers,
    url,
  ])
  const { stdout } = await run(command, args, { maxBuffer: 1024 * 1024 })
  const told: {
    requests: { total: number; average: number }
    latency: { p50: number; p99: number }
    non2xx: number
    errors: number
  } = JSON.parse(stdout)
  return {
    requests: told.requests.total,
    requestsPerSecond: told.requests.average,
    p50Ms: told.latency.p50,
    p99Ms: told.latency.p99,
    failures: told.non2xx + told.errors,
  }
}
