import assert from 'node:assert/strict'
import { describe, it, type TestContext } from 'node:test'
import { Ollama } from 'ollama'
import { startNode, type TestNodeOptions } from '../integration/test-node.ts'

async function clientOf(test: TestContext, options: TestNodeOptions = {}): Promise<Ollama> {
  return new Ollama({ host: (await startNode(test, options)).url })
}

const fake: TestNodeOptions = { fake: { contextTokens: 4_096 } }
const ask = (content: string, model = 'fake') => ({
  model,
  messages: [{ role: 'user', content }],
})
const tool = {
  type: 'function',
  function: {
    name: 'get_weather',
    description: 'The weather of a city',
    parameters: {
      type: 'object',
      properties: { city: { type: 'string', description: 'where', enum: ['Oslo'] } },
      required: ['city'],
    },
  },
}

describe("ollama's client and the demo model", () => {
  it('gets one answer from chat and generate, streamed and not', async test => {
    const ollama = await clientOf(test)
    const body = ask('What is Hyperspace?', 'tiny-chat')
    const whole = await ollama.chat(body)
    const text = whole.message.content
    assert.match(text, /cache/i)
    assert.equal(whole.done_reason, 'stop')
    let chatted = ''
    for await (const piece of await ollama.chat({ ...body, stream: true })) {
      chatted += piece.message.content
    }
    const prompt = { model: 'tiny-chat', prompt: 'What is Hyperspace?' }
    let generated = ''
    for await (const piece of await ollama.generate({ ...prompt, stream: true })) {
      generated += piece.response
    }
    const { response } = await ollama.generate(prompt)
    assert.deepEqual([chatted, generated, response], [text, text, text])
  })

  it('lists, shows and loads the model', async test => {
    const ollama = await clientOf(test)
    const { models } = await ollama.list()
    const [model] = models
    assert.ok(model)
    assert.match(model.name, /^hyperspace-tiny-chat/)
    assert.match(model.digest, /^[0-9a-f]{64}$/)
    assert.ok(model.size > 1_000_000)
    const shown = await ollama.show({ model: model.name })
    assert.ok(shown.capabilities.includes('completion'))
    assert.equal((await ollama.ps()).models.length, 1)
    assert.match((await ollama.version()).version, /^\d+\.\d+\.\d+/)
    const loaded = await ollama.generate({ model: model.name, prompt: '' })
    assert.equal(loaded.done_reason, 'load')
  })
})

describe("ollama's client and a scripted model", () => {
  it('is handed tool calls, streamed and not', async test => {
    const ollama = await clientOf(test, fake)
    const body = { ...ask('get_weather please'), tools: [tool] }
    const whole = await ollama.chat(body)
    assert.deepEqual(whole.message.tool_calls?.[0]?.function.arguments, { city: 'Oslo' })
    const calls = []
    for await (const piece of await ollama.chat({ ...body, stream: true })) {
      calls.push(...(piece.message.tool_calls ?? []))
    }
    assert.deepEqual(calls, whole.message.tool_calls)
  })

  it('gets JSON that fits its schema, and thinking', async test => {
    const ollama = await clientOf(test, fake)
    const format = { type: 'object', properties: { ok: { type: 'boolean' } }, required: ['ok'] }
    const json = await ollama.chat({ ...ask('is it?'), format })
    assert.deepEqual(JSON.parse(json.message.content), { ok: true })
    const thought = await ollama.chat({ ...ask('why?'), think: true })
    assert.match(thought.message.thinking ?? '', /let me think/)
  })

  it('throws what went wrong', async test => {
    const ollama = await clientOf(test, fake)
    await assert.rejects(ollama.chat(ask('x', 'huge')), {
      status_code: 404,
      error: /Available: fake/,
    })
    await assert.rejects(ollama.show({ model: 'huge' }), { status_code: 404 })
    const options = { temperature: -1 }
    await assert.rejects(ollama.chat({ ...ask('x'), options }), {
      status_code: 400,
      error: /temperature/,
    })
    await assert.rejects(ollama.chat(ask('/fail')), { status_code: 500 })
    const read = async (): Promise<void> => {
      for await (const _ of await ollama.chat({ ...ask('/fail-late'), stream: true }));
    }
    await assert.rejects(read(), /told to fail/)
  })
})
