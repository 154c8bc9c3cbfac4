import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { BenchResult, BenchRow } from './bench-result.ts'
import { applyLoad, type LoadResult } from './support/load.ts'
import { peerName } from './support/peer.ts'
import { type Form, questionOf, type Rival, startRivals } from './support/rivals.ts'
import { median } from './support/statistics.ts'

interface Scenario {
  readonly name: string
  readonly form: Form
  readonly connections: number
}

/** What one round told of one rival. */
interface Sample extends LoadResult {
  readonly cpuMicros: number
}

const scenarios: readonly Scenario[] = [
  { name: 'body, 64 connections', form: 'body', connections: 64 },
  { name: 'stream, 64 connections', form: 'stream', connections: 64 },
  { name: 'body, 1 connection', form: 'body', connections: 1 },
]
const cores = { servers: 0, upstream: 1, generator: 1 }
/** Enough for medians that other jobs on the machine do not move much. */
const rounds = 5
const secondsPerRound = 2

/** Repeated requests of 2 KB in and out: a node, the least that Node can do, and a peer product. */
export async function run(): Promise<BenchResult> {
  const folder = mkdtempSync(join(tmpdir(), 'hyperspace-bench-'))
  const rivals = await startRivals(folder, cores)
  try {
    const samples = await interleave(rivals.list, folder)
    const rows = rivals.list.flatMap(rival => rowsOf(rival, samples))
    return { name: 'local-hit', rows: [...rows, ...skippedRows(rivals.peerMissing)] }
  } finally {
    await rivals.stop()
    rmSync(folder, { recursive: true, force: true })
  }
}

type Samples = ReadonlyMap<Scenario, ReadonlyMap<Rival['role'], readonly Sample[]>>

/** A B C A B C …: what else the machine does hits all of them alike. */
async function interleave(rivals: readonly Rival[], folder: string): Promise<Samples> {
  const samples = new Map(
    scenarios.map(scenario => [scenario, new Map<Rival['role'], Sample[]>()] as const),
  )
  for (let round = 0; round <= rounds; round++) {
    for (const [scenario, byRole] of samples) {
      for (const rival of rivals) {
        const sample = await sampleOf(rival, scenario, folder)
        // The first round warms the code up.
        if (sample === undefined || round === 0) continue
        byRole.set(rival.role, [...(byRole.get(rival.role) ?? []), sample])
      }
    }
  }
  return samples
}

async function sampleOf(
  { server, headers, paths }: Rival,
  { form, connections }: Scenario,
  folder: string,
): Promise<Sample | undefined> {
  const path = paths[form]
  if (path === undefined) return undefined
  const before = await server.usage()
  const result = await applyLoad({
    url: server.url + path,
    headers,
    body: questionOf(form),
    connections,
    seconds: secondsPerRound,
    core: cores.generator,
    folder,
  })
  const after = await server.usage()
  return { ...result, cpuMicros: (after.cpuMicros - before.cpuMicros) / result.requests }
}

function rowsOf(rival: Rival, samples: Samples): readonly BenchRow[] {
  return [...samples].flatMap(([scenario, byRole]) => {
    const own = byRole.get(rival.role)
    if (own === undefined) return []
    const label = `${rival.name}: ${scenario.name}`
    const isNode = rival.role === 'node'
    const isMany = scenario.connections > 1
    const bare = rival.role === 'bare' ? undefined : byRole.get('bare')
    const peer = isNode ? byRole.get('peer') : undefined
    return [
      row(`${label}, requests`, 'requestsPerSecond', own, {
        ...(bare === undefined ? {} : { rival: bare, of: 'bare' }),
        ...(isNode && isMany ? { target: '≥ 0.7 × bare' } : {}),
      }),
      ...(peer === undefined
        ? []
        : [
            row(`${label}, requests`, 'requestsPerSecond', own, {
              rival: peer,
              of: 'peer',
              ...(isMany ? { target: '≥ 5 × peer' } : {}),
            }),
          ]),
      row(`${label}, CPU per request`, 'cpuMicros', own, {
        ...(bare === undefined ? {} : { rival: bare, of: 'bare' }),
        ...(isNode && isMany ? { target: '≤ 1.43 × bare, which is 0.7 of its requests' } : {}),
      }),
      row(`${label}, p50`, 'p50Ms', own, isNode && !isMany ? { target: '< 1 ms' } : {}),
      row(`${label}, p99`, 'p99Ms', own, {}),
    ]
  })
}

const units: { readonly [figure in keyof Sample]: string } = {
  requests: '',
  requestsPerSecond: '/s',
  cpuMicros: 'µs',
  p50Ms: 'ms',
  p99Ms: 'ms',
}

/** The median of the rounds; the ratio is the median of the rounds' ratios. */
function row(
  label: string,
  figure: keyof Sample,
  own: readonly Sample[],
  more: { readonly rival?: readonly Sample[]; readonly of?: string; readonly target?: string },
): BenchRow {
  const { rival, ...told } = more
  const value = median(own.map(sample => sample[figure]))
  const ratios = rival?.map(
    (sample, round) => (own[round]?.[figure] ?? Number.NaN) / sample[figure],
  )
  return {
    label,
    value,
    unit: units[figure],
    ...told,
    ...(ratios === undefined ? {} : { ratio: median(ratios) }),
  }
}

function skippedRows(why: string | undefined): readonly BenchRow[] {
  return why === undefined
    ? []
    : [{ label: peerName, value: 0, unit: '/s', target: `skipped: ${why}` }]
}
