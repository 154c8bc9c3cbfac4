import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { OperationError } from '../../errors.ts'
import { isJsonObject, type JsonObject } from '../../std/json.ts'
import type { WireFormat } from '../wire-format.ts'
import { chatCompletions } from './chat-completions.ts'
import { completions } from './completions.ts'
import { parseEmbeddings } from './embeddings.ts'
import { responses } from './responses.ts'

const user = { role: 'user', content: 'hi' }
const hello: JsonObject = { model: 'm', messages: [user] }
const ask: JsonObject = { model: 'm', input: 'hi' }
const once: JsonObject = { model: 'm', prompt: 'Once' }
const weather = { name: 'weather', parameters: { type: 'object' } }
const chatTool = { type: 'function', function: weather }
const flatTool = { type: 'function', ...weather }

type Refusal = readonly [format: WireFormat, body: JsonObject, field: string, message: RegExp]

const refusals: readonly Refusal[] = [
  [chatCompletions, {}, 'model', /^'model' is missing: it must be a string/],
  [chatCompletions, { ...hello, model: '' }, 'model', /a string of at least 1 characters/],
  [chatCompletions, { ...hello, messages: [] }, 'messages', /an array of at least 1 items/],
  [chatCompletions, { ...hello, messages: 'hi' }, 'messages', /must be an array, but a string/],
  [chatCompletions, { ...hello, messages: ['hi'] }, 'messages[0]', /must be an object/],
  [
    chatCompletions,
    { ...hello, messages: [{ content: 'x' }] },
    'messages[0].role',
    /one of 'system'/,
  ],
  [
    chatCompletions,
    { ...hello, messages: [user, { role: 'me', content: 'x' }] },
    'messages[1].role',
    /another string/,
  ],
  [
    chatCompletions,
    { ...hello, messages: [{ role: 'user' }] },
    'messages[0].content',
    /is missing: it must be a string or an array/,
  ],
  [
    chatCompletions,
    { ...hello, messages: [{ role: 'user', content: 3 }] },
    'messages[0].content',
    /a string or an array, but a number/,
  ],
  [
    chatCompletions,
    { ...hello, messages: [{ role: 'user', content: [{}] }] },
    'messages[0].content[0].type',
    /missing/,
  ],
  [
    chatCompletions,
    { ...hello, messages: [{ role: 'user', content: [{ type: 'text' }] }] },
    'messages[0].content[0].text',
    /missing/,
  ],
  [
    chatCompletions,
    { ...hello, messages: [{ role: 'user', content: [{ type: 'image_url', image_url: {} }] }] },
    'messages[0].content[0].image_url.url',
    /missing/,
  ],
  [
    chatCompletions,
    { ...hello, messages: [{ role: 'tool', content: 'x' }] },
    'messages[0].tool_call_id',
    /missing/,
  ],
  [
    chatCompletions,
    { ...hello, messages: [{ role: 'assistant', tool_calls: [{ id: 'a' }] }] },
    'messages[0].tool_calls[0].function',
    /missing/,
  ],
  [
    chatCompletions,
    { ...hello, temperature: 2.5 },
    'temperature',
    /a number from 0 to 2, but another number/,
  ],
  [chatCompletions, { ...hello, top_p: '1' }, 'top_p', /a number from 0 to 1, but a string/],
  [chatCompletions, { ...hello, n: 17 }, 'n', /an integer from 1 to 16/],
  [chatCompletions, { ...hello, max_tokens: 0 }, 'max_tokens', /an integer of 1 or more/],
  [chatCompletions, { ...hello, seed: 2 ** 60 }, 'seed', /an integer between -2\^53 and 2\^53/],
  [chatCompletions, { ...hello, stop: [1] }, 'stop[0]', /a string, but a number/],
  [chatCompletions, { ...hello, stop: Array(17).fill('x') }, 'stop', /at most 16 items/],
  [chatCompletions, { ...hello, logprobs: true, top_logprobs: 21 }, 'top_logprobs', /from 0 to 20/],
  [chatCompletions, { ...hello, top_logprobs: 2 }, 'top_logprobs', /needs 'logprobs'/],
  [
    chatCompletions,
    { ...hello, logit_bias: { '5': 101 } },
    'logit_bias',
    /token ids with numbers from -100 to 100/,
  ],
  [chatCompletions, { ...hello, stream: 'yes' }, 'stream', /true or false, but a string/],
  [chatCompletions, { ...hello, user: 7 }, 'user', /a string, but a number/],
  [
    chatCompletions,
    { ...hello, verbosity: 'loud' },
    'verbosity',
    /one of 'low', 'medium', 'high', but another string/,
  ],
  [chatCompletions, { ...hello, tools: [{ type: 'function' }] }, 'tools[0].function', /missing/],
  [
    chatCompletions,
    { ...hello, tools: [{ type: 'function', function: {} }] },
    'tools[0].function.name',
    /missing/,
  ],
  [chatCompletions, { ...hello, tool_choice: 'required' }, 'tool_choice', /without 'tools'/],
  [
    chatCompletions,
    { ...hello, tool_choice: 'any' },
    'tool_choice',
    /one of 'auto', 'none', 'required' or an object, but another string/,
  ],
  [
    chatCompletions,
    { ...hello, tools: [chatTool], tool_choice: { type: 'function', function: { name: 'x' } } },
    'tool_choice.function.name',
    /the name of a function in 'tools'/,
  ],
  [chatCompletions, { ...hello, functions: [weather], tools: [chatTool] }, 'functions', /left out/],
  [
    chatCompletions,
    { ...hello, response_format: { type: 'xml' } },
    'response_format.type',
    /one of 'text', 'json_object', 'json_schema'/,
  ],
  [
    chatCompletions,
    { ...hello, response_format: { type: 'json_schema' } },
    'response_format.json_schema',
    /missing/,
  ],
  [
    completions,
    { model: 'm' },
    'prompt',
    /is missing: it must be a string or an array of token ids/,
  ],
  [completions, { ...once, prompt: [1, -1] }, 'prompt', /a string or an array of token ids/],
  [completions, { ...once, prompt: ['a', 'b'] }, 'prompt', /2 prompts.*one request per prompt/],
  [completions, { ...once, prompt: [] }, 'prompt', /0 prompts/],
  [completions, { ...once, best_of: 2 }, 'best_of', /must equal 'n'/],
  [completions, { ...once, echo: true, logprobs: 1 }, 'echo', /Leave one of them out/],
  [completions, { ...once, prompt: [1], echo: true }, 'echo', /text, not token ids/],
  [completions, { ...once, logprobs: true }, 'logprobs', /an integer from 0 to 20, but a boolean/],
  [responses, { model: 'm' }, 'input', /is missing: it must be a string or an array/],
  [responses, { ...ask, input: [] }, 'input', /at least 1 items/],
  [
    responses,
    { ...ask, input: [{ role: 'user', content: [{ type: 'input_text' }] }] },
    'input[0].content[0].text',
    /missing/,
  ],
  [
    responses,
    { ...ask, input: [{ type: 'function_call', call_id: 'a', name: 'f' }] },
    'input[0].arguments',
    /missing/,
  ],
  [
    responses,
    { ...ask, input: [{ type: 'item_reference', id: 'msg_1' }] },
    'input[0]',
    /Send the whole item/,
  ],
  [responses, { ...ask, input: [{ id: 'msg_1' }] }, 'input[0]', /Send the whole item/],
  [responses, { ...ask, input: [{ type: 'computer_call' }] }, 'input[0].type', /Leave it out/],
  [
    responses,
    { ...ask, input: [{ role: 'user', content: [{ type: 'input_image', file_id: 'f' }] }] },
    'input[0].content[0]',
    /'image_url'/,
  ],
  [
    responses,
    { ...ask, previous_response_id: 'resp_1' },
    'previous_response_id',
    /whole conversation/,
  ],
  [responses, { ...ask, conversation: 'conv_1' }, 'conversation', /whole conversation/],
  [responses, { ...ask, prompt: { id: 'p' } }, 'prompt', /template/],
  [responses, { ...ask, background: true }, 'background', /stream/],
  [
    responses,
    { ...ask, tools: [flatTool], tool_choice: { type: 'mcp' } },
    'tool_choice',
    /cannot run here/,
  ],
  [responses, { ...ask, text: { format: { type: 'xml' } } }, 'text.format.type', /one of/],
  [responses, { ...ask, text: { verbosity: 3 } }, 'text.verbosity', /one of/],
  [responses, { ...ask, reasoning: { effort: 3 } }, 'reasoning.effort', /a string/],
]

describe('parse() refuses', () => {
  for (const [format, body, field, message] of refusals) {
    it(`${format.api}: ${field} ${message.source}`, () => {
      assert.throws(
        () => format.parse(body),
        error => {
          assert.ok(error instanceof OperationError, String(error))
          assert.ok(error.code === 'request_invalid' || error.code === 'unsupported', error.code)
          assert.equal(error.origin, 'client')
          assert.equal(error.field, field)
          assert.match(error.message, message)
          return true
        },
      )
    })
  }
})

describe('parse() of anything', () => {
  const parsers: readonly ((body: JsonObject) => unknown)[] = [
    chatCompletions.parse,
    completions.parse,
    responses.parse,
    parseEmbeddings,
  ]
  /** Words that the parsers look at, so that random bodies get past the first check. */
  const words = ['user', 'assistant', 'tool', 'text', 'function', 'message', 'reasoning', 'auto']
    .concat(['image_url', 'input_text', 'input_image', 'function_call', 'json_schema', 'custom'])
    .concat(['function_call_output', 'allowed_tools', 'refusal', 'object'])
  const names = ['model', 'messages', 'input', 'prompt', 'role', 'type', 'content', 'text', 'tools']
    .concat(['function', 'name', 'parameters', 'tool_choice', 'tool_calls', 'id', 'arguments'])
    .concat(['response_format', 'json_schema', 'schema', 'stop', 'n', 'logprobs', 'functions'])
    .concat(['image_url', 'url', 'call_id', 'output', 'summary', 'format', '__proto__', 'toString'])
  const { value } = fc.letrec(tie => ({
    value: fc.oneof(
      { maxDepth: 6 },
      fc.constantFrom<unknown>(...words),
      fc.oneof(fc.integer(), fc.double(), fc.boolean(), fc.constant(null)),
      fc.array(tie('value'), { maxLength: 3 }),
      fc.dictionary(fc.constantFrom(...names), tie('value'), { maxKeys: 6 }),
    ),
  }))
  const field = fc.record({ name: fc.constantFrom(...names), value })

  it('is a request or a refusal of the client, and repeats no text', () => {
    let taken = 0
    fc.assert(
      fc.property(fc.nat(3), fc.array(field, { maxLength: 5 }), (which, fields) => {
        const base = [hello, once, ask, { model: 'm', input: 'x' }][which]
        const changed = Object.fromEntries(fields.map(one => [one.name, one.value]))
        const body: unknown = JSON.parse(JSON.stringify({ ...base, ...changed, secret: 'S3CR3T' }))
        assert.ok(isJsonObject(body))
        try {
          parsers[which]?.(body)
          taken += 1
        } catch (error) {
          assert.ok(error instanceof OperationError, String(error))
          assert.equal(error.origin, 'client')
          assert.ok(!error.message.includes('S3CR3T'))
        }
      }),
      { numRuns: 2_000 },
    )
    assert.ok(taken > 50, `only ${taken} bodies were taken: the test looks at nothing`)
  })
})
