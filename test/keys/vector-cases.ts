import type { JsonObject } from '../../src/std/json.ts'

export interface VectorCase {
  readonly name: string
  readonly path: string
  readonly sample: number
  /** Empty: none. */
  readonly apiKey: string
  readonly body: JsonObject
}

const question = 'Where is my parcel?'
const schema = { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] }

function vectorCase(
  name: string,
  path: string,
  body: JsonObject,
  more: { readonly sample?: number; readonly apiKey?: string } = {},
): VectorCase {
  return {
    name,
    path,
    sample: more.sample ?? 0,
    apiKey: more.apiKey ?? '',
    body: { model: 'm', ...body },
  }
}

/** Requests of every API and every kind of field. */
export const vectorCases: readonly VectorCase[] = [
  vectorCase('the same question through chat/completions', '/v1/chat/completions', {
    messages: [
      { role: 'system', content: 'Be kind.' },
      { role: 'user', content: question },
    ],
    stream: true,
    user: 'somebody',
  }),
  vectorCase('the same question through responses', '/v1/responses', {
    instructions: 'Be kind.',
    input: [{ type: 'message', role: 'user', content: [{ type: 'input_text', text: question }] }],
    prompt_cache_key: 'session',
  }),
  vectorCase('the same question through messages', '/v1/messages', {
    max_tokens: 512,
    system: [
      { type: 'text', text: 'x-anthropic-billing-header: cch=1' },
      { type: 'text', text: 'Be kind.', cache_control: { type: 'ephemeral' } },
    ],
    messages: [{ role: 'user', content: question }],
    metadata: { user_id: 'u' },
  }),
  vectorCase('the same question through Ollama', '/api/chat', {
    messages: [
      { role: 'system', content: 'Be kind.' },
      { role: 'user', content: question },
    ],
    options: { num_ctx: 8192 },
    keep_alive: '5m',
  }),
  vectorCase('one user message', '/v1/chat/completions', {
    messages: [{ role: 'user', content: question }],
  }),
  vectorCase(
    'its second draw',
    '/v1/chat/completions',
    { messages: [{ role: 'user', content: question }] },
    { sample: 1 },
  ),
  vectorCase(
    'of another tenant',
    '/v1/chat/completions',
    { messages: [{ role: 'user', content: question }] },
    { apiKey: 'sk-tenant' },
  ),
  vectorCase('greedy, seeded, stopped', '/v1/chat/completions', {
    messages: [{ role: 'user', content: question }],
    temperature: 0,
    seed: 42,
    stop: 'END',
    logprobs: true,
    top_logprobs: 3,
    n: 2,
  }),
  vectorCase('tools and their results', '/v1/chat/completions', {
    messages: [
      { role: 'user', content: 'Weather in Oslo?' },
      {
        role: 'assistant',
        content: null,
        tool_calls: [
          {
            id: 'call_9f',
            type: 'function',
            function: { name: 'weather', arguments: '{"unit": "C", "city":"Oslo"}' },
          },
        ],
      },
      { role: 'tool', tool_call_id: 'call_9f', content: '4 °C' },
    ],
    tools: [
      { type: 'function', function: { name: 'weather', description: 'Now', parameters: schema } },
    ],
    tool_choice: { type: 'function', function: { name: 'weather' } },
    parallel_tool_calls: false,
  }),
  vectorCase('JSON schema and unicode', '/v1/chat/completions', {
    messages: [{ role: 'user', content: 'Größe in € – 日本 🙂 \u2028' }],
    response_format: { type: 'json_schema', json_schema: { name: 'place', schema, strict: true } },
    temperature: 0.7,
    top_k: 40,
  }),
  vectorCase('unknown fields and numbers', '/v1/chat/completions', {
    messages: [{ role: 'user', content: question }],
    guided_regex: '[a-z]+',
    weights: [1e-7, 1.5, -0.25, 333333333.3333333, 0],
  }),
  vectorCase('text to continue', '/v1/completions', { prompt: 'Once upon a time', max_tokens: 16 }),
  vectorCase('an image', '/v1/chat/completions', {
    messages: [
      {
        role: 'user',
        content: [
          { type: 'text', text: 'What is this?' },
          { type: 'image_url', image_url: { url: 'data:image/png;base64,AAAA' } },
        ],
      },
    ],
  }),
]
