import assert from 'node:assert/strict'
import { describe, it, type TestContext } from 'node:test'
import { createOpenAICompatible } from '@ai-sdk/openai-compatible'
import {
  APICallError,
  generateObject,
  generateText,
  isStepCount,
  Output,
  streamText,
  tool,
} from 'ai'
import { z } from 'zod'
import { startNode, type TestNodeOptions } from '../integration/test-node.ts'

async function providerOf(test: TestContext, options: TestNodeOptions = {}) {
  const { url } = await startNode(test, options)
  return createOpenAICompatible({
    name: 'hyperspace',
    baseURL: `${url}/v1`,
    supportsStructuredOutputs: true,
    includeUsage: true,
  })
}

// It would print its deprecations into the report.
globalThis.AI_SDK_LOG_WARNINGS = false

const fake: TestNodeOptions = { fake: { contextTokens: 4_096 } }
const once = { maxRetries: 0 }

function weatherTool(seen: unknown[]) {
  return tool({
    description: 'The weather of a city',
    inputSchema: z.object({ city: z.enum(['Oslo']) }),
    execute: input => {
      seen.push(input)
      return 'It rains.'
    },
  })
}

describe('the ai package and the demo model', () => {
  it('gets one answer, streamed and not', async test => {
    const model = (await providerOf(test))('tiny-chat')
    const prompt = 'What is Hyperspace?'
    const whole = await generateText({ model, prompt, ...once })
    assert.match(whole.text, /cache/i)
    assert.equal(whole.finishReason, 'stop')
    const streamed = streamText({ model, prompt, ...once })
    let text = ''
    for await (const piece of streamed.textStream) text += piece
    assert.equal(text, whole.text)
    const usage = await streamed.usage
    assert.equal(usage.inputTokens, whole.usage.inputTokens)
    assert.equal(usage.inputTokenDetails.cacheReadTokens, whole.usage.inputTokens)
    const { headers } = (await streamed.response) ?? {}
    assert.equal(headers?.['x-hyperspace-source'], 'memory')
  })

  it('gets an object that fits its schema', async test => {
    const model = (await providerOf(test))('tiny-chat')
    const kind = z.enum(['question', 'order'])
    const schema = z.object({ kind, count: z.int().min(0) })
    const { object } = await generateObject({ model, schema, prompt: 'Who are you?', ...once })
    assert.deepEqual(schema.parse(object), object)
  })
})

describe('the ai package and a scripted model', () => {
  it('runs tools in a loop, streamed and not', async test => {
    const model = (await providerOf(test, fake))('fake')
    const seen: unknown[] = []
    const options = {
      model,
      prompt: 'get_weather please',
      tools: { get_weather: weatherTool(seen) },
      stopWhen: isStepCount(3),
      ...once,
    }
    const whole = await generateText(options)
    assert.equal(whole.steps.length, 2)
    assert.ok(whole.text.length > 0)
    const streamed = streamText(options)
    assert.equal(await streamed.text, whole.text)
    assert.deepEqual(seen, [{ city: 'Oslo' }, { city: 'Oslo' }])
  })

  it('reads reasoning and structured output from streams', async test => {
    const model = (await providerOf(test, fake))('fake')
    const thought = streamText({ model, prompt: 'why /think', ...once })
    assert.match((await thought.reasoningText) ?? '', /let me think/)
    const schema = z.object({ ok: z.boolean() })
    const shaped = streamText({ model, prompt: 'ok?', output: Output.object({ schema }), ...once })
    assert.deepEqual(await shaped.output, { ok: true })
  })

  it('throws APICallError with our message', async test => {
    const provider = await providerOf(test, fake)
    const rejected = generateText({ model: provider('huge'), prompt: 'x', ...once })
    await assert.rejects(rejected, error => {
      assert.ok(APICallError.isInstance(error))
      assert.equal(error.statusCode, 404)
      assert.match(error.message, /No model 'huge' here\. Available: fake/)
      assert.equal(error.isRetryable, false)
      return true
    })
    const wrong = generateText({ model: provider('fake'), prompt: 'x', topP: 7, ...once })
    await assert.rejects(wrong, /'top_p' must be a number from 0 to 1/)
  })

  it('is told when a stream breaks off', async test => {
    const model = (await providerOf(test, fake))('fake')
    const errors: unknown[] = []
    const onError = ({ error }: { readonly error: unknown }): void => {
      errors.push(error)
    }
    const streamed = streamText({ model, prompt: '/fail-late', onError, ...once })
    await streamed.consumeStream()
    assert.equal(errors.length, 1)
    assert.match(JSON.stringify(errors), /told to fail/)
  })
})
