import assert from 'node:assert/strict'
import { existsSync, readdirSync } from 'node:fs'
import { after, before, describe, it } from 'node:test'
import {
  chat,
  hastyClock,
  onlyModel,
  startedProcessEngine,
} from '../../../../../test/support/test-llama.ts'
import { until } from '../../../../../test/support/until.ts'
import type { EngineModel, TokenModel } from '../../../../interface/engine.ts'
import type { GenerationEvent } from '../../../../interface/generation.ts'
import type {
  BlockRows,
  PrefixUse,
  StateAccess,
  StateOffer,
} from '../../../../interface/kv-state.ts'
import type { CompletionRequest } from '../../../../key/completion-request.ts'
import { blockTokens } from '../../../../key/state-layout.ts'
import type { LlamaProcessEngine } from '../llama-process-engine.ts'

const unaborted = { signal: new AbortController().signal }
const kept = 3
const withoutMemory = existsSync('/dev/shm') ? false : 'no file system in memory here'

interface Subject {
  readonly model: EngineModel
  readonly tokens: TokenModel
  readonly state: StateAccess
}

/** A prompt of more than three blocks, and what it comes to without anything from before. */
interface Cold {
  readonly tokenIds: readonly number[]
  readonly blocks: readonly BlockRows[]
  readonly answer: string
}

describe('KV state through the engine process', { timeout: 120_000 }, () => {
  const shared: { engine?: LlamaProcessEngine; cold?: Cold } = {}
  const engine = (): LlamaProcessEngine => {
    assert.ok(shared.engine)
    return shared.engine
  }
  const cold = (): Cold => {
    assert.ok(shared.cold)
    return shared.cold
  }
  before(async () => {
    const first = await startedProcessEngine()
    shared.engine = first
    const subject = subjectOf(first)
    const { tokenIds } = await subject.tokens.prompt(request, unaborted)
    const blocks: BlockRows[] = []
    const keep = {
      range: { from: 0, to: kept },
      take: (_: number, rows: BlockRows) => {
        blocks.push(rows)
      },
    }
    const answer = textOf(await generated(subject, { tokenIds, keep }))
    assert.equal(blocks.length, kept)
    assert.equal(Math.floor((tokenIds.length - 1) / blockTokens), kept, 'all whole blocks')
    shared.cold = { tokenIds, blocks, answer }
    await first.stop()
    // Without the pauses before a process that was killed again and again is replaced.
    shared.engine = await startedProcessEngine({ clock: hastyClock })
  })
  after(() => shared.engine?.stop())

  it('travels to another engine: the same answer as cold, the same bytes again', async () => {
    const subject = subjectOf(engine())
    const { tokenIds, blocks, answer } = cold()
    const events = await generated(subject, { tokenIds, offer: offerOf(blocks) }, 'traveller')
    assert.deepEqual(importedOf(events), kept * blockTokens)
    assert.equal(textOf(events), answer)
    assert.equal(subject.state.residentTokens(tokenIds, 'traveller'), kept * blockTokens)
    const options = { partition: 'traveller', ...unaborted }
    const again = await subject.state.exportBlocks(tokenIds, { from: 1, to: kept }, options)
    assert.deepEqual(again?.map(asBuffer), blocks.slice(1).map(asBuffer))
  })

  it('hands out the blocks to one who leaves with the last event as well', {
    timeout: 60_000,
  }, async t => {
    const subject = subjectOf(engine())
    const { tokenIds, blocks } = cold()
    const taken: Buffer[] = []
    const keep = {
      range: { from: 1, to: 9 },
      take: (index: number, rows: BlockRows) => {
        taken[index] = asBuffer(rows)
      },
    }
    const options = { seed: 1n, ...unaborted, partition: 'leaver', prefix: { tokenIds, keep } }
    for await (const event of subject.model.generate(request, options)) {
      if (event.type === 'usage') break
    }
    await until(() => taken.length === kept, t.signal)
    assert.equal(taken[0], undefined)
    assert.deepEqual(taken.slice(1), blocks.slice(1).map(asBuffer))
  })

  it('goes on with what came of an offer that fails or sends rows of a wrong size', async () => {
    const subject = subjectOf(engine())
    const { tokenIds, blocks, answer } = cold()
    const failing: StateOffer = {
      tokens: kept * blockTokens,
      async *blocks() {
        yield* blocks.slice(0, 1)
        throw new Error('lost')
      },
    }
    const wrong = offerOf([...blocks.slice(0, 2), new Uint8Array(7)])
    for (const [offer, count] of [[failing, 1] as const, [wrong, 2] as const]) {
      const events = await generated(subject, { tokenIds, offer }, `broken ${count}`)
      assert.equal(importedOf(events), count * blockTokens)
      assert.equal(textOf(events), answer)
    }
    const empty = await generated(subject, { tokenIds, offer: offerOf([]) }, 'empty')
    assert.equal(importedOf(empty), 0)
    assert.equal(textOf(empty), answer)
  })

  it('takes rows that lie in memory of their own', async () => {
    const subject = subjectOf(engine())
    const { tokenIds, blocks, answer } = cold()
    const offer = offerOf(blocks.map(rows => new Uint8Array(rows)))
    const events = await generated(subject, { tokenIds, offer }, 'unshared')
    assert.equal(importedOf(events), kept * blockTokens)
    assert.equal(textOf(events), answer)
  })

  for (const [what, came] of [
    ['an offer does not move', 0],
    ['the rest of an offer does not come', 2],
  ] as const) {
    it(`ends at once with the signal while ${what}`, { timeout: 60_000 }, async t => {
      const subject = subjectOf(engine())
      const { tokenIds, blocks } = cold()
      const controller = new AbortController()
      let asked = 0
      let isLeft = false
      const offer: StateOffer = {
        tokens: kept * blockTokens,
        blocks: () => ({
          [Symbol.asyncIterator]: () => ({
            next: () => {
              const value = blocks[asked]
              asked += 1
              if (asked <= came && value !== undefined) return Promise.resolve({ value })
              return new Promise(() => undefined)
            },
            return: async () => {
              isLeft = true
              return { done: true, value: undefined }
            },
          }),
        }),
      }
      const options = { seed: 1n, signal: controller.signal, partition: 'stuck' }
      const events = subject.model.generate(request, { ...options, prefix: { tokenIds, offer } })
      const refused = assert.rejects(Array.fromAsync(events), { name: 'AbortError' })
      await until(() => asked > came, t.signal)
      controller.abort()
      await refused
      assert.equal(isLeft, true)
      assert.deepEqual(engine().load(), { running: 0, waiting: 0 })
    })
  }

  it('leaves no file behind', { skip: withoutMemory, timeout: 60_000 }, async t => {
    const folders = readdirSync('/dev/shm').filter(name => name.includes(`-${process.pid}-`))
    assert.equal(folders.length, 1)
    const files = (): readonly string[] =>
      folders.flatMap(folder => readdirSync(`/dev/shm/${folder}`))
    await until(() => files().length === 0, t.signal)
  })

  it('computes an answer without the offer when the process dies over it', async () => {
    const { tokenIds, blocks, answer } = cold()
    const { model } = subjectOf(engine())
    const pid = engine().pid ?? 0
    process.kill(pid, 'SIGSTOP')
    let sent = 0
    const fatal: CompletionRequest = {
      ...request,
      // Read when the request is sent to the process, which then finds its end.
      get kind() {
        sent += 1
        if (sent === 1) setImmediate(() => process.kill(pid, 'SIGKILL'))
        return request.kind
      },
    }
    const prefix = { tokenIds, offer: offerOf(blocks) }
    const options = { seed: 1n, ...unaborted, partition: 'died importing', prefix }
    const events = await Array.fromAsync(model.generate(fatal, options))
    assert.equal(sent, 2)
    assert.equal(importedOf(events), 0)
    assert.equal(textOf(events), answer)
  })

  it('uses an offer whose blocks arrive while the process is replaced', {
    timeout: 60_000,
  }, async t => {
    const { tokenIds, blocks, answer } = cold()
    const subject = subjectOf(engine())
    const offer: StateOffer = {
      tokens: kept * blockTokens,
      async *blocks() {
        yield* blocks.slice(0, 1)
        const pid = engine().pid ?? 0
        process.kill(pid, 'SIGKILL')
        await until(() => engine().pid !== pid, t.signal)
        yield* blocks.slice(1)
      },
    }
    const events = await generated(subject, { tokenIds, offer }, 'died meanwhile')
    assert.equal(importedOf(events), kept * blockTokens)
    assert.equal(textOf(events), answer)
  })

  it('has answered when the process dies behind the last event', async () => {
    const { tokenIds, answer } = cold()
    const { model } = subjectOf(engine())
    const keep = { range: { from: 0, to: kept }, take: () => undefined }
    const options = { seed: 1n, ...unaborted, partition: 'behind', prefix: { tokenIds, keep } }
    const events: GenerationEvent[] = []
    for await (const event of model.generate(request, options)) {
      events.push(event)
      if (event.type === 'usage') process.kill(engine().pid ?? 0, 'SIGKILL')
    }
    assert.equal(textOf(events), answer)
    assert.deepEqual(engine().load(), { running: 0, waiting: 0 })
  })

  it('says so when the process dies over an export, and forgets what was resident', async () => {
    const { tokenIds } = cold()
    const { state, ...subject } = subjectOf(engine())
    await generated({ state, ...subject }, { tokenIds }, 'exporter')
    assert.ok(state.residentTokens(tokenIds, 'exporter') > 0)
    const pid = engine().pid ?? 0
    process.kill(pid, 'SIGSTOP')
    const range = { from: 0, to: 1 }
    const options = { partition: 'exporter', ...unaborted }
    const exported = state.exportBlocks(tokenIds, range, {
      ...unaborted,
      // Read when the process is asked, which then finds its end.
      get partition() {
        setImmediate(() => process.kill(pid, 'SIGKILL'))
        return 'exporter'
      },
    })
    await assert.rejects(exported, { code: 'engine_failed', retryable: true })
    assert.equal(state.residentTokens(tokenIds, 'exporter'), 0)
    assert.equal(await state.exportBlocks(tokenIds, range, options), undefined)
  })

  it('says so when blocks before the one to be computed again are missing', async () => {
    const { tokenIds, blocks } = cold()
    const { state } = subjectOf(engine())
    const twoBlocks = tokenIds.slice(0, 2 * blockTokens)
    await assert.rejects(state.recomputeBlock(twoBlocks, offerOf([]), unaborted), {
      code: 'engine_failed',
    })
    const again = await state.recomputeBlock(twoBlocks, offerOf(blocks.slice(0, 1)), unaborted)
    assert.deepEqual(asBuffer(again), asBuffer(blocks[1] ?? new Uint8Array()))
  })
})

const request = chat(
  `${'The owl waits beside the old tree, and it has seen you come. '.repeat(20)}?`,
  {
    sampling: { temperature: 0 },
    maxTokens: 8,
  },
)

function subjectOf(engine: LlamaProcessEngine): Subject {
  const model = onlyModel(engine)
  const { tokens } = model
  assert.ok(tokens !== undefined && !('unavailable' in tokens.state))
  return { model, tokens, state: tokens.state }
}

async function generated(
  { model }: Subject,
  prefix: PrefixUse,
  partition = 'test',
): Promise<readonly GenerationEvent[]> {
  return await Array.fromAsync(
    model.generate(request, { seed: 1n, ...unaborted, partition, prefix }),
  )
}

function offerOf(rows: readonly BlockRows[]): StateOffer {
  return {
    tokens: kept * blockTokens,
    async *blocks() {
      yield* rows
    },
  }
}

function importedOf(events: readonly GenerationEvent[]): number {
  const start = events.find(event => event.type === 'start')
  return start?.importedTokens ?? 0
}

function textOf(events: readonly GenerationEvent[]): string {
  return events.map(event => (event.type === 'text' ? event.text : '')).join('')
}

function asBuffer(rows: BlockRows): Buffer {
  return Buffer.from(rows)
}
