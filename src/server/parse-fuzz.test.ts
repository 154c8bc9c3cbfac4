import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { OperationError } from '../errors.ts'
import { isJsonObject, type Json, type JsonObject } from '../std/json.ts'
import { messages } from './anthropic/messages.ts'
import { ollamaChat } from './ollama/chat.ts'
import { ollamaGenerate } from './ollama/generate.ts'
import type { WireFormat } from './wire-format.ts'

const call = { id: 'c', function: { name: 'a', arguments: { x: 1 } } }
const image = { type: 'base64', media_type: 'image/png', data: 'iVBOR' }
const bodies: readonly (readonly [WireFormat, JsonObject])[] = [
  [
    messages,
    {
      model: 'm',
      max_tokens: 9,
      stream: true,
      system: [{ type: 'text', text: 'x' }],
      messages: [
        { role: 'user', content: [{ type: 'image', source: image }] },
        { role: 'assistant', content: [{ type: 'tool_use', id: 'c', name: 'a', input: { x: 1 } }] },
        { role: 'user', content: [{ type: 'tool_result', tool_use_id: 'c', content: 'y' }] },
        { role: 'assistant', content: [{ type: 'thinking', thinking: 'z', signature: '' }] },
        { role: 'system', content: 'w' },
      ],
      tools: [{ name: 'a', input_schema: {} }, { type: 'web_search_1' }],
      tool_choice: { type: 'tool', name: 'a' },
      thinking: { type: 'enabled', budget_tokens: 5 },
      output_config: { effort: 'low', format: { type: 'json_schema', schema: {} } },
      stop_sequences: ['s'],
      top_k: 1,
    },
  ],
  [
    ollamaChat,
    {
      model: 'm',
      messages: [
        { role: 'user', content: 'x', images: ['iVBOR'] },
        { role: 'assistant', content: '', thinking: 't', tool_calls: [call] },
        { role: 'tool', content: 'y', tool_name: 'a' },
      ],
      tools: [{ type: 'function', function: { name: 'a', parameters: {} } }],
      format: { type: 'object' },
      options: { temperature: 1, stop: ['s'], num_predict: 3, seed: 4 },
      think: true,
    },
  ],
  [ollamaGenerate, { model: 'm', prompt: 'x', system: 'y', images: ['iVBOR'], raw: false }],
]

/** Replaces one value somewhere in a JSON value: `turns` decide where. */
function mutate(value: Json, turns: readonly number[], replacement: Json): Json {
  const [turn, ...rest] = turns
  if (turn === undefined) return replacement
  const change = (items: readonly (readonly [string, Json])[]) =>
    items.map(([name, item], index) => {
      const isChosen = index === turn % items.length
      return [name, isChosen ? mutate(item, rest, replacement) : item] as const
    })
  if (Array.isArray(value)) {
    return change(value.map((item, index) => [String(index), item])).map(([, item]) => item)
  }
  if (isJsonObject(value)) return Object.fromEntries(change(Object.entries(value)))
  return replacement
}

const replacement: fc.Arbitrary<Json> = fc.oneof(
  fc.constantFrom<Json>(null, -1, 1e308, '', 'x', [], {}, [null], { type: 'text' }, true),
  fc.jsonValue().map((value): Json => JSON.parse(JSON.stringify(value))),
)

describe('parse() of a body with something wrong in it', () => {
  for (const [format, body] of bodies) {
    it(`takes it or names the field, in ${format.api}`, () => {
      assert.doesNotThrow(() => format.parse(body), 'the body is right before it is changed')
      const turns = fc.array(fc.nat({ max: 60 }), { minLength: 1, maxLength: 6 })
      const property = fc.property(turns, replacement, (where, what) => {
        const wrong = mutate(body, where, what)
        if (!isJsonObject(wrong)) return
        try {
          format.parse(wrong)
        } catch (error) {
          assert.ok(error instanceof OperationError, String(error))
          assert.equal(error.origin, 'client')
          assert.ok(error.field !== undefined && error.field !== '', error.message)
        }
      })
      fc.assert(property, { numRuns: 2_000 })
    })
  }
})
