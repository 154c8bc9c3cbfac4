import assert from 'node:assert/strict'
import { describe, it, type TestContext } from 'node:test'
import OpenAI from 'openai'
import { zodResponseFormat } from 'openai/helpers/zod'
import { z } from 'zod'
import { startNode } from '../integration/test-node.ts'

const weather = {
  type: 'function' as const,
  function: {
    name: 'get_weather',
    description: 'The weather of a city',
    parameters: {
      type: 'object' as const,
      properties: { city: { type: 'string' as const, enum: ['Oslo'] } },
      required: ['city'],
    },
  },
}

function clientOf(url: string): OpenAI {
  return new OpenAI({ baseURL: `${url}/v1`, apiKey: 'any', maxRetries: 0 })
}

async function demo(test: TestContext): Promise<OpenAI> {
  return clientOf((await startNode(test)).url)
}

async function fake(test: TestContext): Promise<OpenAI> {
  return clientOf((await startNode(test, { fake: { contextTokens: 4_096 } })).url)
}

const ask = (content: string) => ({ model: 'fake', messages: [{ role: 'user' as const, content }] })

describe('the openai client and the demo model', () => {
  it('gets one answer through every way to ask for it', async test => {
    const openai = await demo(test)
    const messages = [{ role: 'user' as const, content: 'What is Hyperspace?' }]
    const body = { model: 'tiny-chat', messages }
    const whole = await openai.chat.completions.create(body)
    const text = whole.choices[0]?.message.content ?? ''
    assert.match(text, /cache/i)
    assert.equal(whole.choices[0]?.finish_reason, 'stop')

    const stream = await openai.chat.completions.create({ ...body, stream: true }).withResponse()
    assert.equal(stream.response.headers.get('x-hyperspace-source'), 'memory')
    let streamed = ''
    for await (const chunk of stream.data) streamed += chunk.choices[0]?.delta.content ?? ''
    assert.equal(streamed, text)

    const final = await openai.chat.completions.stream(body).finalChatCompletion()
    assert.equal(final.choices[0]?.message.content, text)

    const input = 'What is Hyperspace?'
    const replied = await openai.responses.create({ model: 'tiny-chat', input }).withResponse()
    assert.equal(replied.response.headers.get('x-hyperspace-source'), 'memory')
    assert.equal(replied.data.output_text, text)
    const response = await openai.responses.stream({ model: 'tiny-chat', input }).finalResponse()
    assert.equal(response.output_text, text)
    assert.equal(response.usage?.input_tokens_details.cached_tokens, whole.usage?.prompt_tokens)
  })

  it('completes a text, streaming and not', async test => {
    const openai = await demo(test)
    const body = { model: 'tiny-chat', prompt: 'A KV cache', max_tokens: 12, temperature: 0 }
    const whole = await openai.completions.create(body)
    const stream = await openai.completions.create({ ...body, stream: true }).withResponse()
    assert.equal(stream.response.headers.get('x-hyperspace-source'), 'memory')
    let text = ''
    for await (const chunk of stream.data) text += chunk.choices[0]?.text ?? ''
    assert.ok(text.length > 0)
    assert.equal(text, whole.choices[0]?.text)
    assert.ok((whole.usage?.completion_tokens ?? 99) <= 12)
  })

  it('gets JSON that fits its schema', async test => {
    const openai = await demo(test)
    const kind = z.enum(['question', 'order'])
    const schema = z.object({
      kind,
      count: z.int().min(0),
      words: z.array(z.string().max(8)).max(2),
    })
    const parsed = await openai.chat.completions.parse({
      model: 'tiny-chat',
      messages: [{ role: 'user', content: 'What is a KV cache?' }],
      response_format: zodResponseFormat(schema, 'classification'),
      max_completion_tokens: 400,
    })
    const value = parsed.choices[0]?.message.parsed
    assert.deepEqual(schema.parse(value), value)
  })

  it('lists and names the models', async test => {
    const openai = await demo(test)
    const names: string[] = []
    for await (const model of openai.models.list()) names.push(model.id)
    assert.deepEqual(names, ['hyperspace-tiny-chat'])
    for (const name of ['hyperspace-tiny-chat', 'tiny-chat']) {
      assert.equal((await openai.models.retrieve(name)).object, 'model')
    }
    await assert.rejects(openai.models.retrieve('none'), OpenAI.NotFoundError)
  })

  it('is told both numbers when the prompt is too long', async test => {
    const openai = await demo(test)
    const content = 'A long story about caches. '.repeat(2_000)
    const asked = openai.chat.completions.create({
      model: 'tiny-chat',
      messages: [{ role: 'user', content }],
    })
    await assert.rejects(asked, error => {
      assert.ok(error instanceof OpenAI.BadRequestError)
      assert.equal(error.code, 'context_length_exceeded')
      const numbers = error.message.match(/\d+/g)?.map(Number) ?? []
      assert.ok(numbers.includes(4_096), error.message)
      assert.ok(numbers.some(count => count > 10_000))
      return true
    })
  })
})

describe('the openai client and a scripted model', () => {
  it('is handed tool calls, whole and in pieces, and runs them', async test => {
    const openai = await fake(test)
    const body = { ...ask('get_weather please'), tools: [weather] }
    const whole = await openai.chat.completions.create(body)
    const call = whole.choices[0]?.message.tool_calls?.[0]
    assert.ok(call?.type === 'function')
    assert.deepEqual(JSON.parse(call.function.arguments), { city: 'Oslo' })
    assert.equal(whole.choices[0]?.finish_reason, 'tool_calls')

    const final = await openai.chat.completions.stream(body).finalChatCompletion()
    const streamed = final.choices[0]?.message.tool_calls?.[0]
    assert.ok(streamed?.type === 'function')
    assert.equal(streamed.id, call.id)
    assert.equal(streamed.function.arguments, call.function.arguments)

    const cities: string[] = []
    const run = (argument: string): string => {
      cities.push(argument)
      return 'It rains.'
    }
    const tool = { type: 'function' as const, function: { ...weather.function, function: run } }
    const runner = openai.chat.completions.runTools({ ...ask('get_weather please'), tools: [tool] })
    assert.ok(((await runner.finalContent()) ?? '').length > 0)
    assert.deepEqual(cities, ['{"city":"Oslo"}'])
  })

  it('is handed function calls by responses, and answers them', async test => {
    const openai = await fake(test)
    const { name, parameters } = weather.function
    const tools = [{ type: 'function' as const, name, parameters, strict: true }]
    const body = { model: 'fake', tools, input: 'get_weather please' }
    const whole = await openai.responses.create(body)
    const call = whole.output.find(item => item.type === 'function_call')
    assert.ok(call)
    const streamed = await openai.responses.stream(body).finalResponse()
    const streamedCall = streamed.output.find(item => item.type === 'function_call')
    assert.equal(streamedCall?.arguments, call.arguments)
    const { call_id } = call
    const next = await openai.responses.create({
      model: 'fake',
      tools,
      input: [
        { role: 'user', content: 'get_weather please' },
        call,
        { type: 'function_call_output', call_id, output: 'It rains.' },
      ],
    })
    assert.ok(next.output_text.length > 0)
  })

  it('reads reasoning, log-probabilities and several choices, live as replayed', async test => {
    const openai = await fake(test)
    const body = { ...ask('why /think'), n: 2, logprobs: true, top_logprobs: 2, max_tokens: 40 }
    const live = await openai.chat.completions.stream(body).finalChatCompletion()
    const replayed = await openai.chat.completions.create(body).withResponse()
    assert.equal(replayed.response.headers.get('x-hyperspace-source'), 'memory')
    const { choices } = replayed.data
    assert.equal(choices.length, 2)
    for (const [index, choice] of choices.entries()) {
      assert.equal(choice.message.content, live.choices[index]?.message.content)
      assert.deepEqual(choice.logprobs?.content, live.choices[index]?.logprobs?.content)
      assert.ok((choice.logprobs?.content?.[0]?.top_logprobs.length ?? 0) <= 2)
      assert.match(JSON.stringify(choice.message), /"reasoning_content":"The client asked/)
    }
    assert.ok((choices[0]?.logprobs?.content?.length ?? 0) > 0)
    assert.ok((replayed.data.usage?.completion_tokens_details?.reasoning_tokens ?? 0) > 0)
  })

  it('reads embeddings, which it asks for in base64', async test => {
    const openai = await fake(test)
    const reply = await openai.embeddings.create({ model: 'fake', input: ['a', 'b'] })
    const floats = await openai.embeddings.create({
      model: 'fake',
      input: ['a', 'b'],
      encoding_format: 'float',
    })
    assert.equal(reply.data.length, 2)
    assert.equal(reply.data[0]?.embedding.length, 8)
    for (const [index, { embedding }] of reply.data.entries()) {
      assert.deepEqual([...embedding], floats.data[index]?.embedding)
    }
    assert.equal(reply.usage.prompt_tokens, 2)
  })

  it('throws the right class for every refusal', async test => {
    const openai = await fake(test)
    const unknownModel = openai.chat.completions.create({ ...ask('x'), model: 'gpt-9' })
    await assert.rejects(unknownModel, error => {
      assert.ok(error instanceof OpenAI.NotFoundError)
      assert.equal(error.code, 'model_not_found')
      assert.match(error.message, /Available: fake/)
      assert.match(error.requestID ?? '', /^req_/)
      return true
    })
    await assert.rejects(openai.responses.create({ model: 'fake', temperature: 9 }), error => {
      assert.ok(error instanceof OpenAI.BadRequestError)
      assert.equal(error.type, 'invalid_request_error')
      return true
    })
    await assert.rejects(openai.chat.completions.create({ ...ask('x'), top_p: 7 }), error => {
      assert.ok(error instanceof OpenAI.BadRequestError)
      assert.equal(error.param, 'top_p')
      return true
    })
    const failing = openai.chat.completions.create(ask('/fail'))
    await assert.rejects(failing, OpenAI.InternalServerError)
  })

  it('throws when a stream breaks off, and asks anew the next time', async test => {
    const openai = await fake(test)
    for (let round = 0; round < 2; round++) {
      const body = { ...ask('/fail-late'), stream: true } as const
      const { data, response } = await openai.chat.completions.create(body).withResponse()
      assert.equal(response.headers.get('x-hyperspace-source'), 'engine')
      let text = ''
      const read = async (): Promise<void> => {
        for await (const chunk of data) text += chunk.choices[0]?.delta.content ?? ''
      }
      await assert.rejects(read(), { code: 'engine_failed' })
      assert.ok('I was abou'.startsWith(text))
    }
  })
})
