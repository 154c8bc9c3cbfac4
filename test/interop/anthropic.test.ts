import assert from 'node:assert/strict'
import { describe, it, type TestContext } from 'node:test'
import Anthropic from '@anthropic-ai/sdk'
import { startNode, type TestNodeOptions } from '../integration/test-node.ts'

async function clientOf(test: TestContext, options: TestNodeOptions = {}): Promise<Anthropic> {
  const { url } = await startNode(test, options)
  return new Anthropic({ baseURL: url, apiKey: 'any', maxRetries: 0 })
}

const fake: TestNodeOptions = { fake: { contextTokens: 4_096 } }
const ask = (content: string) => ({
  model: 'fake',
  max_tokens: 1_000,
  messages: [{ role: 'user' as const, content }],
})
const tools: Anthropic.Tool[] = [
  {
    name: 'get_weather',
    description: 'The weather of a city',
    input_schema: {
      type: 'object',
      properties: { city: { type: 'string', enum: ['Oslo'] } },
      required: ['city'],
    },
  },
]

function textOf(message: Anthropic.Message): string {
  return message.content.map(block => (block.type === 'text' ? block.text : '')).join('')
}

describe('the anthropic client and the demo model', () => {
  it('gets one answer, streamed and not', async test => {
    const anthropic = await clientOf(test)
    const body = { ...ask('What is Hyperspace?'), model: 'tiny-chat' }
    const whole = await anthropic.messages.create(body)
    assert.match(textOf(whole), /cache/i)
    assert.equal(whole.stop_reason, 'end_turn')
    assert.equal(whole.usage.cache_read_input_tokens, 0)

    const again = await anthropic.messages.create({ ...body, max_tokens: 900 }).withResponse()
    assert.equal(again.response.headers.get('x-hyperspace-source'), 'memory')
    assert.equal(again.data.usage.cache_read_input_tokens, whole.usage.input_tokens)
    assert.equal(again.data.usage.input_tokens, 0)

    const pieces: string[] = []
    const stream = anthropic.messages.stream(body).on('text', piece => pieces.push(piece))
    const final = await stream.finalMessage()
    assert.equal(stream.response?.headers.get('x-hyperspace-source'), 'memory')
    assert.deepEqual(final.content, whole.content)
    assert.equal(pieces.join(''), textOf(whole))
    assert.equal(final.usage.output_tokens, whole.usage.output_tokens)
  })

  it('counts the tokens that a message then costs', async test => {
    const anthropic = await clientOf(test)
    const { max_tokens: _, ...body } = { ...ask('Who are you?'), model: 'tiny-chat' }
    const { input_tokens } = await anthropic.messages.countTokens(body)
    const message = await anthropic.messages.create({ ...body, max_tokens: 8 })
    assert.equal(message.usage.input_tokens, input_tokens)
    assert.ok(message.usage.output_tokens <= 8)
  })

  it('lists the models', async test => {
    const anthropic = await clientOf(test)
    const names: string[] = []
    for await (const model of anthropic.models.list()) names.push(model.id)
    assert.deepEqual(names, ['hyperspace-tiny-chat'])
    const model = await anthropic.models.retrieve('tiny-chat')
    assert.equal(model.type, 'model')
  })

  it('is told both numbers when the prompt is too long', async test => {
    const anthropic = await clientOf(test)
    const content = 'A long story about caches. '.repeat(2_000)
    const asked = anthropic.messages.create({ ...ask(content), model: 'tiny-chat' })
    await assert.rejects(asked, error => {
      assert.ok(error instanceof Anthropic.BadRequestError)
      assert.equal(error.type, 'invalid_request_error')
      assert.match(error.message, /4096 tokens.* \d{5,}/)
      return true
    })
  })
})

describe('the anthropic client and a scripted model', () => {
  it('is handed tool calls and answers them', async test => {
    const anthropic = await clientOf(test, fake)
    const body = { ...ask('get_weather please'), tools }
    const whole = await anthropic.messages.create(body)
    assert.equal(whole.stop_reason, 'tool_use')
    const call = whole.content.find(block => block.type === 'tool_use')
    assert.ok(call)
    assert.deepEqual(call.input, { city: 'Oslo' })

    const inputs: unknown[] = []
    const stream = anthropic.messages.stream(body)
    stream.on('contentBlock', block => {
      if (block.type === 'tool_use') inputs.push(block.input)
    })
    assert.deepEqual((await stream.finalMessage()).content, whole.content)
    assert.deepEqual(inputs, [{ city: 'Oslo' }])

    const result = { type: 'tool_result' as const, tool_use_id: call.id, content: 'It rains.' }
    const next = await anthropic.messages.create({
      ...body,
      messages: [
        ...body.messages,
        { role: 'assistant', content: whole.content },
        { role: 'user', content: [result] },
      ],
    })
    assert.equal(next.stop_reason, 'end_turn')
    assert.ok(textOf(next).length > 0)
  })

  it('reads thinking, streamed and not', async test => {
    const anthropic = await clientOf(test, fake)
    const body = { ...ask('why /think'), max_tokens: 2_000 }
    const thinking = { type: 'enabled' as const, budget_tokens: 1_024 }
    const whole = await anthropic.messages.create({ ...body, thinking })
    assert.deepEqual(
      whole.content.map(block => block.type),
      ['thinking', 'text'],
    )
    const streamed = await anthropic.messages.stream({ ...body, thinking }).finalMessage()
    assert.deepEqual(streamed.content, whole.content)
  })

  it('gets JSON that fits its schema', async test => {
    const anthropic = await clientOf(test, fake)
    const schema = { type: 'object', properties: { ok: { type: 'boolean' } }, required: ['ok'] }
    const message = await anthropic.messages.create({
      ...ask('is it?'),
      output_config: { format: { type: 'json_schema', schema } },
    })
    assert.deepEqual(JSON.parse(textOf(message)), { ok: true })
  })

  it('throws the right class for every refusal', async test => {
    const anthropic = await clientOf(test, fake)
    await assert.rejects(anthropic.messages.create({ ...ask('x'), model: 'claude-9' }), error => {
      assert.ok(error instanceof Anthropic.NotFoundError)
      assert.equal(error.type, 'not_found_error')
      assert.match(error.message, /Available: fake/)
      assert.match(error.requestID ?? '', /^req_/)
      return true
    })
    await assert.rejects(anthropic.messages.create({ ...ask('x'), max_tokens: -1 }), error => {
      assert.ok(error instanceof Anthropic.BadRequestError)
      assert.match(error.message, /max_tokens/)
      return true
    })
    await assert.rejects(
      anthropic.messages.create(ask('/fail')),
      error => error instanceof Anthropic.InternalServerError && error.type === 'api_error',
    )
    await assert.rejects(
      anthropic.messages.stream(ask('/fail-late')).finalMessage(),
      error => error instanceof Anthropic.APIError && error.type === 'api_error',
    )
  })

  it('throws AuthenticationError without the key of the node', async test => {
    const options = { ...fake, flags: { apiKey: ['right'] } }
    const { url } = await startNode(test, options)
    const ok = new Anthropic({ baseURL: url, apiKey: 'right', maxRetries: 0 })
    assert.ok(textOf(await ok.messages.create(ask('x'))).length > 0)
    const wrong = new Anthropic({ baseURL: url, apiKey: 'wrong', maxRetries: 0 })
    await assert.rejects(wrong.messages.create(ask('x')), Anthropic.AuthenticationError)
  })
})
