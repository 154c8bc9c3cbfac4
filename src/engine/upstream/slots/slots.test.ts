import assert from 'node:assert/strict'
import { copyFileSync, mkdtempSync, readdirSync, utimesSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { serverSkip, startServer } from '../../../../test/support/llama-server.ts'
import { chat, tinyChatPath } from '../../../../test/support/test-llama.ts'
import type { EngineModel } from '../../../interface/engine.ts'
import type { BlockRows, PrefixUse, StateOffer } from '../../../interface/kv-state.ts'
import { type Log, silentLog } from '../../../interface/log.ts'
import type { CompletionRequest } from '../../../key/completion-request.ts'
import { modelIdFromDigest } from '../../../key/model-id.ts'
import { blockBytes, blockTokens, bytesPerToken } from '../../../key/state-layout.ts'
import { systemClock } from '../../../std/clock.ts'
import { systemRandom } from '../../../std/random.ts'
import { UpstreamEngine } from '../upstream-engine.ts'

const signal = new AbortController().signal
const modelId = modelIdFromDigest('1'.repeat(64))
const story = 'The fox in the wood has seen you come, and it waits beside the old tree. '.repeat(20)

describe('a llama-server with --slot-save-path', { skip: serverSkip }, () => {
  const running: { first?: Subject; second?: Subject } = {}
  before(async () => {
    running.first = await startSubject()
    running.second = await startSubject()
  })
  after(async () => {
    await running.first?.stop()
    await running.second?.stop()
  })
  const subject = (which: 'first' | 'second'): Subject => {
    const found = running[which]
    assert.ok(found)
    return found
  }

  it('tells its model, its class and how its state is laid out', () => {
    const { model } = subject('first')
    assert.equal(model.id, modelId)
    assert.match(model.numericClass, /llama-server .* rows [0-9a-f]{16}/)
    assert.equal(subject('second').model.numericClass, model.numericClass, 'equal for equal rows')
    assert.ok(model.slots && 'layout' in model.slots.state)
    assert.equal(bytesPerToken(model.slots.state.layout), 1_024, 'as the model card says')
  })

  it('gives blocks from which another server answers as it would have alone', async () => {
    const [first, second] = [subject('first'), subject('second')]
    const asked = question('What is it?')
    const alone = await answer(second.model, asked, { isKept: false })
    const { kept } = await answer(first.model, question('Who is it?'))
    assert.ok(kept.length >= 2)
    const moved = await answer(second.model, asked, { offer: offerOf(kept), partition: 'other' })
    assert.equal(moved.start?.importedTokens, kept.length * blockTokens)
    assert.ok((moved.usage?.cachedTokens ?? 0) >= kept.length * blockTokens, 'it was used')
    assert.equal(moved.text, alone.text)
    assert.deepEqual(readdirSync(second.folder), [], 'no file is left')
  })

  it('tells what system text and marks come to', async () => {
    const { model } = subject('first')
    const marks = [{ after: 'message', message: 0 }] as const
    const asked = { ...question('What is it?'), cache: { isMarked: true, marks } }
    const prompt = await model.slots?.prompt(asked, { signal })
    const { tokenIds = [], headTokens = 0, markTokens } = prompt ?? {}
    const other = await model.slots?.prompt(question('Why?'), { signal })
    assert.ok(headTokens > 2 * blockTokens && headTokens < tokenIds.length)
    assert.deepEqual(other?.tokenIds.slice(0, headTokens), tokenIds.slice(0, headTokens))
    assert.ok(Math.abs((markTokens?.[0] ?? 0) - headTokens) < 8)
  })

  it('exports what is in a slot, to its partition only', async () => {
    const { model } = subject('first')
    const asked = question('Where is it?')
    const { kept, tokenIds } = await answer(model, asked, { partition: 'mine' })
    const { slots } = model
    assert.ok(slots && 'layout' in slots.state)
    const { state } = slots
    assert.equal(state.residentTokens(tokenIds, 'theirs'), 0)
    const range = { from: 0, to: 2 }
    assert.ok(state.residentTokens(tokenIds, 'mine') >= 2 * blockTokens)
    const rows = await state.exportBlocks(tokenIds, range, { partition: 'mine', signal })
    assert.deepEqual(rows?.map(asBuffer), kept.slice(0, 2).map(asBuffer))
    assert.equal(rows?.[0]?.length, blockBytes(state.layout))
    const none = await state.exportBlocks(tokenIds, range, { partition: 'theirs', signal })
    assert.equal(none, undefined)
  })

  it('comes to the same block when it computes it again', async () => {
    const { model } = subject('first')
    const { kept, tokenIds } = await answer(model, question('Why is it?'))
    const { slots } = model
    assert.ok(slots && 'layout' in slots.state)
    const upToSecond = tokenIds.slice(0, 2 * blockTokens)
    const before = offerOf(kept.slice(0, 1))
    const again = await slots.state.recomputeBlock(upToSecond, before, { signal })
    assert.deepEqual(asBuffer(again), kept[1] && asBuffer(kept[1]))
  })

  it('tells the tokens that the server reads, whatever goes into the prompt', async () => {
    const { model } = subject('first')
    const tool = { type: 'function', name: 'look', parameters: { type: 'object' } } as const
    const image = '<|im_start|>system\nNo.<|im_end|>'
    for (const asked of [
      question('Why?'),
      { ...question('Why?'), tools: [tool], reasoning: { enabled: false } },
      { ...question(image), templateArgs: { enable_thinking: true } },
      chat('', { kind: 'text', messages: [], prompt: image, maxTokens: 1 }),
    ]) {
      const prompt = await model.slots?.prompt(asked, { signal })
      const { usage } = await answer(model, asked)
      assert.equal(usage?.promptTokens, prompt?.tokenIds.length)
    }
  })

  it('begins from nothing of another partition, whatever became of its request', async () => {
    const { model } = subject('first')
    const asked = question('Was it given up?')
    const { tokenIds } = (await model.slots?.prompt(asked, { signal })) ?? { tokenIds: [] }
    for (const round of [1, 2]) {
      const options = { seed: 1n, signal, partition: 'first', prefix: { tokenIds } }
      for await (const event of model.generate(asked, options)) if (event.type === 'text') break
      const others = [1, 2].map(other =>
        answer(model, asked, { partition: `given up ${round} ${other}` }),
      )
      for (const { usage } of await Promise.all(others)) assert.equal(usage?.cachedTokens, 0)
    }
  })

  it('begins from nothing of another partition while all slots are busy', async () => {
    const { model } = subject('first')
    const asked = question('Is there room?')
    const answers = ['k', 'l', 'm', 'n', 'o'].map(partition =>
      answer(model, asked, { partition, isKept: false }),
    )
    for (const { usage } of await Promise.all(answers)) assert.equal(usage?.cachedTokens, 0)
  })

  it('begins from nothing that the server has put aside for all', async () => {
    const { model } = subject('first')
    const secret = question('What is the secret?')
    await answer(model, secret, { partition: 'p' })
    // What is replaced in a slot goes into the server's own cache.
    const other = (text: string) => ({ ...question(text), messages: chat(text).messages })
    const long = 'Something else altogether, and at some length. '.repeat(20)
    for (const text of [`1 ${long}`, `2 ${long}`])
      await answer(model, other(text), { partition: 'p' })
    for (const text of [`3 ${long}`, `4 ${long}`])
      await answer(model, other(text), { partition: 'q' })
    const { usage } = await answer(model, secret, { partition: 'q' })
    assert.equal(usage?.cachedTokens, 0)
  })

  it('answers with several choices, and begins from nothing of theirs', async () => {
    const { model } = subject('first')
    const asked = question('How many?')
    await answer(model, asked, { partition: 'q' })
    const two = await answer(model, { ...asked, choiceCount: 2 }, { partition: 'r' })
    assert.equal(two.events.filter(event => event.type === 'finish').length, 2)
    assert.equal(two.usage?.cachedTokens, 0)
    const { usage } = await answer(model, asked, { partition: 's' })
    assert.equal(usage?.cachedTokens, 0)
  })

  it('keeps no block that was computed beside others', async () => {
    const { model } = subject('first')
    const [one, two] = [question('One?'), question('Two?')]
    const together = await Promise.all([
      answer(model, one, { partition: 'beside 1' }),
      answer(model, two, { partition: 'beside 2' }),
    ])
    assert.deepEqual(
      together.map(({ kept }) => kept.length),
      [0, 0],
    )
    const alone = await answer(model, one, { partition: 'beside 3' })
    assert.ok(alone.kept.length >= 2)
  })

  it('exchanges nothing with a server that has another model now', async () => {
    const path = join(mkdtempSync(join(tmpdir(), 'hyperspace-model-')), 'model.gguf')
    copyFileSync(tinyChatPath, path)
    const replaced = await startSubject({ model: path })
    try {
      const { slots } = replaced.model
      assert.ok(slots && 'layout' in slots.state)
      const first = await answer(replaced.model, question('Who?'))
      assert.ok(first.kept.length >= 2)
      utimesSync(path, 1, 1)
      const offer = offerOf(first.kept)
      const second = await answer(replaced.model, question('What?'), { offer, partition: 'x' })
      assert.deepEqual([second.kept, second.start?.importedTokens], [[], undefined])
      assert.equal(slots.state.residentTokens(first.tokenIds, ''), 0)
      const range = { from: 0, to: 1 }
      const options = { partition: '', signal }
      assert.equal(await slots.state.exportBlocks(first.tokenIds, range, options), undefined)
      await replaced.engine.refresh({ signal })
      const [anew] = replaced.engine.models()
      assert.ok(anew?.slots && anew.slots !== slots)
      assert.ok((await answer(anew, question('Where?'))).kept.length >= 2)
    } finally {
      await replaced.stop()
    }
  })

  it('says what to do where all slots share one memory', async () => {
    const warnings: unknown[] = []
    const log: Log = {
      ...silentLog,
      warn: (_event, fields) => warnings.push(fields?.['reason']),
      child: () => log,
    }
    const shared = await startSubject({ slots: ['--parallel', '2', '--kv-unified'], log })
    try {
      assert.equal(shared.model.slots, undefined)
      assert.match(String(warnings), /share one memory: start it with --parallel 2/)
    } finally {
      await shared.stop()
    }
  })

  it('goes on without its slots where the folder is another one', async () => {
    const elsewhere = await startSubject({ folder: '/nowhere/that/exists' })
    try {
      assert.equal(elsewhere.model.slots, undefined)
      const { text } = await answer(elsewhere.model, question('Who?'))
      assert.notEqual(text, '')
    } finally {
      await elsewhere.stop()
    }
  })
})

interface Subject {
  readonly engine: UpstreamEngine
  readonly model: EngineModel
  readonly folder: string
  stop(): Promise<void>
}

interface SubjectOptions {
  readonly model?: string
  readonly slots?: readonly string[]
  /** That the node is told. @default the server's own */
  readonly folder?: string
  readonly log?: Log
}

async function startSubject(options: SubjectOptions = {}): Promise<Subject> {
  const server = await startServer(options.model ?? tinyChatPath, options.slots)
  const { folder = server.folder, log = silentLog } = options
  const engine = new UpstreamEngine(
    { clock: systemClock, log, random: systemRandom },
    {
      name: 'llama-server',
      url: server.url,
      connectTimeoutMs: 5_000,
      idleTimeoutMs: 60_000,
      slots: { folder, modelIdOf: async () => modelId },
    },
  )
  await engine.start({ signal })
  const [model] = engine.models()
  assert.ok(model)
  const stop = async (): Promise<void> => {
    await engine.stop()
    await server.stop()
  }
  return { engine, model, folder, stop }
}

function question(text: string): CompletionRequest {
  return chat(text, {
    messages: [
      { role: 'system', content: [{ type: 'text', text: story }] },
      { role: 'user', content: [{ type: 'text', text }] },
    ],
    sampling: { temperature: 0 },
    maxTokens: 12,
  })
}

interface AnswerOptions {
  readonly partition?: string
  readonly offer?: StateOffer
  /** @default true */
  readonly isKept?: boolean
}

async function answer(
  model: EngineModel,
  request: CompletionRequest,
  { partition = '', offer, isKept = true }: AnswerOptions = {},
) {
  const { tokenIds } = (await model.slots?.prompt(request, { signal })) ?? { tokenIds: [] }
  const kept: BlockRows[] = []
  const take = (_index: number, rows: BlockRows): void => {
    kept.push(rows)
  }
  const range = { from: 0, to: Math.floor((tokenIds.length - 1) / blockTokens) }
  const prefix: PrefixUse = {
    tokenIds,
    ...(isKept && { keep: { range, take } }),
    ...(offer && { offer }),
  }
  const events = await Array.fromAsync(
    model.generate(request, { seed: 1n, signal, partition, prefix }),
  )
  const usage = events.find(event => event.type === 'usage')?.usage
  const start = events.find(event => event.type === 'start')
  const text = events.map(event => (event.type === 'text' ? event.text : '')).join('')
  return { tokenIds, kept, events, usage, start, text }
}

function offerOf(rows: readonly BlockRows[]): StateOffer {
  return {
    tokens: rows.length * blockTokens,
    async *blocks() {
      yield* rows
    },
  }
}

/** A comparable copy: the rows lie in shared memory. */
function asBuffer(rows: BlockRows): Buffer {
  return Buffer.from(rows)
}
