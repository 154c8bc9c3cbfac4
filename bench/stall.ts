import { once } from 'node:events'
import { stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { Worker } from 'node:worker_threads'
import { LlamaProcessEngine } from '../src/engine/llama/process/llama-process-engine.ts'
import type { EngineModel, TokenModel } from '../src/interface/engine.ts'
import type { BlockRows, PrefixUse, StateAccess } from '../src/interface/kv-state.ts'
import { silentLog } from '../src/interface/log.ts'
import { type CompletionRequest, emptyRequest } from '../src/key/completion-request.ts'
import { modelIdFromDigest } from '../src/key/model-id.ts'
import { blockBytes, blockTokens } from '../src/key/state-layout.ts'
import { MiB } from '../src/limits.ts'
import { systemClock } from '../src/std/clock.ts'
import { systemRandom } from '../src/std/random.ts'
import type { BenchResult, BenchRow } from './bench-result.ts'

const limitMs = 10
const resolutionMs = 1
const rounds = 3
const { signal } = new AbortController()
const demoModel = join(import.meta.dirname, '../models/tiny-chat-q8_0.gguf')

interface Subject {
  readonly model: EngineModel
  readonly tokens: TokenModel
  readonly state: StateAccess
  readonly tokenIds: readonly number[]
}

interface Phase {
  readonly label: string
  readonly work: (subject: Subject, round: number) => Promise<unknown>
}

/**
 * How long the event loop of a node's process stands still, at worst, while its engine computes a
 * long prompt, hands out all of its state, and takes it back; beside a thread that does nothing, to
 * which the machine does the same.
 * HYPERSPACE_BENCH_MODEL names another model file than the demo model.
 */
export async function run(): Promise<BenchResult> {
  const path = process.env['HYPERSPACE_BENCH_MODEL'] ?? demoModel
  const isSmall = (await stat(path)).size < 64 * MiB
  const tokenCount = isSmall ? 8_000 : 2_048
  const engine = new LlamaProcessEngine(
    { clock: systemClock, log: silentLog, random: systemRandom },
    {
      models: [
        {
          ...{ path, id: modelIdFromDigest('0'.repeat(64)), name: 'bench', aliases: [] },
          ...{ parallel: 2, queueMax: 16, contextTokens: 8_192 },
        },
      ],
      stateFolder: join(tmpdir(), 'hyperspace-bench-state'),
    },
  )
  await engine.start({ signal })
  const idleThread = new Worker(new URL('./targets/idle-thread.ts', import.meta.url))
  try {
    const subject = await subjectOf(engine, tokenCount)
    const rows: BenchRow[] = []
    for (const phase of phasesOf()) rows.push(...(await measure(phase, subject, idleThread)))
    return { name: 'stall', rows: [...sizeRows(basename(path), subject), ...rows] }
  } finally {
    await idleThread.terminate()
    await engine.stop()
  }
}

function phasesOf(): readonly Phase[] {
  const kept: BlockRows[] = []
  const partition = (round: number): string => `export ${round}`
  return [
    {
      label: 'prefill, all blocks exported',
      work: async (subject, round) => {
        kept.length = 0
        await generate(subject, partition(round), {
          keep: {
            range: { from: 0, to: blocksOf(subject) },
            take: (_, rows) => {
              kept.push(rows)
            },
          },
        })
      },
    },
    {
      label: 'all blocks imported',
      work: async (subject, round) => {
        const tokens = kept.length * blockTokens
        const blocks = async function* (): AsyncGenerator<BlockRows> {
          yield* kept
        }
        const start = await generate(subject, `import ${round}`, { offer: { tokens, blocks } })
        if (start !== tokens) throw new Error(`${start} of ${tokens} tokens were imported`)
      },
    },
    {
      label: 'all resident blocks exported',
      work: async subject => {
        const { state, tokenIds } = subject
        const options = { signal, partition: `import ${rounds - 1}` }
        const range = { from: 0, to: blocksOf(subject) }
        const rows = await state.exportBlocks(tokenIds, range, options)
        if (rows === undefined) throw new Error('What was just imported is not resident')
      },
    },
    {
      label: 'last block computed again on all others',
      work: async ({ state, tokenIds }) => {
        const tokens = (kept.length - 1) * blockTokens
        const blocks = async function* (): AsyncGenerator<BlockRows> {
          yield* kept.slice(0, -1)
        }
        const whole = tokenIds.slice(0, kept.length * blockTokens)
        await state.recomputeBlock(whole, { tokens, blocks }, { signal })
      },
    },
  ]
}

async function measure(
  { label, work }: Phase,
  subject: Subject,
  idleThread: Worker,
): Promise<readonly BenchRow[]> {
  const histogram = monitorEventLoopDelay({ resolution: resolutionMs })
  const stalls: number[] = []
  const own: number[] = []
  const idles: number[] = []
  const times: number[] = []
  for (let round = 0; round < rounds; round++) {
    idleThread.postMessage('start')
    histogram.reset()
    histogram.enable()
    const ownWork = watchOwnWork()
    const startMs = performance.now()
    await work(subject, round)
    times.push(performance.now() - startMs)
    histogram.disable()
    own.push(ownWork.stop())
    // The time between two looks is part of what is told.
    stalls.push(histogram.max / 1e6 - resolutionMs)
    idleThread.postMessage('stop')
    const [idleMs] = await once(idleThread, 'message')
    idles.push(Number(idleMs) - resolutionMs)
  }
  const [worstMs, ownMs] = [Math.max(...stalls), Math.max(...own)]
  return [
    {
      ...{ label: `worst stall: ${label}`, value: worstMs, unit: 'ms' },
      ...{ ratio: worstMs / limitMs, of: 'the limit', target: `≤ ${limitMs} ms` },
    },
    {
      ...{ label: '  of it the work of the thread itself', value: ownMs, unit: 'ms' },
      ...{ ratio: ownMs / limitMs, of: 'the limit', target: `≤ ${limitMs} ms` },
    },
    { label: '  an idle thread at the same time', value: Math.max(...idles), unit: 'ms' },
    { label: '  it took', value: Math.min(...times), unit: 'ms' },
  ]
}

/**
 * The most processor time that this thread takes between two turns of its event loop: a stall
 * without what other processes make of it.
 */
function watchOwnWork(): { stop(): number } {
  let mostMs = 0
  let before = process.threadCpuUsage()
  const timer = setInterval(() => {
    const { user, system } = process.threadCpuUsage(before)
    before = process.threadCpuUsage()
    mostMs = Math.max(mostMs, (user + system) / 1_000)
  }, resolutionMs)
  return {
    stop() {
      clearInterval(timer)
      return mostMs
    },
  }
}

function sizeRows(name: string, { state, tokenIds, ...subject }: Subject): readonly BenchRow[] {
  const blocks = blocksOf({ state, tokenIds, ...subject })
  return [
    { label: `prompt for ${name}`, value: tokenIds.length, unit: 'tokens' },
    { label: 'its state', value: (blocks * blockBytes(state.layout)) / MiB, unit: 'MiB' },
  ]
}

async function subjectOf(engine: LlamaProcessEngine, tokenCount: number): Promise<Subject> {
  const [model] = engine.models()
  const tokens = model?.tokens
  if (model === undefined || tokens === undefined || 'unavailable' in tokens.state) {
    throw new Error('This model has no KV state that can be cut')
  }
  const { vocabularySize, state } = tokens
  // Ordinary tokens stand in the middle of a vocabulary.
  const tokenIds = Array.from(
    { length: tokenCount },
    (_, index) => 300 + ((index * 7_919) % Math.min(1_000, vocabularySize - 400)),
  )
  return { model, tokens, state, tokenIds }
}

function blocksOf({ tokenIds }: Subject): number {
  return Math.floor((tokenIds.length - 1) / blockTokens)
}

/** Tells how many tokens were imported. */
async function generate(
  { model, tokenIds }: Subject,
  partition: string,
  use: Omit<PrefixUse, 'tokenIds'>,
): Promise<number> {
  const request: CompletionRequest = {
    ...emptyRequest,
    kind: 'text',
    model: model.name,
    prompt: tokenIds,
    maxTokens: 1,
    unknown: { api: 'openai', fields: {} },
  }
  const prefix: PrefixUse = { tokenIds, ...use }
  let imported = 0
  for await (const event of model.generate(request, { seed: 1n, signal, partition, prefix })) {
    if (event.type === 'start') imported = event.importedTokens ?? 0
  }
  return imported
}
