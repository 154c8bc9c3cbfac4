import assert from 'node:assert/strict'
import { mkdtempSync } from 'node:fs'
import { readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import {
  chat,
  startedEngine,
  storiesPath,
  storiesSkip,
  tinyChatPath,
} from '../../../../test/support/test-llama.ts'
import type { GenerateOptions } from '../../../interface/engine.ts'
import type { GenerationEvent, StartEvent } from '../../../interface/generation.ts'
import { type Log, silentLog } from '../../../interface/log.ts'
import type { CompletionRequest } from '../../../key/completion-request.ts'
import { modelIdFromDigest } from '../../../key/model-id.ts'
import { blockBytes, blockTokens } from '../../../key/state-layout.ts'
import { systemClock } from '../../../std/clock.ts'
import { cutBlock, joinBlocks, parseStateFile } from '../../state-file/state-file.ts'
import type { EmbeddedModel } from '../embedded-model.ts'
import { LlamaEngine } from '../llama-engine.ts'
import { blockPart, wholeBlocks } from '../sequence/plan-resume.ts'
import { ResidentSequence } from '../sequence/resident-sequence.ts'
import type { NativeStateAccess, NativeStateOptions, ResidentPrefix } from './native-state.ts'

const signal = new AbortController().signal
const folder = mkdtempSync(join(tmpdir(), 'hyperspace-state-'))
let files = 0
const newPath = (): string => {
  files += 1
  return join(folder, `${files}.state`)
}

/** Meaningless, so that the distribution is flat and the last bits show. */
function noise(count: number, seed = 12_345, vocabulary = 2_000): number[] {
  let state = seed
  return Array.from({ length: count }, () => {
    state = (state * 1_103_515_245 + 12_345) % 2 ** 31
    return 3 + ((state >> 8) % (vocabulary - 3))
  })
}
const changedAt = (tokens: readonly number[], index: number): number[] =>
  tokens.map((tokenId, at) => (at === index ? tokenId + 1 : tokenId))

function embedded(engine: LlamaEngine | undefined): EmbeddedModel {
  const [model] = engine?.models() ?? []
  assert.ok(model !== undefined)
  return model
}
function accessOf(model: EmbeddedModel): NativeStateAccess {
  const { nativeState } = model
  assert.ok(!('unavailable' in nativeState), JSON.stringify(nativeState))
  return nativeState
}
const continued = (prompt: readonly number[]): CompletionRequest =>
  chat('', {
    kind: 'text',
    messages: [],
    prompt,
    sampling: { temperature: 0 },
    maxTokens: 6,
    topLogprobs: 3,
  })

interface Answer {
  readonly start: StartEvent
  /** All but the start and the usage: texts and log-probabilities. */
  readonly events: readonly GenerationEvent[]
}
type AskOptions = Partial<GenerateOptions> & NativeStateOptions
async function ask(
  model: EmbeddedModel,
  prompt: readonly number[],
  options: AskOptions = {},
): Promise<Answer> {
  const all = model.generate(continued(prompt), { seed: 1n, signal, ...options })
  const [start, ...events] = await Array.fromAsync(all)
  assert.ok(start?.type === 'start')
  return { start, events: events.filter(event => event.type !== 'usage') }
}

async function blocksOf(path: string, count: number): Promise<Uint8Array[]> {
  const state = parseStateFile(await readFile(path))
  return Array.from({ length: count }, (_, index) => cutBlock(state, index))
}
async function written(
  access: NativeStateAccess,
  tokenIds: readonly number[],
  blocks: readonly Uint8Array[],
  sequences = access.sequences,
): Promise<{ path: string; tokenIds: readonly number[] }> {
  const path = newPath()
  const { layout } = access
  const pieces = joinBlocks({ layout, tokenIds, blocks, sequences })
  await writeFile(path, Buffer.concat(pieces))
  return { path, tokenIds }
}
const asBuffers = (blocks: readonly Uint8Array[]): Buffer[] =>
  blocks.map(block => Buffer.from(block))

const models = [
  { name: 'tiny-chat', path: tinyChatPath, contextTokens: 1_100, vocabulary: 2_000, skip: false },
  {
    name: 'stories260K',
    path: storiesPath,
    contextTokens: 512,
    vocabulary: 500,
    skip: storiesSkip,
  },
] as const
after(() => rm(folder, { recursive: true }))

for (const { name, path, contextTokens, vocabulary, skip } of models) {
  describe(`KV state as files: ${name}`, { skip }, () => {
    const engines: LlamaEngine[] = []
    before(async () => {
      engines.push(
        await startedEngine({ name, path, contextTokens, parallel: 2 }),
        await startedEngine({ name, path, contextTokens, parallel: 3 }),
      )
    })
    after(() => Promise.all(engines.map(engine => engine.stop())))
    const first = (): EmbeddedModel => embedded(engines[0])
    const second = (): EmbeddedModel => embedded(engines[1])

    for (const length of [127, 128, 129, 255, 256, 257, 300, 1_000]) {
      if (length >= contextTokens) continue
      it(`${length} tokens: blocks of one engine serve another, and itself, bit for bit`, async () => {
        const prompt = noise(length, length, vocabulary)
        const tokenIds = prompt.slice(0, blockPart(length))
        const count = tokenIds.length / blockTokens
        const save = { path: newPath(), tokenIds }
        const cold = await ask(first(), prompt, { ...(count > 0 && { save }), partition: 'cold' })
        assert.equal(cold.start.cachedTokens, 0)
        if (count === 0) return
        const blocks = await blocksOf(save.path, count)
        assert.ok(blocks.every(block => block.length === blockBytes(accessOf(first()).layout)))
        for (const model of [second(), first()]) {
          const again = { path: newPath(), tokenIds }
          const load = await written(accessOf(model), tokenIds, blocks)
          const warm = await ask(model, prompt, { load, save: again, partition: 'warm' })
          assert.equal(warm.start.importedTokens, tokenIds.length)
          assert.equal(warm.start.cachedTokens, tokenIds.length)
          assert.deepEqual(warm.events, cold.events)
          assert.deepEqual(
            asBuffers(await blocksOf(again.path, count)),
            asBuffers(blocks),
            'exported anew they are the same',
          )
        }
      })
    }

    it('a longer prompt goes on from a file as from the cold', async () => {
      const prompt = noise(460, 7, vocabulary)
      const tokenIds = prompt.slice(0, 128)
      const save = { path: newPath(), tokenIds }
      await ask(first(), prompt.slice(0, 140), { save, partition: 'a' })
      const load = await written(accessOf(second()), tokenIds, await blocksOf(save.path, 1))
      const warm = await ask(second(), prompt, { load, partition: 'b' })
      assert.equal(warm.start.importedTokens, 128)
      assert.deepEqual(warm.events, (await ask(first(), prompt, { partition: 'c' })).events)
    })

    it('a prompt that differs in one token at a border takes the tokens before it only', async () => {
      const prompt = noise(300, 9, vocabulary)
      const tokenIds = prompt.slice(0, 256)
      const save = { path: newPath(), tokenIds }
      await ask(first(), prompt, { save, partition: 'd' })
      const blocks = await blocksOf(save.path, 2)
      for (const [index, imported] of [
        [127, undefined],
        [128, 128],
        [255, 192],
        [256, 256],
      ] as const) {
        const other = changedAt(prompt, index)
        const load = await written(accessOf(second()), tokenIds, blocks)
        const warm = await ask(second(), other, { load, partition: `${index}` })
        assert.equal(warm.start.importedTokens, imported, `token ${index} differs`)
        const cold = await ask(first(), other, { partition: `${index}` })
        assert.deepEqual(warm.events, cold.events, `token ${index} differs`)
      }
    })

    it('recompute() comes to the same rows, and leaves nothing resident', async () => {
      const prompt = noise(400, 11, vocabulary)
      const tokenIds = prompt.slice(0, 384)
      const save = { path: newPath(), tokenIds }
      await ask(first(), prompt, { save, partition: 'e' })
      const blocks = await blocksOf(save.path, 3)
      const access = accessOf(second())
      for (const index of [0, 1, 2]) {
        const end = (index + 1) * blockTokens
        const before =
          index === 0
            ? undefined
            : await written(access, prompt.slice(0, end - blockTokens), blocks.slice(0, index))
        const path = newPath()
        const what = { tokenIds: prompt.slice(0, end), path, ...(before && { before }) }
        await access.recompute(what, { signal })
        const recomputed = (await blocksOf(path, index + 1))[index]
        assert.ok(recomputed && blocks[index])
        assert.ok(Buffer.from(recomputed).equals(blocks[index]), `block ${index}`)
        const isThere = await access.save(
          { path: newPath(), tokenIds: prompt.slice(0, end) },
          { partition: '\0audit', signal },
        )
        assert.equal(isThere, false)
      }
    })

    it('a prompt that shares blocks copies them and leaves their owner whole', async () => {
      const shared = noise(300, 13, vocabulary)
      const one = [...shared, ...noise(120, 14, vocabulary)]
      const other = [...shared, ...noise(90, 15, vocabulary)]
      await ask(second(), one, { partition: 'f' })
      const forked = await ask(second(), other, { partition: 'f' })
      assert.equal(forked.start.cachedTokens, 256)
      assert.equal(forked.start.importedTokens, undefined)
      assert.deepEqual(forked.events, (await ask(first(), other, { partition: 'g' })).events)
      assert.equal((await ask(second(), one, { partition: 'f' })).start.cachedTokens, 419)
      // What was copied can be exported: nothing of the copy is outstanding.
      const files = [one, other].map(prompt => ({
        path: newPath(),
        tokenIds: prompt.slice(0, 256),
      }))
      const access = accessOf(second())
      for (const file of files) {
        assert.equal(await access.save(file, { partition: 'f', signal }), true)
      }
      const [left, right] = await Promise.all(files.map(file => blocksOf(file.path, 2)))
      assert.ok(left && right)
      assert.deepEqual(asBuffers(right), asBuffers(left))
    })

    it('blocks are copied from a sequence that is busy, and both answers are right', async () => {
      const shared = noise(260, 17, vocabulary)
      const prompts = [21, 22].map(seed => [...shared, ...noise(20, seed, vocabulary)])
      const [one, other] = prompts
      assert.ok(one && other)
      const running = second().generate(continued(one), { seed: 1n, signal, partition: 'h' })
      const events: GenerationEvent[] = []
      for (let step = 0; step < 3; step++) {
        const { value } = await running.next()
        if (value !== undefined) events.push(value)
      }
      const forked = await ask(second(), other, { partition: 'h' })
      assert.equal(forked.start.cachedTokens, 256)
      for await (const event of running) events.push(event)
      const cold = await ask(first(), one, { partition: 'i' })
      assert.deepEqual(
        events.filter(event => event.type !== 'usage' && event.type !== 'start'),
        cold.events,
      )
      assert.deepEqual(forked.events, (await ask(first(), other, { partition: 'i' })).events)
    })
  })
}

describe('KV state of the embedded engine', () => {
  const shared: { engine?: LlamaEngine; warnings: unknown[] } = { warnings: [] }
  before(async () => {
    const warn = (event: string, fields?: object): void => {
      if (event.startsWith('state ')) shared.warnings.push({ event, ...fields })
    }
    const log: Log = { ...silentLog, warn, child: () => log }
    const model = {
      path: tinyChatPath,
      id: modelIdFromDigest('0'.repeat(64)),
      name: 'tiny-chat',
      aliases: [],
      parallel: 2,
      queueMax: 4,
      contextTokens: 600,
    }
    shared.engine = new LlamaEngine({ clock: systemClock, log }, { models: [model] })
    await shared.engine.start({ signal })
  })
  after(() => shared.engine?.stop())
  const model = (): EmbeddedModel => embedded(shared.engine)
  const access = (): NativeStateAccess => accessOf(model())
  const prompt = noise(300, 31)
  const tokenIds = prompt.slice(0, 256)

  it('tells the layout, with what its rows mean', () => {
    const { layout, sequences } = access()
    assert.deepEqual(layout.layers, Array(layout.layers.length).fill(layout.layers[0]))
    assert.equal(blockBytes(layout), 128 * 1_024, 'as the model card says')
    assert.match(layout.settings, /^llama · rope .*freq_base=\d+.* · lora none$/)
    assert.equal(sequences, 2)
    const { state } = model().tokens ?? {}
    assert.ok(state && 'unavailable' in state)
  })

  it('falls back to prefill on a file that cannot be loaded, and is well afterwards', async () => {
    const save = { path: newPath(), tokenIds }
    const cold = await ask(model(), prompt, { save, partition: 'cold' })
    const blocks = await blocksOf(save.path, 2)
    const good = await written(access(), tokenIds, blocks)
    const bytes = await readFile(good.path)
    const altered = async (alter: (bytes: Buffer) => Uint8Array): Promise<string> => {
      const path = newPath()
      await writeFile(path, alter(Buffer.from(bytes)))
      return path
    }
    const set = (offset: number, value: number) => (copy: Buffer) => {
      copy.writeUInt32LE(value, offset)
      return copy
    }
    const paths = {
      missing: join(folder, 'missing'),
      'cut short': await altered(copy => copy.subarray(0, copy.length / 2)),
      longer: await altered(copy => Buffer.concat([copy, Buffer.alloc(9)])),
      'of another format': await altered(set(0, 1)),
      'of another version': await altered(set(4, 4)),
      'of other tokens': await altered(set(12, 5)),
      'of more tokens than there is room for': await altered(set(8, 0x7fff_ffff)),
      'for another count of sequences': await altered(set(12 + 4 * 256, 1)),
    }
    for (const [what, path] of Object.entries(paths)) {
      shared.warnings = []
      const answer = await ask(model(), prompt, {
        load: { path, tokenIds },
        partition: `bad: ${what}`,
      })
      assert.equal(answer.start.importedTokens, undefined, what)
      assert.equal(answer.start.cachedTokens, 0, what)
      assert.deepEqual(answer.events, cold.events, what)
      assert.equal(shared.warnings.length, 1, `${what}: ${JSON.stringify(shared.warnings)}`)
      const warm = await ask(model(), prompt, { load: good, partition: `good: ${what}` })
      assert.equal(warm.start.importedTokens, 256, what)
      assert.deepEqual(warm.events, cold.events, what)
    }
  })

  it('answers although the state cannot be written, and leaves no file', async () => {
    shared.warnings = []
    const path = join(folder, 'no-such-folder', 'state')
    const answer = await ask(model(), prompt, { save: { path, tokenIds }, partition: 'unsaved' })
    assert.equal(answer.events.at(-1)?.type, 'finish')
    assert.equal(shared.warnings.length, 1)
    await assert.rejects(access().save({ path, tokenIds }, { partition: 'unsaved', signal }), {
      code: 'engine_failed',
    })
    const again = await ask(model(), prompt, { partition: 'unsaved' })
    assert.equal(again.start.cachedTokens, 299, 'nothing was lost')
  })

  it('writes no file of tokens that were not computed as blocks', async () => {
    for (const wrong of [prompt.slice(0, 299), changedAt(tokenIds, 0), noise(256, 1)]) {
      const save = { path: newPath(), tokenIds: wrong }
      await ask(model(), prompt, { save, partition: 'wrong' })
      await assert.rejects(stat(save.path), { code: 'ENOENT' })
      assert.equal(await access().save(save, { partition: 'wrong', signal }), false)
    }
  })

  it('keeps partitions apart', async () => {
    const own = noise(300, 37)
    await ask(model(), own, { partition: 'mine' })
    assert.equal((await ask(model(), own, { partition: 'yours' })).start.cachedTokens, 0)
    assert.equal((await ask(model(), own, { partition: 'mine' })).start.cachedTokens, 299)
    const file = { path: newPath(), tokenIds: own.slice(0, 256) }
    assert.equal(await access().save(file, { partition: 'theirs', signal }), false)
    assert.equal(await access().save(file, { partition: 'yours', signal }), true)
  })

  it('score() begins from what is resident of its partition, and costs nobody anything', async () => {
    const [own, beside] = [noise(300, 38), noise(300, 39)]
    const { events } = await ask(model(), own, { partition: 'scored' })
    const answer = events.flatMap(event => (event.type === 'finish' ? (event.tokenIds ?? []) : []))
    await ask(model(), beside, { partition: 'beside' })
    const options = { from: own.length, topLogprobs: 1, partition: 'scored', signal }
    const scores = await model().tokens?.score([...own, ...answer], options)
    assert.equal(scores?.length, answer.length)
    for (const [tokens, partition] of [
      [own, 'scored'],
      [beside, 'beside'],
    ] as const) {
      assert.equal((await ask(model(), tokens, { partition })).start.cachedTokens, 299)
    }
  })

  it('onResident() tells of every change', async () => {
    const told = new Map<number, ResidentPrefix>()
    access().onResident((slot, resident) => told.set(slot, resident))
    await ask(model(), prompt, { partition: 'told' })
    const holder = [...told.values()].find(({ partition }) => partition === 'told')
    assert.deepEqual(holder?.tokenIds, tokenIds)
    for (const [seed, length] of [
      [41, 300],
      [42, 140],
    ] as const) {
      await ask(model(), noise(length, seed), { partition: 'other' })
    }
    assert.deepEqual(
      [...told.values()].map(({ partition, tokenIds: ids }) => [partition, ids.length]).sort(),
      [
        ['other', 128],
        ['other', 256],
      ],
    )
  })

  it('recompute() waits for answers, and makes way for them', async t => {
    const running = model().generate(continued(noise(20, 1)), { seed: 1n, signal })
    await running.next()
    const what = { tokenIds: prompt.slice(0, 128), path: newPath() }
    const first = access().recompute(what, { signal })
    await running.next()
    await assert.rejects(stat(what.path), { code: 'ENOENT' })
    await running.return(undefined)
    await first
    assert.ok((await stat(what.path)).size > 0)
    await rm(what.path)
    // Called back over its first native call, it is done again.
    const answers: Promise<Answer>[] = []
    const { clear } = ResidentSequence.prototype
    const cleared = t.mock.method(
      ResidentSequence.prototype,
      'clear',
      function (this: ResidentSequence) {
        if (answers.length === 0) answers.push(ask(model(), noise(20, 2), { partition: 'way' }))
        return clear.apply(this)
      },
    )
    await access().recompute(what, { signal })
    assert.equal(cleared.mock.callCount(), 4)
    assert.equal((await Promise.all(answers)).length, 1)
    assert.ok((await stat(what.path)).size > 0)
  })

  it('recompute() fails clearly, and leaves nothing resident', async () => {
    const what = { tokenIds: prompt.slice(0, 128), path: newPath() }
    await access().recompute(what, { signal })
    await assert.rejects(access().recompute({ ...what, tokenIds: prompt }, { signal }), RangeError)
    const before = { path: join(folder, 'missing'), tokenIds: prompt.slice(0, 128) }
    await assert.rejects(access().recompute({ ...what, tokenIds, before }, { signal }), {
      code: 'engine_failed',
    })
    assert.equal((await ask(model(), prompt, { partition: 'late' })).start.cachedTokens, 0)
  })

  it('generateTokens() loads and saves as generate() does', async () => {
    const { tokens } = model()
    assert.ok(tokens)
    const options = { sampling: { temperature: 0 }, seed: 1n, maxTokens: 5, topLogprobs: 3, signal }
    const save = { path: newPath(), tokenIds }
    const cold = await Array.fromAsync(tokens.generateTokens(prompt, { ...options, save }))
    const load = await written(access(), tokenIds, await blocksOf(save.path, 2))
    await ask(model(), noise(200, 51), { partition: 'x' })
    await ask(model(), noise(200, 52), { partition: 'x' })
    assert.deepEqual(
      await Array.fromAsync(tokens.generateTokens(prompt, { ...options, load })),
      cold,
    )
    assert.equal(await access().save(load, { partition: '', signal }), true)
  })

  it('keeps every answer right while copies, loads, saves and audits cross', async () => {
    const common = noise(300, 61)
    const prompts = Array.from({ length: 12 }, (_, index) => [
      ...common.slice(0, index % 3 === 0 ? 300 : 140),
      ...noise(30 + index, 70 + index),
    ])
    const cold: Answer[] = []
    for (const [index, each] of prompts.entries()) {
      cold.push(await ask(model(), each, { partition: `alone ${index}` }))
    }
    const save = { path: newPath(), tokenIds: common.slice(0, 256) }
    await ask(model(), common, { save, partition: 'source' })
    const file = await written(access(), save.tokenIds, await blocksOf(save.path, 2))
    const audit = async (): Promise<void> => {
      const what = { tokenIds: common.slice(0, 128), path: newPath() }
      await access().recompute(what, { signal })
    }
    for (let start = 0; start < prompts.length; start += 4) {
      const answers = await Promise.all(
        prompts.slice(start, start + 4).map(async (each, index) => {
          const load = index % 2 === 0 ? { load: file } : {}
          const wanted = { path: newPath(), tokenIds: each.slice(0, wholeBlocks(each.length - 1)) }
          const answer = await ask(model(), each, { ...load, save: wanted, partition: 'crowd' })
          const count = wanted.tokenIds.length / blockTokens
          const [expected] = await blocksOf(save.path, 1)
          const [got] = await blocksOf(wanted.path, count)
          assert.ok(expected && got)
          assert.ok(Buffer.from(got).equals(expected), 'the first block is the same in all')
          return answer
        }),
      )
      await audit()
      for (const [index, answer] of answers.entries()) {
        assert.deepEqual(answer.events, cold[start + index]?.events)
      }
    }
  })
})
