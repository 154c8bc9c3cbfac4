import assert from 'node:assert/strict'
import { after, before, describe, it, type TestContext } from 'node:test'
import { hastyClock, startedEngine, testModel } from '../../../test/support/test-llama.ts'
import type { TokenScore } from '../../interface/engine.ts'
import { silentLog } from '../../interface/log.ts'
import { systemClock } from '../../std/clock.ts'
import { LlamaEngine } from './llama-engine.ts'
import { ResidentSequence } from './sequence/resident-sequence.ts'
import type { TokenAccess } from './token-access.ts'

const signal = new AbortController().signal
const prompt = tokensFrom(1, 300)
/** Three chunks. */
const answer = tokensFrom(2, 48)
const scoring = { from: prompt.length, topLogprobs: 2, signal }

/** Native work, in the order in which it was begun. */
interface Work {
  readonly prefills: { reused: number; tokens: number }[]
  readonly ranked: number[]
}

describe('TokenAccess.score()', () => {
  const shared: { engine?: LlamaEngine; undisturbed?: readonly TokenScore[] } = {}
  const tokens = (): TokenAccess => {
    const [model] = shared.engine?.models() ?? []
    assert.ok(model?.tokens !== undefined)
    return model.tokens
  }
  const load = (): object => shared.engine?.load() ?? {}
  const score = (partition: string): Promise<readonly TokenScore[]> =>
    tokens().score([...prompt, ...answer], { ...scoring, partition })
  before(async () => {
    shared.engine = await startedEngine({ parallel: 2, contextTokens: 640 })
    shared.undisturbed = await score('undisturbed')
  })
  after(() => shared.engine?.stop())

  it('computes the answer alone while its prompt is resident', async t => {
    await generated(tokens(), prompt, 'resident')
    const work = watchWork(t)
    assert.deepEqual(await score('resident'), shared.undisturbed)
    assert.deepEqual(work.prefills, [{ reused: 299, tokens: 300 }])
    assert.deepEqual(work.ranked, [16, 16, 16])
  })

  it('waits while something is generated, and takes no sequence for it', async t => {
    await generated(tokens(), prompt, 'waiting')
    await generated(tokens(), tokensFrom(3, 200), 'other')
    const work = watchWork(t)
    const running = stream(tokens(), prompt, 'waiting')
    await running.next()
    const scored = score('waiting')
    assert.equal(await settled(scored, running.next()), false)
    assert.deepEqual(load(), { running: 1, waiting: 0 })
    await running.return(undefined)
    assert.deepEqual(await scored, shared.undisturbed)
    assert.deepEqual(
      work.prefills.map(({ reused }) => reused),
      [299, 299],
    )
    await generated(tokens(), tokensFrom(3, 200), 'other')
    assert.equal(work.prefills.at(-1)?.reused, 199, 'nothing of anybody was lost')
  })

  it('makes way behind a chunk, and goes on where it was when its sequence was left alone', async t => {
    await generated(tokens(), prompt, 'way')
    const beside = tokensFrom(4, 200)
    await generated(tokens(), beside, 'beside')
    const others: Promise<void>[] = []
    const work = watchWork(t, chunk => {
      if (chunk === 1) others.push(generated(tokens(), beside, 'beside'))
    })
    assert.deepEqual(await score('way'), shared.undisturbed)
    await Promise.all(others)
    assert.deepEqual(work.prefills, [
      { reused: 299, tokens: 300 },
      { reused: 199, tokens: 200 },
    ])
    assert.deepEqual(work.ranked, [16, 16, 16])
  })

  it('begins anew when its sequence was needed, which serves who came as if alone', async t => {
    await generated(tokens(), prompt, 'needed')
    const others: Promise<void>[] = []
    const work = watchWork(t, chunk => {
      if (chunk === 2) others.push(generated(tokens(), prompt, 'needed'))
    })
    assert.deepEqual(await score('needed'), shared.undisturbed)
    await Promise.all(others)
    assert.deepEqual(
      work.prefills.map(({ reused }) => reused),
      [299, 299, 299],
    )
    assert.deepEqual(work.ranked, [16, 16, 16, 16, 16])
  })

  it('waits while another model of the engine generates', async t => {
    const models = ['one', 'other'].map(name => testModel({ name, contextTokens: 640 }))
    const engine = new LlamaEngine({ clock: systemClock, log: silentLog }, { models })
    await engine.start({ signal })
    t.after(() => engine.stop())
    const [one, other] = engine.models().map(model => model.tokens)
    assert.ok(one !== undefined && other !== undefined)
    const running = stream(other, prompt, '')
    await running.next()
    const work = watchWork(t)
    const scored = one.score([...prompt, ...answer], scoring)
    await generated(other, tokensFrom(3, 200), '')
    assert.deepEqual(work.prefills, [{ reused: 0, tokens: 200 }])
    await running.return(undefined)
    assert.deepEqual(await scored, shared.undisturbed)
  })

  it('yields for a while only, so that receipts come on a node that is never idle', async t => {
    const engine = new LlamaEngine(
      { clock: hastyClock, log: silentLog },
      { models: [testModel({ parallel: 2, contextTokens: 640 })] },
    )
    await engine.start({ signal })
    t.after(() => engine.stop())
    const [model] = engine.models()
    assert.ok(model?.tokens !== undefined)
    const running = stream(model.tokens, prompt, '')
    await running.next()
    assert.deepEqual(await model.tokens.score([...prompt, ...answer], scoring), shared.undisturbed)
    assert.equal((await running.next()).done, false)
    await running.return(undefined)
  })

  it('ends with its signal, waiting or making way', async t => {
    const controller = new AbortController()
    const all = [...prompt, ...answer]
    const running = stream(tokens(), prompt, 'ended')
    await running.next()
    const waiting = tokens().score(all, { ...scoring, signal: controller.signal })
    controller.abort(new Error('given up'))
    await assert.rejects(waiting, /given up/)
    await running.return(undefined)
    const second = new AbortController()
    watchWork(t, () => second.abort(new Error('given up too')))
    await assert.rejects(tokens().score(all, { ...scoring, signal: second.signal }), /up too/)
    assert.deepEqual(load(), { running: 0, waiting: 0 })
  })
})

/** `onRank` is called while a chunk of the answer is evaluated, the first with 1. */
function watchWork(t: TestContext, onRank: (chunk: number) => void = () => undefined): Work {
  const work: Work = { prefills: [], ranked: [] }
  const { prefill, rank } = ResidentSequence.prototype
  t.mock.method(
    ResidentSequence.prototype,
    'prefill',
    function (this: ResidentSequence, ...call: Parameters<typeof prefill>) {
      work.prefills.push({ reused: call[1].plan.reuseTokens, tokens: call[0].length })
      return prefill.apply(this, call)
    },
  )
  t.mock.method(
    ResidentSequence.prototype,
    'rank',
    function (this: ResidentSequence, ...call: Parameters<typeof rank>) {
      const evaluated = rank.apply(this, call)
      onRank(work.ranked.push(call[0].length))
      return evaluated
    },
  )
  return work
}

function stream(tokens: TokenAccess, tokenIds: readonly number[], partition: string) {
  const drawn = { sampling: { temperature: 0 }, seed: 1n, maxTokens: 4 }
  return tokens.generateTokens(tokenIds, { ...drawn, partition, signal })
}

async function generated(
  tokens: TokenAccess,
  tokenIds: readonly number[],
  partition: string,
): Promise<void> {
  await Array.fromAsync(stream(tokens, tokenIds, partition))
}

/** Whether a promise has settled when another one has. */
async function settled(promise: Promise<unknown>, other: Promise<unknown>): Promise<boolean> {
  let isSettled = false
  const settle = (): void => {
    isSettled = true
  }
  promise.then(settle, settle)
  await other
  return isSettled
}

/** Ordinary ids that mean nothing. */
function tokensFrom(seed: number, count: number): number[] {
  let state = seed
  return Array.from({ length: count }, () => {
    state = (state * 1_103_515_245 + 12_345) % 2 ** 31
    return 3 + ((state >> 8) % 1_990)
  })
}
