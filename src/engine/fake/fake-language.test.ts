import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { type CompletionRequest, emptyRequest } from '../../key/completion-request.ts'
import { FakeEngine } from './fake-engine.ts'
import { Continuation } from './fake-language.ts'
import { fakeDetokenize, fakeTokenize, fakeVocabularySize } from './fake-tokenizer.ts'
import { Gate } from './gate.ts'
import { StopScanner } from './stop-scanner.ts'

const { signal } = new AbortController()

function ask(text: string, fields: Partial<CompletionRequest> = {}): CompletionRequest {
  return {
    ...emptyRequest,
    kind: 'chat',
    model: 'fake',
    messages: [{ role: 'user', content: [{ type: 'text', text }] }],
    unknown: { api: 'openai', fields: {} },
    ...fields,
  }
}

async function answerTo(
  engine: FakeEngine,
  request: CompletionRequest,
  seed: bigint,
): Promise<string> {
  const texts: string[] = []
  const [model] = engine.models()
  assert.ok(model !== undefined)
  for await (const event of model.generate(request, { seed, signal })) {
    if (event.type === 'text') texts.push(event.text)
  }
  return texts.join('')
}

describe('fakeTokenize()', () => {
  it('loses nothing, and knows every id it makes', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), text => {
        const tokenIds = fakeTokenize(text, { special: false })
        assert.equal(fakeDetokenize(tokenIds), text.toWellFormed())
        assert.ok(tokenIds.every(id => id >= 0 && id < fakeVocabularySize))
      }),
    )
  })

  it('gives texts with a common beginning common leading tokens', () => {
    const [long, short] = ['a quick brown fox', 'a quick'].map(text =>
      fakeTokenize(text, { special: false }),
    )
    assert.deepEqual(long?.slice(0, short?.length), short)
  })
})

describe('Continuation', () => {
  it('is a probability distribution in falling order', () => {
    fc.assert(
      fc.property(fc.string(), fc.boolean(), (text, isChat) => {
        const prompt = isChat ? `<|user|>${text}<|end|><|assistant|>` : text
        const tokenIds = fakeTokenize(prompt, { special: true })
        const logprobs = new Continuation(tokenIds).distribution().map(entry => entry.logprob)
        assert.ok(logprobs.reduce((sum, logprob) => sum + Math.exp(logprob), 0) <= 1)
        assert.deepEqual(
          logprobs,
          logprobs.toSorted((a, b) => b - a),
        )
      }),
    )
  })
})

describe('FakeEngine', () => {
  it('answers by seed where the answer is sampled, and only there', async () => {
    const engine = new FakeEngine()
    await engine.start({ signal })
    const seeds = [1n, 2n, 3n, 4n, 5n, 6n, 7n, 8n]
    const draw = (temperature: number): Promise<string[]> =>
      Promise.all(
        seeds.map(seed => answerTo(engine, ask('Hello', { sampling: { temperature } }), seed)),
      )
    assert.equal(new Set(await draw(0)).size, 1)
    assert.ok(new Set(await draw(1)).size > 1)
    assert.deepEqual(await draw(1), await draw(1))
  })

  it('answers the commands of its script', async () => {
    const engine = new FakeEngine()
    await engine.start({ signal })
    assert.equal(await answerTo(engine, ask('/say just this'), 1n), 'just this')
    assert.equal(
      (await answerTo(engine, ask('/long 5'), 1n)).match(/ word/g)?.length,
      5,
      'as many words as asked for',
    )
    await assert.rejects(answerTo(engine, ask('/fail'), 1n), /told to fail/)
  })

  it('waits at the gate before each token, and not after an abort', async () => {
    const gate = new Gate()
    const engine = new FakeEngine({ pace: gate.pass })
    await engine.start({ signal })
    const [model] = engine.models()
    assert.ok(model !== undefined)
    const controller = new AbortController()
    const options = { seed: 1n, signal: controller.signal }
    const events = model.generate(ask('/say abcdef'), options)[Symbol.asyncIterator]()
    assert.equal((await events.next()).value.type, 'start')
    gate.release(1)
    assert.equal((await events.next()).value.text, 'abc')
    const next = events.next()
    await gate.whenWaiting(1)
    controller.abort(new Error('gone'))
    await assert.rejects(next, /gone/)
  })

  it('refuses what it has no place for', async () => {
    const gate = new Gate()
    const engine = new FakeEngine({ pace: gate.pass, runningMax: 1 })
    await engine.start({ signal })
    const [model] = engine.models()
    assert.ok(model !== undefined)
    const events = model.generate(ask('Hi'), { seed: 1n, signal })[Symbol.asyncIterator]()
    await events.next()
    await assert.rejects(answerTo(engine, ask('Ho'), 1n), { code: 'engine_busy' })
    await engine.stop()
    await assert.rejects(events.next(), { code: 'engine_failed' })
  })
})

describe('StopScanner', () => {
  it('ends where a search of the whole text would end', () => {
    const letters = fc.array(fc.constantFrom('a', 'b'))
    const stop = fc.array(fc.constantFrom('a', 'b'), { minLength: 1, maxLength: 4 })
    fc.assert(
      fc.property(letters, fc.array(stop, { maxLength: 2 }), (text, stops) => {
        const scanner = new StopScanner(stops.map(parts => parts.join('')))
        let shown = ''
        let met: string | undefined
        for (const letter of text) {
          const pushed = scanner.push(letter)
          shown += pushed.text
          met = pushed.stop
          if (met !== undefined) break
        }
        if (met === undefined) assert.equal(shown + scanner.end(), text.join(''))
        // Text comes letter by letter, so the stop string that is complete first wins.
        const ends = stops.map(parts => {
          const at = text.join('').indexOf(parts.join(''))
          return at === -1 ? Number.POSITIVE_INFINITY : at + parts.length
        })
        const end = Math.min(Number.POSITIVE_INFINITY, ...ends)
        assert.equal(met !== undefined, Number.isFinite(end))
        if (met === undefined) return
        const ending = stops.filter((_, index) => ends[index] === end).map(parts => parts.length)
        assert.equal(met.length, Math.max(...ending), 'of those that end there the longest')
        assert.equal(shown + met, text.join('').slice(0, end))
      }),
    )
  })
})
