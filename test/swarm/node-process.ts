/**
 * The process that test-bed.ts starts: one or more real nodes (`createNode`), each with a fake
 * engine, so that they are there in a moment, or with a real one that says of its speed what a test
 * wants. Told what to start by its argument, as JSON; tells of
 * it in lines of JSON. Ends with SIGTERM, or when whoever started it is gone.
 */
import { once } from 'node:events'
import { flushCompileCache } from 'node:module'
import { createInterface } from 'node:readline'
import { type Config, resolveConfig } from '../../src/config.ts'
import { createEngines } from '../../src/engines.ts'
import type { Engine } from '../../src/interface/engine.ts'
import { silentLog } from '../../src/interface/log.ts'
import { createNode, type HyperspaceNode } from '../../src/node.ts'
import { systemClock } from '../../src/std/clock.ts'
import { systemRandom } from '../../src/std/random.ts'
import { HeldEngine } from './held-engine.ts'

export interface ProcessPlan {
  /** Their data folders and the settings in which they differ from `flags`. */
  readonly nodes: readonly {
    readonly data: string
    readonly flags: { readonly [name: string]: unknown }
  }[]
  readonly flags: { readonly [name: string]: unknown }
  /** How long each answer takes to compute. */
  readonly holdMs: number
  /** What the engines say of their speed. */
  readonly prefillTokensPerSecond?: number
  /** Fake engines, or those that `flags` name. */
  readonly isFake: boolean
  /** Of the fake engines. */
  readonly stateRowBytes?: number
}

/** A request that the process makes of its own node, for whoever cannot reach it. */
export interface OwnRequest {
  readonly id: number
  readonly url: string
  readonly method: string
  readonly headers: { readonly [name: string]: string }
  readonly body: string | null
}

const say = (event: unknown): void => {
  process.stdout.write(`${JSON.stringify(event)}\n`)
}

async function startAll({ nodes, flags, ...plan }: ProcessPlan): Promise<HyperspaceNode[]> {
  const { signal } = new AbortController()
  return await Promise.all(
    nodes.map(async ({ data, flags: own }, index) => {
      const given = { data, flags: { ...flags, ...own }, env: {} }
      const { config } = resolveConfig(given)
      const engines = { engines: await enginesOf(plan, config), upstreams: [] }
      const node = createNode(config, { engines })
      await node.start({ signal })
      say({ event: 'started', index, status: node.status() })
      return node
    }),
  )
}

async function enginesOf(
  { isFake, holdMs, stateRowBytes, prefillTokensPerSecond }: Omit<ProcessPlan, 'nodes' | 'flags'>,
  config: Config,
): Promise<readonly Engine[]> {
  const held = {
    holdMs,
    ...(prefillTokensPerSecond === undefined ? {} : { prefillTokensPerSecond }),
  }
  if (isFake) {
    const fake = stateRowBytes === undefined ? {} : { stateRowBytes }
    return [new HeldEngine({ ...held, fake })]
  }
  const parts = { clock: systemClock, log: silentLog, random: systemRandom }
  const { engines } = await createEngines(parts, config, { signal: new AbortController().signal })
  return engines.map(engine => new HeldEngine({ ...held, engine }))
}

async function request({ id, url, ...init }: OwnRequest): Promise<void> {
  try {
    const startMs = performance.now()
    const reply = await fetch(url, init)
    const body = await reply.text()
    const ms = performance.now() - startMs
    say({ event: 'replied', id, ms, body, status: reply.status, headers: [...reply.headers] })
  } catch (error) {
    say({ event: 'replied', id, failure: String(error) })
  }
}

const nodes = await startAll(JSON.parse(process.argv[2] ?? ''))
// Whoever kills this process would lose it: the next ones start in half the time with it.
flushCompileCache()
const input = createInterface({ input: process.stdin })
input.on('line', line => void request(JSON.parse(line)))
await Promise.race([once(process, 'SIGTERM'), once(input, 'close')])
await Promise.all(nodes.map(node => node.stop()))
say({ event: 'stopped' })
input.close()
process.stdin.destroy()
