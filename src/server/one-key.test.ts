import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { canonicalRequest } from '../key/canonical-request.ts'
import { modelIdFromName } from '../key/model-id.ts'
import type { Json, JsonObject } from '../std/json.ts'
import { messages } from './anthropic/messages.ts'
import { ollamaChat } from './ollama/chat.ts'
import { chatCompletions } from './openai/chat-completions.ts'
import { responses } from './openai/responses.ts'
import type { WireFormat } from './wire-format.ts'

/** A conversation as people think of it, to be written down in four ways. */
interface Conversation {
  readonly system: string | undefined
  readonly exchanges: readonly Exchange[]
  readonly tools: readonly { readonly name: string; readonly parameters: JsonObject }[]
  readonly temperature: number | undefined
  readonly effort: string | undefined
}
interface Exchange {
  readonly question: string
  /** PNG in base64. */
  readonly image: string | undefined
  readonly steps: readonly Step[]
  readonly answer: string
}
interface Step {
  readonly thought: string | undefined
  readonly text: string
  readonly calls: readonly {
    readonly name: string
    readonly input: JsonObject
    readonly result: string
  }[]
}

const someText = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 10 })
const maybe = <Value>(arbitrary: fc.Arbitrary<Value>) => fc.option(arbitrary, { nil: undefined })
const input: fc.Arbitrary<JsonObject> = fc.dictionary(
  fc.constantFrom('city', 'path', 'count'),
  fc.oneof(someText, fc.boolean(), fc.integer(), fc.constant(null)),
)
const toolName = fc.constantFrom('weather', 'read_file')
const conversation: fc.Arbitrary<Conversation> = fc.record({
  system: maybe(someText),
  exchanges: fc.array(
    fc.record({
      question: someText,
      image: maybe(fc.constant('iVBORw0KGgoAAAANSUhEUg==')),
      steps: fc.array(
        fc.record({
          thought: maybe(someText),
          text: fc.oneof(fc.constant(''), someText),
          calls: fc.array(fc.record({ name: toolName, input, result: someText }), {
            minLength: 1,
            maxLength: 3,
          }),
        }),
        { maxLength: 2 },
      ),
      answer: someText,
    }),
    { minLength: 1, maxLength: 3 },
  ),
  tools: fc.array(fc.record({ name: toolName, parameters: fc.constant({ type: 'object' }) }), {
    maxLength: 2,
  }),
  temperature: maybe(fc.constantFrom(0, 0.5)),
  effort: maybe(fc.constantFrom('low', 'high')),
})

/** Fields with a value, for bodies in which absence matters. */
function given(fields: { readonly [name: string]: Json | undefined }): JsonObject {
  return JSON.parse(JSON.stringify(fields))
}

/** Ids count up under a prefix: every API's client draws its own. */
function idsOf(prefix: string): { call(): string; result(): string } {
  let calls = 0
  let results = 0
  return { call: () => `${prefix}${calls++}`, result: () => `${prefix}${results++}` }
}

const dataUrl = (image: string): string => `data:image/png;base64,${image}`

function asChat({ system, exchanges, tools, temperature, effort }: Conversation): JsonObject {
  const ids = idsOf('call_')
  const list: JsonObject[] = system === undefined ? [] : [{ role: 'system', content: system }]
  for (const { question, image, steps, answer } of exchanges) {
    const picture = { type: 'image_url', image_url: { url: dataUrl(image ?? '') } }
    const content = [{ type: 'text', text: question }, picture]
    list.push({ role: 'user', content: image === undefined ? question : content })
    for (const { thought, text, calls } of steps) {
      const tool_calls = calls.map(call => ({
        id: ids.call(),
        type: 'function',
        function: { name: call.name, arguments: JSON.stringify(call.input) },
      }))
      const thinking = given({ reasoning_content: thought })
      list.push({ role: 'assistant', content: text === '' ? null : text, ...thinking, tool_calls })
      for (const { result } of calls) {
        list.push({ role: 'tool', tool_call_id: ids.result(), content: result })
      }
    }
    list.push({ role: 'assistant', content: answer })
  }
  const nested = tools.map(tool => ({ type: 'function', function: tool }))
  const settings = given({ temperature, reasoning_effort: effort })
  return { model: 'm', messages: list, tools: nested, ...settings, stream: false, user: 'u' }
}

function asResponses({ system, exchanges, tools, temperature, effort }: Conversation): JsonObject {
  const ids = idsOf('fc_')
  const items: JsonObject[] = []
  for (const { question, image, steps, answer } of exchanges) {
    const picture = { type: 'input_image', image_url: dataUrl(image ?? '') }
    const content = [{ type: 'input_text', text: question }, picture]
    items.push({ role: 'user', content: image === undefined ? question : content })
    for (const { thought, text, calls } of steps) {
      if (thought !== undefined) {
        const thoughts = [{ type: 'reasoning_text', text: thought }]
        items.push({ type: 'reasoning', id: 'r', summary: [], content: thoughts })
      }
      if (text !== '') {
        const output = [{ type: 'output_text', text, annotations: [] }]
        items.push({ type: 'message', id: 'x', role: 'assistant', content: output })
      }
      for (const call of calls) {
        const json = JSON.stringify(call.input)
        const call_id = ids.call()
        items.push({ type: 'function_call', call_id, name: call.name, arguments: json })
      }
      for (const { result } of calls) {
        items.push({ type: 'function_call_output', call_id: ids.result(), output: result })
      }
    }
    items.push({ role: 'assistant', content: answer })
  }
  return {
    model: 'm',
    input: items,
    tools: tools.map(tool => ({ type: 'function', ...tool, strict: false })),
    ...given({ instructions: system, temperature }),
    ...(effort === undefined ? {} : { reasoning: { effort } }),
    store: false,
    prompt_cache_key: 'k',
  }
}

function asMessages({ system, exchanges, tools, temperature, effort }: Conversation): JsonObject {
  const ids = idsOf('toolu_')
  const cache_control = { type: 'ephemeral' }
  const list: JsonObject[] = []
  // Two of the four that there may be are at the system prompt and the last tool.
  let breakpoints = 2
  const mark = (): JsonObject => (breakpoints++ < 4 ? { cache_control } : {})
  for (const { question, image, steps, answer } of exchanges) {
    const source = { type: 'base64', media_type: 'image/png', data: image ?? '' }
    const content = [
      { type: 'text', text: question },
      { type: 'image', source, ...mark() },
    ]
    list.push({ role: 'user', content: image === undefined ? question : content })
    for (const { thought, text, calls } of steps) {
      const blocks: JsonObject[] = []
      if (thought !== undefined) blocks.push({ type: 'thinking', thinking: thought, signature: '' })
      if (text !== '') blocks.push({ type: 'text', text })
      for (const call of calls) {
        blocks.push({ type: 'tool_use', id: ids.call(), name: call.name, input: call.input })
      }
      list.push({ role: 'assistant', content: blocks })
      const results = calls.map(({ result }) => ({
        type: 'tool_result',
        tool_use_id: ids.result(),
        content: [{ type: 'text', text: result }],
      }))
      list.push({ role: 'user', content: results })
    }
    list.push({ role: 'assistant', content: [{ type: 'text', text: answer }] })
  }
  const billing = { type: 'text', text: 'x-anthropic-billing-header: cch=1;' }
  const prompt = system === undefined ? [] : [{ type: 'text', text: system, cache_control }]
  return {
    model: 'm',
    max_tokens: 77,
    system: [billing, ...prompt],
    messages: list,
    tools: tools.map(({ name, parameters }, index) => ({
      name,
      input_schema: parameters,
      ...(index === tools.length - 1 ? { cache_control } : {}),
    })),
    ...given({ temperature }),
    ...(effort === undefined ? {} : { output_config: { effort } }),
    metadata: { user_id: 'u' },
  }
}

function asOllama({ system, exchanges, tools, temperature, effort }: Conversation): JsonObject {
  const list: JsonObject[] = system === undefined ? [] : [{ role: 'system', content: system }]
  for (const { question, image, steps, answer } of exchanges) {
    const images = image === undefined ? {} : { images: [image] }
    list.push({ role: 'user', content: question, ...images })
    for (const { thought, text, calls } of steps) {
      const tool_calls = calls.map(call => ({
        function: { name: call.name, arguments: call.input },
      }))
      const thinking = given({ thinking: thought })
      list.push({ role: 'assistant', content: text, ...thinking, tool_calls })
      for (const { name, result } of calls) {
        list.push({ role: 'tool', tool_name: name, content: result })
      }
    }
    list.push({ role: 'assistant', content: answer })
  }
  const nested = tools.map(tool => ({ type: 'function', function: tool }))
  const options = { ...given({ temperature }), num_ctx: 8_192, num_predict: 50 }
  const settings = given({ think: effort })
  return { model: 'm:latest', messages: list, tools: nested, options, ...settings, keep_alive: -1 }
}

function canonicalText(format: WireFormat, body: JsonObject): string {
  const { request } = format.parse(body)
  const options = { modelId: modelIdFromName('m'), developerRole: false, sample: 0 }
  return new TextDecoder().decode(canonicalRequest(request, options).bytes)
}

describe('the same question', () => {
  it('has one canonical form in chat/completions, responses, messages and /api/chat', () => {
    const property = fc.property(conversation, asked => {
      const expected = canonicalText(chatCompletions, asChat(asked))
      assert.equal(canonicalText(responses, asResponses(asked)), expected, 'responses')
      assert.equal(canonicalText(messages, asMessages(asked)), expected, 'messages')
      assert.equal(canonicalText(ollamaChat, asOllama(asked)), expected, 'ollama')
    })
    fc.assert(property, { numRuns: 200 })
  })

  it('has another form when anything that the model reads differs', () => {
    const body = { model: 'm', max_tokens: 5, messages: [{ role: 'user', content: 'Hi' }] }
    const changes: readonly JsonObject[] = [
      { messages: [{ role: 'user', content: 'Hi!' }] },
      { system: 'Be brief' },
      { temperature: 0 },
      { tools: [{ name: 'a', input_schema: {} }] },
      { stop_sequences: ['x'] },
      { thinking: { type: 'disabled' } },
      { never_heard_of: 1 },
    ]
    const forms = [{}, ...changes].map(change => canonicalText(messages, { ...body, ...change }))
    assert.equal(new Set(forms).size, forms.length)
  })

  it('meets with stop strings and a forced tool, where the API has them', () => {
    const question = [{ role: 'user', content: 'Hi' }]
    const parameters = { type: 'object' }
    const tools = [{ type: 'function', function: { name: 'a', description: 'A', parameters } }]
    const chat = canonicalText(chatCompletions, {
      model: 'm',
      messages: question,
      stop: 'END',
      tools,
      tool_choice: { type: 'function', function: { name: 'a' } },
      parallel_tool_calls: false,
    })
    const anthropic = canonicalText(messages, {
      model: 'm',
      max_tokens: 5,
      messages: question,
      stop_sequences: ['END'],
      tools: [{ name: 'a', description: 'A', input_schema: parameters, strict: false }],
      tool_choice: { type: 'tool', name: 'a', disable_parallel_tool_use: true },
    })
    assert.equal(anthropic, chat)
    assert.equal(
      canonicalText(ollamaChat, { model: 'm', messages: question, options: { stop: 'END' } }),
      canonicalText(chatCompletions, { model: 'm', messages: question, stop: ['END'] }),
    )
  })
})
