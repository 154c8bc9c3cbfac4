import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { OperationError } from '../errors.ts'
import { type CompletionRequest, emptyRequest, type Tool } from '../key/completion-request.ts'
import { isAbort } from '../std/signal.ts'
import type { Engine, EngineModel, TokenModel } from './engine.ts'
import { collect } from './generation.compliance.ts'
import type { GenerationEvent } from './generation.ts'
import { describeState } from './kv-state.compliance.ts'

export interface EngineUnderTest {
  /** Started. The suite stops it. */
  readonly engine: Engine
  readonly modelName: string
  /** Runs after the engine has stopped. */
  readonly dispose?: () => Promise<void>
}

/** Parts of the contract that an implementation may decline, each with the reason why. */
export type EngineFeature =
  | 'choices'
  | 'context limit'
  | 'count tokens'
  | 'embeddings'
  | 'forced tool call'
  | 'json schema'
  | 'logprobs'
  | 'text completion'
export type EngineDeviations = { readonly [feature in EngineFeature]?: string }

const weatherTool: Tool = {
  type: 'function',
  name: 'get_weather',
  description: 'The weather of a city',
  parameters: {
    type: 'object',
    properties: { city: { type: 'string', enum: ['Paris', 'Rome'] } },
    required: ['city'],
  },
}
const signal = new AbortController().signal

/** The contract of `Engine`, in code. Every implementation runs it. */
export function engineCompliance(
  name: string,
  create: () => Promise<EngineUnderTest>,
  deviations: EngineDeviations = {},
): void {
  const unless = (feature: EngineFeature): { skip: string | false } => ({
    skip: deviations[feature] ?? false,
  })
  const shared: { subject?: EngineUnderTest } = {}
  const engine = (): Engine => present(shared.subject).engine
  const model = (): EngineModel => {
    const { modelName } = present(shared.subject)
    return present(
      engine()
        .models()
        .find(candidate => candidate.name === modelName),
    )
  }
  const chat = (fields: Partial<CompletionRequest> = {}): CompletionRequest => ({
    ...chatRequest(present(shared.subject).modelName),
    ...fields,
  })

  describe(`engine compliance: ${name}`, () => {
    before(async () => {
      shared.subject = await create()
    })
    after(async () => {
      await shared.subject?.engine.stop()
      await shared.subject?.dispose?.()
    })
    describeModels(engine, model)
    describeGeneration(model, chat)
    describeOptions(model, chat, unless)
    describeFormats(model, chat, unless)
    describeLimits(model, chat, unless)
    describeAborts(engine, model, chat)
    describeOtherCalls(model, chat, unless)
    describeTokens(model, chat)
    describeState(model, chat)
    describeStop(create)
  })
}

type Chat = (fields?: Partial<CompletionRequest>) => CompletionRequest
type Unless = (feature: EngineFeature) => { skip: string | false }

function describeModels(engine: () => Engine, model: () => EngineModel): void {
  it('models() has unique names and ids that say what they are', () => {
    const models = engine().models()
    assert.equal(new Set(models.map(entry => entry.name)).size, models.length)
    for (const entry of models) {
      assert.match(entry.id, /^(sha256:[0-9a-f]{64}|name:.+)$/s)
      assert.ok(entry.contextTokens === undefined || entry.contextTokens > 0)
    }
    assert.notEqual(model().details.origin, '')
  })

  it('load() is idle while nothing is asked', () => {
    assert.deepEqual(engine().load(), { running: 0, waiting: 0 })
  })
}

function describeGeneration(model: () => EngineModel, chat: Chat): void {
  it('generate() follows the event grammar', async () => {
    const request = chat()
    const answer = await collect(model(), request)
    assert.notEqual(answer.text(0), '')
    assert.ok(answer.usage.completionTokens > 0)
    assert.ok(answer.usage.promptTokens > 0)
  })

  it('generate() gives equal answers to equal requests and seeds at temperature 0', async () => {
    const request = chat({ sampling: { temperature: 0 } })
    const first = await collect(model(), request)
    const second = await collect(model(), request)
    assert.equal(second.text(0), first.text(0))
    assert.equal(second.usage.completionTokens, first.usage.completionTokens)
  })

  it('generate() runs several requests at once, and none sees the text of another', async () => {
    const questions = ['Say yes.', 'Say no.', 'Say maybe.', 'Count to five.']
    const requests = questions.map(text =>
      chat({ messages: [userMessage(text)], sampling: { temperature: 0 }, maxTokens: 12 }),
    )
    const alone: string[] = []
    for (const request of requests) alone.push((await collect(model(), request)).text(0))
    const together = await Promise.all(requests.map(request => collect(model(), request)))
    assert.deepEqual(
      together.map(answer => answer.text(0)),
      alone,
    )
  })
}

function describeOptions(model: () => EngineModel, chat: Chat, unless: Unless): void {
  it('generate() gives as many choices as are asked for', unless('choices'), async () => {
    const answer = await collect(model(), chat({ choiceCount: 3, maxTokens: 8 }))
    assert.equal(answer.finishes.size, 3)
  })

  it('generate() continues a text', unless('text completion'), async () => {
    const request: CompletionRequest = {
      ...chat({ messages: [], maxTokens: 8 }),
      kind: 'text',
      prompt: 'Once upon a time',
    }
    const answer = await collect(model(), request)
    assert.ok(answer.usage.promptTokens > 0)
  })

  it('generate() tells log-probabilities when they are asked for', unless('logprobs'), async () => {
    const answer = await collect(model(), chat({ topLogprobs: 2, maxTokens: 6 }))
    const logprobs = answer.events.flatMap(event =>
      event.type === 'text' && event.kind === 'text' ? (event.logprobs ?? []) : [],
    )
    assert.ok(logprobs.length > 0)
    for (const entry of logprobs) {
      assert.ok(entry.logprob <= 0)
      assert.ok(entry.top.length <= 2)
      assert.ok(isDescending(entry.top.map(alternative => alternative.logprob)))
    }
    const bytes = Buffer.concat(logprobs.map(entry => Buffer.from(entry.bytes)))
    assert.ok(bytes.toString('utf8').startsWith(answer.text(0)), 'token bytes spell the text')
  })
}

function describeFormats(model: () => EngineModel, chat: Chat, unless: Unless): void {
  it('generate() calls the tool that is forced', unless('forced tool call'), async () => {
    const request = chat({
      messages: [userMessage('What is the weather in Paris?')],
      tools: [weatherTool],
      toolChoice: { type: 'function', name: 'get_weather' },
      maxTokens: 128,
    })
    const answer = await collect(model(), request)
    const call = answer.events.find(event => event.type === 'tool-call')
    assert.equal(call?.name, 'get_weather')
    assert.notEqual(call?.id, '')
    assert.equal(answer.finishes.get(0), 'tool_calls')
    const parsed: unknown = JSON.parse(answer.toolArguments(0, 0))
    assert.ok(typeof parsed === 'object' && parsed !== null && 'city' in parsed)
    assert.ok(parsed.city === 'Paris' || parsed.city === 'Rome')
  })

  it('generate() answers in the JSON schema that is asked for', unless('json schema'), async () => {
    const schema = {
      type: 'object',
      properties: { ok: { type: 'boolean' } },
      required: ['ok'],
      additionalProperties: false,
    }
    const request = chat({ responseFormat: { type: 'json_schema', schema }, maxTokens: 64 })
    const parsed: unknown = JSON.parse((await collect(model(), request)).text(0))
    assert.ok(typeof parsed === 'object' && parsed !== null && 'ok' in parsed)
    assert.equal(typeof parsed.ok, 'boolean')
  })
}

function describeLimits(model: () => EngineModel, chat: Chat, unless: Unless): void {
  it('generate() ends with length at maxTokens', async () => {
    const answer = await collect(model(), chat({ maxTokens: 2, sampling: { temperature: 0 } }))
    assert.equal(answer.finishes.get(0), 'length')
    assert.equal(answer.usage.completionTokens, 2)
  })

  it('generate() ends before a stop string and does not show it', async () => {
    const request = chat({ sampling: { temperature: 0 } })
    const whole = (await collect(model(), request)).text(0)
    const stop = whole.slice(3, 7)
    assert.equal(stop.length, 4, 'the answer is long enough to be stopped inside')
    const stopped = await collect(model(), { ...request, stop: [stop] })
    assert.equal(stopped.text(0), whole.slice(0, whole.indexOf(stop)))
    assert.equal(stopped.finishes.get(0), 'stop')
  })

  it('generate() refuses a prompt beyond the context', unless('context limit'), async () => {
    const { contextTokens } = model()
    assert.ok(contextTokens !== undefined)
    const request = chat({ messages: [userMessage('word '.repeat(contextTokens))] })
    await assert.rejects(collect(model(), request), error => {
      assert.ok(error instanceof OperationError)
      assert.equal(error.code, 'context_length_exceeded')
      const numbers = error.message.match(/\d+/g)?.map(Number) ?? []
      assert.ok(numbers.includes(contextTokens), 'names what fits')
      assert.ok(
        numbers.some(number => number > contextTokens),
        'names what was asked',
      )
      return true
    })
  })
}

function describeAborts(engine: () => Engine, model: () => EngineModel, chat: Chat): void {
  const long = (): CompletionRequest =>
    chat({ messages: [userMessage('Tell me a long story about a dog.')] })

  it('generate() yields nothing for a signal that has fired', async () => {
    const aborted = AbortSignal.abort()
    const events: GenerationEvent[] = []
    await assert.rejects(async () => {
      const options = { seed: 1n, signal: aborted }
      for await (const event of model().generate(chat(), options)) events.push(event)
    }, isAbortOutcome)
    assert.deepEqual(events, [])
  })

  it('generate() ends with the abort and frees its slot', async () => {
    const controller = new AbortController()
    await assert.rejects(async () => {
      const options = { seed: 1n, signal: controller.signal }
      for await (const event of model().generate(long(), options)) {
        if (event.type !== 'start') controller.abort()
      }
    }, isAbortOutcome)
    assert.deepEqual(engine().load(), { running: 0, waiting: 0 })
  })

  it('generate() frees its slot when its reader walks away', async () => {
    for await (const event of model().generate(long(), { seed: 1n, signal })) {
      if (event.type !== 'start') break
    }
    assert.deepEqual(engine().load(), { running: 0, waiting: 0 })
    await collect(model(), chat())
  })
}

function describeOtherCalls(model: () => EngineModel, chat: Chat, unless: Unless): void {
  it('countTokens() is what generate() reports', unless('count tokens'), async () => {
    const request = chat({ tools: [weatherTool] })
    const promptTokens = await model().countTokens(request, { signal })
    assert.equal(promptTokens, (await collect(model(), request)).usage.promptTokens)
  })

  it('embed() gives one vector per input', unless('embeddings'), async () => {
    const first = await model().embed(['a dog', 'a cat', 'a dog'], { signal })
    assert.equal(first.vectors.length, 3)
    assert.ok(first.promptTokens > 0)
    assert.deepEqual(first.vectors[0], first.vectors[2])
    assert.notDeepEqual(first.vectors[0], first.vectors[1])
  })

  it('embed() says so where there are none', async () => {
    if (model().capabilities.embeddings) return
    await assert.rejects(
      model().embed(['a'], { signal }),
      error => error instanceof OperationError && error.code === 'unsupported',
    )
  })
}

function describeTokens(model: () => EngineModel, chat: Chat): void {
  const withTokens = (work: (tokens: TokenModel) => Promise<void>) => async (): Promise<void> => {
    const { tokens } = model()
    if (tokens !== undefined) await work(tokens)
  }
  const greedy = { sampling: { temperature: 0 }, seed: 1n, signal }

  it(
    'tokens: a text survives tokenize() and detokenize()',
    withTokens(async tokens => {
      const text = 'Hello, world: 1 + 1 = 2.'
      const tokenIds = await tokens.tokenize(text, { special: false })
      assert.equal((await tokens.detokenize(tokenIds)).trimStart(), text)
      assert.ok(tokenIds.every(id => id >= 0 && id < tokens.vocabularySize))
    }),
  )

  it(
    'tokens: generateTokens() is the twin of generate()',
    withTokens(async tokens => {
      const request = chat({ sampling: { temperature: 0 }, maxTokens: 8 })
      const { tokenIds: prompt } = await tokens.prompt(request, { signal })
      const answer = await collect(model(), request)
      assert.equal(prompt.length, answer.usage.promptTokens)
      const generated: number[] = []
      for await (const { tokenId } of tokens.generateTokens(prompt, { ...greedy, maxTokens: 8 })) {
        generated.push(tokenId)
      }
      assert.equal((await tokens.detokenize(generated)).trim(), answer.text(0).trim())
      const finish = answer.events.find(event => event.type === 'finish')
      assert.deepEqual(finish?.tokenIds, generated, 'an engine with tokens tells them')
    }),
  )

  it(
    'tokens: score() agrees with what was generated greedily',
    withTokens(async tokens => {
      const { tokenIds: prompt } = await tokens.prompt(chat(), { signal })
      const generated: { tokenId: number; logprob?: number }[] = []
      const options = { ...greedy, maxTokens: 6, topLogprobs: 2 }
      for await (const token of tokens.generateTokens(prompt, options)) generated.push(token)
      const all = [...prompt, ...generated.map(token => token.tokenId)]
      const scores = await tokens.score(all, { from: prompt.length, topLogprobs: 2, signal })
      assert.equal(scores.length, generated.length)
      for (const [index, score] of scores.entries()) {
        assert.equal(score.tokenId, generated[index]?.tokenId)
        assert.equal(score.best.tokenId, score.tokenId, 'greedy takes the best')
        assert.ok(Math.abs(score.logprob - (generated[index]?.logprob ?? 1)) < 0.05)
        assert.ok(isDescending(score.top.map(alternative => alternative.logprob)))
      }
    }),
  )
}

function describeStop(create: () => Promise<EngineUnderTest>): void {
  it('stop() ends what runs, and may be called twice', async () => {
    const { engine, modelName, dispose } = await create()
    const model = present(engine.models().find(entry => entry.name === modelName))
    const request = {
      ...chatRequest(modelName),
      messages: [userMessage('Tell me a long story about a dog.')],
    }
    const events = model.generate(request, { seed: 1n, signal })[Symbol.asyncIterator]()
    await events.next()
    await engine.stop()
    const rest = (async () => {
      while (!(await events.next()).done);
    })()
    await Promise.allSettled([rest])
    assert.deepEqual(engine.load(), { running: 0, waiting: 0 })
    await engine.stop()
    await dispose?.()
  })
}

function chatRequest(modelName: string): CompletionRequest {
  return {
    ...emptyRequest,
    kind: 'chat',
    model: modelName,
    messages: [userMessage('Hello, who are you?')],
    unknown: { api: 'openai', fields: {} },
  }
}

function userMessage(text: string): CompletionRequest['messages'][number] {
  return { role: 'user', content: [{ type: 'text', text }] }
}

function isAbortOutcome(error: unknown): boolean {
  return isAbort(error) || (error instanceof OperationError && error.code === 'aborted')
}

function isDescending(values: readonly number[]): boolean {
  return values.every((value, index) => index === 0 || value <= (values[index - 1] ?? 0))
}

function present<Value>(value: Value | undefined): Value {
  assert.ok(value !== undefined)
  return value
}
