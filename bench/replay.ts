import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { CompletionRequest } from '../src/key/completion-request.ts'
import { blockTokens } from '../src/key/state-layout.ts'
import { seededRandom } from '../test/support/seeded-random.ts'
import { chat, onlyModel, startedEngine } from '../test/support/test-llama.ts'
import type { BedNode } from '../test/swarm/bed-node.ts'
import { chatPath } from '../test/swarm/questions.ts'
import { TestBed } from '../test/swarm/test-bed.ts'
import type { BenchResult, BenchRow } from './bench-result.ts'

const folder = join(import.meta.dirname, '../../shared/data/requests')
const names = ['mmlu5shot', 'gsm8k8shot', 'react_hotpot', 'support_banking']
const perFile = 200
const nodeCount = 4
const sampleCount = 50
const maxTokens = 16
const contextTokens = 16_384
const flags = { context: String(contextTokens), parallel: '2', threads: '1' } as const

interface Recorded {
  readonly app: string
  readonly messages: readonly { readonly role: 'system' | 'user'; readonly content: string }[]
}

/**
 * Real request streams through a swarm of four, each request at a node drawn at random: how much of
 * the prompts was not prefilled, against a cache that all nodes share and that never forgets. The
 * client marks its prompts (`prompt_cache_key`), so that they are admitted at once. A sample of the
 * answers is compared with those of an engine that begins every prompt from nothing.
 */
export async function run(): Promise<BenchResult> {
  const requests = recordedRequests()
  const engine = await startedEngine({ contextTokens, parallel: 1, threads: 1 })
  const model = onlyModel(engine)
  const bed = new TestBed()
  try {
    const first = await bed.start({ engine: 'demo', flags })
    const rest = await Promise.all(
      Array.from({ length: nodeCount - 1 }, () =>
        bed.start({ engine: 'demo', flags, peers: [first] }),
      ),
    )
    const nodes = [first, ...rest]
    await bed.connected(nodes)
    const random = seededRandom(4)
    const draw = (count: number): number => Math.floor(random() * count)
    const sampled = new Set(Array.from({ length: sampleCount }, () => draw(requests.length)))
    const ideal = new IdealCache()
    const tally = new Map(names.map(name => [name, { prompt: 0, spared: 0, ideal: 0 }]))
    const sources = new Map<string, number>()
    let wrong = 0
    for (const [index, { name, recorded }] of requests.entries()) {
      const asked = neutral(recorded)
      const prompt = await model.tokens?.prompt(asked, { signal: AbortSignal.timeout(60_000) })
      const tokenIds = prompt?.tokenIds ?? []
      const node = nodes[draw(nodeCount)] ?? first
      const reply = await askNode(node, recorded)
      const counts = tally.get(name)
      if (counts === undefined) throw new TypeError(`No tally for ${name}`)
      counts.prompt += tokenIds.length
      counts.spared += reply.spared
      counts.ideal += ideal.spared(tokenIds)
      sources.set(reply.source, (sources.get(reply.source) ?? 0) + 1)
      if (!sampled.has(index)) continue
      if ((await cold(asked, index)) !== reply.text) wrong += 1
    }
    return { name: 'replay', rows: rowsOf(tally, sources, { wrong, sample: sampled.size }) }
  } finally {
    await bed.close()
    await engine.stop()
  }

  /** From nothing: no request shares a partition with another. */
  async function cold(request: CompletionRequest, index: number): Promise<string> {
    const options = { seed: 1n, partition: `cold ${index}`, signal: AbortSignal.timeout(120_000) }
    const events = await Array.fromAsync(model.generate(request, options))
    return events.map(event => (event.type === 'text' ? event.text : '')).join('')
  }
}

/** What a cache shared by all and without bounds would spare: leading blocks seen before. */
class IdealCache {
  readonly #seen = new Set<string>()
  readonly #prompts = new Set<string>()

  /** Tokens of a prompt that need not be prefilled; the last one of a new prompt always is. */
  spared(tokenIds: readonly number[]): number {
    const whole = tokenIds.join(',')
    if (this.#prompts.has(whole)) return tokenIds.length
    this.#prompts.add(whole)
    const blocksMax = Math.floor((tokenIds.length - 1) / blockTokens)
    let spared = 0
    for (let blocks = 1; blocks <= blocksMax; blocks++) {
      const prefix = tokenIds.slice(0, blocks * blockTokens).join(',')
      if (this.#seen.has(prefix) && spared === (blocks - 1) * blockTokens) {
        spared = blocks * blockTokens
      }
      this.#seen.add(prefix)
    }
    return spared
  }
}

function recordedRequests(): readonly { readonly name: string; readonly recorded: Recorded }[] {
  if (!existsSync(folder)) throw new Error(`The recorded requests are not here: ${folder}`)
  const files = names.map(name => ({
    name,
    lines: readFileSync(join(folder, `${name}.jsonl`), 'utf8')
      .split('\n')
      .slice(0, perFile),
  }))
  // One of each in turn, as four applications would send them.
  return Array.from({ length: perFile }, (_, index) =>
    files.map(({ name, lines }) => ({ name, recorded: JSON.parse(lines[index] ?? '') })),
  ).flat()
}

function neutral({ messages }: Recorded): CompletionRequest {
  return chat('', {
    messages: messages.map(({ role, content }) => ({
      role,
      content: [{ type: 'text', text: content }],
    })),
    sampling: { temperature: 0 },
    maxTokens,
  })
}

async function askNode(
  node: BedNode,
  { app, messages }: Recorded,
): Promise<{ readonly source: string; readonly text: string; readonly spared: number }> {
  const reply = await node.ask(chatPath, {
    ...{ model: 'tiny-chat', messages, max_tokens: maxTokens, temperature: 0 },
    prompt_cache_key: app,
  })
  if (reply.status !== 200) throw new Error(`${reply.status}: ${reply.body}`)
  const { usage } = JSON.parse(reply.body)
  const source = reply.source ?? ''
  // An answer that was there already has cost no prefill at all.
  const isAnswer = ['memory', 'disk', 'peer'].includes(source)
  const spared = isAnswer ? usage.prompt_tokens : usage.prompt_tokens_details.cached_tokens
  return { source, text: reply.text, spared }
}

type Tally = ReadonlyMap<string, { prompt: number; spared: number; ideal: number }>

function rowsOf(
  tally: Tally,
  sources: ReadonlyMap<string, number>,
  { wrong, sample }: { readonly wrong: number; readonly sample: number },
): readonly BenchRow[] {
  const all = [...tally.values()].reduce(
    (sum, { prompt, spared, ideal }) => ({
      prompt: sum.prompt + prompt,
      spared: sum.spared + spared,
      ideal: sum.ideal + ideal,
    }),
    { prompt: 0, spared: 0, ideal: 0 },
  )
  const row = (
    label: string,
    { prompt, spared, ideal }: { prompt: number; spared: number; ideal: number },
    target?: string,
  ): BenchRow => ({
    label: `${label}: prompt tokens not prefilled`,
    value: (spared / prompt) * 100,
    unit: '%',
    ratio: spared / ideal,
    of: 'an ideal shared cache',
    ...(target === undefined ? {} : { target }),
  })
  return [
    row('all', all, '≥ 0.95 ×'),
    ...[...tally].map(([name, counts]) => row(name, counts)),
    ...[...sources].map(([source, count]) => ({
      label: `answered from: ${source}`,
      value: count,
      unit: 'requests',
    })),
    {
      label: `answers that differ from a cold run, of ${sample}`,
      value: wrong,
      unit: 'answers',
      target: '0',
    },
  ]
}
