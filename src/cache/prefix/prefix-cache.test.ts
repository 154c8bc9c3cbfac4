import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { silentLog } from '../../interface/log.ts'
import type { CompletionRequest } from '../../key/completion-request.ts'
import { localScope } from '../../key/scope.ts'
import { question } from '../test-cache.ts'
import { longText, TestPrefix, testScope, testSecret } from './test-prefix.ts'
import { decodeNote } from './tiers/block-note.ts'

/** A conversation that begins with a long system text. */
function chat(
  user: string,
  system: string,
  more: Partial<CompletionRequest> = {},
): CompletionRequest {
  return question(user, {
    messages: [
      { role: 'system', content: [{ type: 'text', text: system }] },
      { role: 'user', content: [{ type: 'text', text: user }] },
    ],
    ...more,
  })
}

const system = longText(2_000, 'You are a helpful clerk')
const short = longText(400, 'Be brief')

describe('PrefixCache', () => {
  it('resumes from disk after a restart, with the text of a cold run', async () => {
    const first = await TestPrefix.start()
    const cold = await first.ask(chat('one', system))
    assert.equal(cold.usage.cachedTokens, 0)
    await first.ask(chat('two', system))
    const second = await first.restarted()
    const warm = await second.ask(chat('three', system))
    const fresh = await (await TestPrefix.start()).ask(chat('three', system))
    assert.equal(warm.text, fresh.text)
    assert.ok(warm.usage.cachedTokens >= 1_900, String(warm.usage.cachedTokens))
    assert.deepEqual(warm.report?.spared, {
      resident: 0,
      memory: 0,
      disk: warm.usage.cachedTokens,
      peer: 0,
    })
    assert.match(warm.report?.reason ?? '', /tokens come from disk$/)
    assert.equal(warm.report?.unauditedTokens, 0)
    assert.ok(warm.firstMs < fresh.firstMs / 5, `${warm.firstMs} of ${fresh.firstMs} ms`)
  })

  it('says what is resident, and asks nothing of the disk then', async () => {
    const world = await TestPrefix.start()
    await world.ask(chat('one', system))
    const again = await world.ask(chat('two', system))
    const { resident, disk, memory } = again.report?.spared ?? {}
    assert.deepEqual([resident, disk, memory], [again.usage.cachedTokens, 0, 0])
    assert.match(again.report?.reason ?? '', /tokens are resident/)
  })

  it('counts no more as taken over than the engine used in the end', async () => {
    const world = await TestPrefix.start()
    await world.ask(chat('one', system))
    const restarted = await world.restarted()
    const [model] = restarted.engine.models()
    assert.ok(model)
    const generate = model.generate.bind(model)
    const used = 3 * 128 + 5
    const reluctant: typeof generate = async function* (request, options) {
      for await (const event of generate(request, options)) {
        if (event.type !== 'usage') yield event
        else yield { ...event, usage: { ...event.usage, cachedTokens: used } }
      }
    }
    Object.assign(model, { generate: reluctant })
    const { usage, report } = await restarted.ask(chat('two', system))
    assert.equal(usage.cachedTokens, used)
    assert.deepEqual(report?.spared, { resident: 5, memory: 0, disk: 3 * 128, peer: 0 })
  })

  it('keeps a long head at once, and what comes once only not at all', async () => {
    const world = await TestPrefix.start()
    const { usage } = await world.ask(chat(longText(800, 'once'), system))
    await world.settled()
    assert.equal(world.counted('stored'), Math.floor(usage.cacheWriteTokens ?? 0) / 128)
    assert.ok((usage.cacheWriteTokens ?? 0) >= 1_900 && (usage.cacheWriteTokens ?? 0) < 2_300)
    const none = await world.ask(chat('a short head', short))
    assert.equal(none.usage.cacheWriteTokens, undefined)
  })

  it('keeps a block on its second request', async () => {
    const world = await TestPrefix.start()
    await world.ask(chat('one', short))
    await world.settled()
    assert.equal(world.counted('stored'), 0)
    await world.ask(chat('two', short))
    await world.settled()
    assert.equal(world.counted('stored'), 3, 'what both have in common')
    await world.ask(chat('three', short))
    await world.settled()
    assert.equal(world.counted('stored'), 3, 'once')
  })

  it('keeps what the client marks at once, up to the mark', async () => {
    const world = await TestPrefix.start()
    const marks = [{ after: 'message' as const, message: 0 }]
    const rest = longText(600, 'and now')
    const marked = chat(rest, short, { cache: { isMarked: false, marks } })
    const { usage } = await world.ask(marked)
    assert.equal(usage.cacheWriteTokens, 3 * 128)
    const all = chat(rest, longText(400, 'Be kind'), { cache: { isMarked: true, marks: [] } })
    const whole = await world.ask(all)
    const blocks = Math.floor(whole.usage.promptTokens / 128)
    assert.equal(whole.usage.cacheWriteTokens, blocks * 128)
    await world.settled()
    assert.equal(world.counted('stored'), 3 + blocks)
  })

  it('keeps nothing of a private prompt, nor that it was asked for', async () => {
    const world = await TestPrefix.start()
    for (const user of ['one', 'two']) {
      const { usage } = await world.ask(chat(user, system), { keeps: false })
      assert.equal(usage.cacheWriteTokens, undefined)
    }
    await world.ask(chat('three', short), { keeps: false })
    await world.ask(chat('four', short))
    await world.settled()
    assert.equal(world.counted('stored'), 0)
    assert.equal(world.store.stats().blobs, 0)
  })

  it('counts no token as both read and written', async () => {
    const world = await TestPrefix.start()
    await world.ask(chat('one', short))
    const again = await world.ask(chat('two', short))
    assert.equal(again.usage.cachedTokens, 3 * 128)
    assert.equal(again.usage.cacheWriteTokens, undefined)
  })

  it('never takes a block for another that differs in one token at its border', async () => {
    const world = await TestPrefix.start()
    const tokens = (count: number, last: number): CompletionRequest => {
      const prompt = Array.from({ length: count }, (_, at) => 300 + (at % 50))
      prompt[255] = last
      const cache = { isMarked: true, marks: [] }
      return { ...question(''), kind: 'text', messages: [], prompt, maxTokens: 4, cache }
    }
    await world.ask(tokens(600, 400))
    const next = await world.restarted()
    const other = await next.ask(tokens(600, 401))
    assert.equal(other.report?.spared.disk, 128, 'the first block is the same')
    const cold = await (await TestPrefix.start()).ask(tokens(600, 401))
    assert.equal(other.text, cold.text)
    const same = await (await next.restarted()).ask(tokens(600, 400))
    assert.equal(same.report?.spared.disk, 512)
  })

  it('computes the last token of a prompt of whole blocks', async () => {
    const world = await TestPrefix.start()
    const prompt = Array.from({ length: 512 }, (_, at) => 300 + at)
    const text: CompletionRequest = {
      ...question(''),
      kind: 'text',
      messages: [],
      prompt,
      maxTokens: 4,
      cache: { isMarked: true, marks: [] },
    }
    const cold = await world.ask(text)
    assert.ok((cold.usage.cacheWriteTokens ?? 0) >= 3 * 128)
    const warm = await (await world.restarted()).ask(text)
    assert.equal(warm.report?.spared.disk, 3 * 128)
    assert.equal(warm.text, cold.text)
  })

  it('keeps scopes apart, in the engine and on disk', async () => {
    const world = await TestPrefix.start()
    const other = localScope(testSecret, 'key of another tenant')
    await world.ask(chat('one', system))
    await world.settled()
    const foreign = await world.ask(chat('one', system), { scope: other })
    assert.equal(foreign.usage.cachedTokens, 0)
    const next = await world.restarted()
    assert.ok((await next.ask(chat('x', system), { scope: other })).usage.cachedTokens > 1_900)
    const third = await (await TestPrefix.start({ store: next.store })).ask(chat('x', system), {
      scope: localScope(testSecret, 'yet another'),
    })
    assert.equal(third.usage.cachedTokens, 0)
  })

  it('does not use the state of another model, class or layout under the same name', async () => {
    const world = await TestPrefix.start()
    await world.ask(chat('one', system))
    for (const engine of [{ numericClass: 'another' }, { stateRowBytes: 32 }]) {
      const replaced = await world.restarted({ engine })
      const answer = await replaced.ask(chat('two', system))
      assert.equal(answer.usage.cachedTokens, 0)
    }
  })

  it('takes a block from memory when it is there', async () => {
    const world = await TestPrefix.start()
    await world.ask(chat('one', system))
    await world.settled()
    // As after the engine's child process died: nothing is resident any more.
    await world.engine.start({ signal: new AbortController().signal })
    const warm = await world.ask(chat('two', system))
    assert.equal(warm.report?.spared.memory, warm.usage.cachedTokens)
    assert.match(warm.report?.reason ?? '', /come from memory/)
  })

  it('goes on without what was evicted between plan and read', async () => {
    const first = await TestPrefix.start()
    await first.ask(chat('one', system))
    const world = await first.restarted()
    const names = [...world.store.list()]
    const victim = names.find(({ note }) => decodeNote(note)?.index === 4)
    assert.ok(victim !== undefined)
    const { read } = world.store
    world.store.read = async (name, options) =>
      name === victim.name ? undefined : await read(name, options)
    const answer = await world.ask(chat('two', system))
    assert.equal(answer.usage.cachedTokens, 4 * 128)
    assert.match(answer.report?.reason ?? '', /block 5 was not here any more/)
    assert.equal(answer.text, (await (await TestPrefix.start()).ask(chat('two', system))).text)
  })

  it('tells the truth when the engine begins anew without what it was offered', async () => {
    const first = await TestPrefix.start()
    await first.ask(chat('one', system))
    const world = await first.restarted()
    const [model] = world.engine.models()
    assert.ok(model !== undefined)
    const generate = model.generate.bind(model)
    // As after its child process died over the import: tried again, from nothing.
    model.generate = async function* (request, { prefix, ...options }) {
      assert.ok(prefix?.offer !== undefined)
      for await (const _rows of prefix.offer.blocks(options));
      const { offer: _taken, ...rest } = prefix
      yield* generate(request, { ...options, prefix: rest })
    }
    const answer = await world.ask(chat('two', system))
    assert.deepEqual(answer.report?.spared, { resident: 0, memory: 0, disk: 0, peer: 0 })
    assert.match(answer.report?.reason ?? '', /the engine did not take it over$/)
    assert.equal(answer.text, (await (await TestPrefix.start()).ask(chat('two', system))).text)
  })

  it('drops a block that does not open, and goes on without', async () => {
    const first = await TestPrefix.start()
    await first.ask(chat('one', system))
    const world = await first.restarted()
    const { read } = world.store
    let reads = 0
    world.store.read = async (name, options) => {
      const bytes = await read(name, options)
      reads += 1
      return reads === 1 ? bytes?.map((byte, at) => (at === 99 ? byte ^ 1 : byte)) : bytes
    }
    const blocksBefore = world.store.stats().blobs
    const answer = await world.ask(chat('two', system))
    assert.equal(answer.usage.cachedTokens, 0)
    assert.equal(world.counted('invalid'), 1)
    assert.equal(world.store.stats().blobs, blocksBefore - 1)
    await world.ask(chat('three', system))
    await world.settled()
    assert.equal(world.store.stats().blobs, blocksBefore, 'kept anew from what was computed')
    assert.equal(answer.text, (await (await TestPrefix.start()).ask(chat('two', system))).text)
  })

  it('says once that the disk is full, and answers all the same', async () => {
    const warnings: string[] = []
    const log = { ...silentLog, warn: (event: string) => void warnings.push(event) }
    const world = await TestPrefix.start({ log })
    world.store.isFull = true
    const answer = await world.ask(chat('one', system))
    await world.ask(chat('two', `${system}.`))
    await world.settled()
    assert.equal(world.counted('stored'), 0)
    assert.ok(world.counted('shed') > 20)
    assert.deepEqual(warnings, ['blocks not stored'])
    assert.equal(answer.text, (await (await TestPrefix.start()).ask(chat('one', system))).text)
  })

  it('stops at any moment, and the next request is answered', async () => {
    const first = await TestPrefix.start()
    await first.ask(chat('one', system))
    const world = await first.restarted()
    for (const ms of [0, 1, 20, 60]) {
      const controller = new AbortController()
      world.clock.after(ms, () => controller.abort(new DOMException('gone', 'AbortError')))
      const pending = world.ask(chat(longText(1_000, `gone ${ms}`), system), controller)
      await assert.rejects(pending, { name: 'AbortError' })
    }
    const answer = await world.ask(chat('two', system))
    assert.ok(answer.usage.cachedTokens > 1_900)
    assert.equal(answer.text, (await (await TestPrefix.start()).ask(chat('two', system))).text)
  })

  it('does without where a model gives no state', async () => {
    const world = await TestPrefix.start()
    const [model] = world.engine.models()
    assert.ok(model?.tokens !== undefined)
    assert.equal(world.cache.offReason(model), undefined)
    const because = 'sliding windows cannot be cut'
    const { tokens } = model
    const blind = new Proxy(tokens, {
      get: (target, name) =>
        name === 'state' ? { unavailable: because } : Reflect.get(target, name, target),
    })
    const without = new Proxy(model, {
      get: (target, name) => (name === 'tokens' ? blind : Reflect.get(target, name, target)),
    })
    assert.equal(world.cache.offReason(without), because)
    const ask = { served: { engine: world.engine, model: without }, request: chat('x', system) }
    const options = { signal: new AbortController().signal }
    assert.equal(await world.cache.plan({ ...ask, scope: testScope }, options), undefined)
    const explained = await world.cache.explain({ ...ask, scope: testScope }, options)
    assert.deepEqual(explained, { isOn: false, reason: because })
  })

  it('says of a model whose state fits in no block that it is off, and why', async () => {
    const world = await TestPrefix.start({ engine: { stateRowBytes: 131_074 } })
    const [model] = world.engine.models()
    assert.ok(model !== undefined)
    assert.match(world.cache.offReason(model) ?? '', /^a block of it has 67109888 bytes, more than/)
    const answer = await world.ask(chat('one', system))
    assert.equal(answer.report, undefined)
    assert.equal(world.counted('shed'), 0)
  })

  it('explain() says what plan() would do, and changes nothing', async () => {
    const first = await TestPrefix.start()
    await first.ask(chat('one', system))
    const world = await first.restarted()
    const [model] = world.engine.models()
    assert.ok(model !== undefined)
    const served = { engine: world.engine, model }
    const ask = { served, request: chat('two', system), scope: testScope }
    const explained = await world.cache.explain(ask, { signal: new AbortController().signal })
    assert.ok(explained.isOn)
    assert.equal(explained.residentTokens, 0)
    assert.equal(explained.plan.localBlocks, explained.localBlocks)
    assert.ok(explained.diskBlocks >= 15 && explained.peerBlocks === 0)
    assert.match(explained.plan.reason, /come from disk/)
    const answer = await world.ask(chat('two', system))
    assert.equal(answer.report?.spared.disk, explained.plan.localBlocks * 128)
  })

  it('predicts the time to the first token, and records what it was', async () => {
    const world = await TestPrefix.start()
    const cold = await world.ask(chat('one', system))
    const [[predicted = 0, actual = 1] = []] = world.predictions
    assert.equal(actual, cold.firstMs / 1_000)
    assert.ok(Math.abs(predicted - actual) < 0.01, `${predicted} s, ${actual} s`)
  })

  it('clear() forgets memory, disk and what is resident', async () => {
    const world = await TestPrefix.start()
    await world.ask(chat('one', system))
    await world.settled()
    await world.cache.clear()
    assert.equal((await world.ask(chat('one', system))).usage.cachedTokens, 0)
    const { memory, disk } = world.cache.stats()
    assert.ok(memory.blocks <= 17 && disk.blobs <= 17)
  })

  it('evicts from memory what was used longest ago, and finds it on disk', async () => {
    const world = await TestPrefix.start({ memoryBytesMax: 4 * 8_192 })
    await world.ask(chat('one', system))
    await world.settled()
    assert.equal(world.cache.stats().memory.blocks, 4)
    await world.engine.start({ signal: new AbortController().signal })
    const warm = await world.ask(chat('two', system))
    assert.ok((warm.report?.spared.disk ?? 0) > 1_000)
    assert.equal(warm.text, (await (await TestPrefix.start()).ask(chat('two', system))).text)
  })
})
