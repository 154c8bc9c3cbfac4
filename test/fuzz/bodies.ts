import type { Json, JsonObject } from '../../src/std/json.ts'

/** Stands in every body where a prompt would: no error may repeat it, and no log. */
export const secret = 'my-private-words'

const parameters = { type: 'object', properties: { city: { type: 'string' } } }
const schema = { type: 'object', properties: { ok: { type: 'boolean' } }, required: ['ok'] }
const calls = [{ id: 'c', type: 'function', function: { name: 'weather', arguments: '{}' } }]

const chat: JsonObject = {
  model: 'fake',
  messages: [
    { role: 'system', content: secret },
    { role: 'user', content: [{ type: 'text', text: secret }], name: 'ann' },
    { role: 'assistant', content: null, tool_calls: calls },
    { role: 'tool', tool_call_id: 'c', content: secret },
    { role: 'user', content: secret },
  ],
  tools: [{ type: 'function', function: { name: 'weather', parameters, strict: true } }],
  tool_choice: 'auto',
  response_format: { type: 'json_schema', json_schema: { name: 'x', schema } },
  stream: true,
  stream_options: { include_usage: true },
  temperature: 0.5,
  top_p: 0.9,
  seed: 7,
  n: 2,
  stop: ['\n\n'],
  max_completion_tokens: 50,
  logprobs: true,
  top_logprobs: 2,
  reasoning_effort: 'low',
  logit_bias: { '5': 1 },
  metadata: { a: 'b' },
}

const responses: JsonObject = {
  model: 'fake',
  instructions: secret,
  input: [
    { role: 'user', content: [{ type: 'input_text', text: secret }] },
    { type: 'reasoning', id: 'r', summary: [{ type: 'summary_text', text: secret }] },
    { type: 'function_call', call_id: 'c', name: 'weather', arguments: '{}' },
    { type: 'function_call_output', call_id: 'c', output: secret },
    { role: 'user', content: secret },
  ],
  tools: [{ type: 'function', name: 'weather', parameters, strict: false }, { type: 'web_search' }],
  tool_choice: { type: 'function', name: 'weather' },
  text: { format: { type: 'json_schema', name: 'x', schema } },
  reasoning: { effort: 'low', summary: 'auto' },
  include: ['message.output_text.logprobs'],
  max_output_tokens: 50,
  stream: true,
  store: false,
  parallel_tool_calls: true,
}

const messages: JsonObject = {
  model: 'fake',
  max_tokens: 50,
  system: [{ type: 'text', text: secret, cache_control: { type: 'ephemeral' } }],
  messages: [
    { role: 'user', content: secret },
    { role: 'assistant', content: [{ type: 'tool_use', id: 'c', name: 'weather', input: {} }] },
    { role: 'user', content: [{ type: 'tool_result', tool_use_id: 'c', content: secret }] },
  ],
  tools: [{ name: 'weather', input_schema: parameters }],
  tool_choice: { type: 'tool', name: 'weather' },
  thinking: { type: 'enabled', budget_tokens: 1_024 },
  stop_sequences: ['\n\n'],
  temperature: 0.5,
  stream: true,
  metadata: { user_id: 'u' },
}

const options = { temperature: 0.5, num_predict: 9, stop: ['\n\n'], seed: 4, num_ctx: 2_048 }

/** A full and valid body for every endpoint that takes one. */
export const validBodies: { readonly [path: string]: JsonObject } = {
  '/v1/chat/completions': chat,
  '/v1/completions': {
    model: 'fake',
    prompt: [secret],
    suffix: '',
    echo: false,
    max_tokens: 9,
    logprobs: 2,
    n: 2,
    stream: true,
    stop: 'x',
  },
  '/v1/responses': responses,
  '/v1/messages': messages,
  '/v1/messages/count_tokens': { ...messages, max_tokens: null, stream: null },
  '/v1/embeddings': {
    model: 'fake',
    input: [secret, secret],
    encoding_format: 'base64',
    dimensions: 4,
  },
  '/api/chat': {
    model: 'fake',
    messages: [
      { role: 'user', content: secret, images: [] },
      { role: 'assistant', content: '', thinking: secret, tool_calls: [] },
      { role: 'tool', content: secret, tool_name: 'weather' },
    ],
    tools: [{ type: 'function', function: { name: 'weather', parameters } }],
    format: schema,
    options,
    keep_alive: '5m',
    think: true,
    stream: true,
  },
  '/api/generate': { model: 'fake', prompt: secret, system: secret, raw: false, options },
  '/api/show': { model: 'fake', verbose: true },
  '/admin/cache/export': { keys: ['0'.repeat(64)] },
  '/admin/cache/import': {
    records: [
      {
        lookupKey: '0'.repeat(64),
        bytesBase64: 'AQ==',
        meta: { costSeconds: 1, createdAt: 1, expiresAt: 9e12, fieldDigests: { messages: 'x' } },
      },
    ],
  },
}

/** What is done to one place of a body. */
export type Damage =
  | { readonly type: 'delete' }
  | { readonly type: 'replace'; readonly value: Json }
  /** Puts so many arrays around it. */
  | { readonly type: 'nest'; readonly levels: number }
  /** Repeats it so often. */
  | { readonly type: 'repeat'; readonly count: number }

/** The body with damage at one place: `turns` say where, level by level. */
export function damaged(value: Json, turns: readonly number[], damage: Damage): Json | undefined {
  const [turn, ...rest] = turns
  const isLeaf = typeof value !== 'object' || value === null || Object.keys(value).length === 0
  if (turn === undefined || isLeaf) return apply(value, damage)
  if (Array.isArray(value)) {
    const items: readonly (Json | undefined)[] = value.map((item, index) =>
      index === turn % value.length ? damaged(item, rest, damage) : item,
    )
    return items.filter(item => item !== undefined)
  }
  const chosen = turn % Object.keys(value).length
  const entries = Object.entries(value).map(
    ([name, item], index) => [name, index === chosen ? damaged(item, rest, damage) : item] as const,
  )
  const kept: { [name: string]: Json } = {}
  for (const [name, item] of entries) if (item !== undefined) kept[name] = item
  return kept
}

function apply(value: Json, damage: Damage): Json | undefined {
  switch (damage.type) {
    case 'delete':
      return undefined
    case 'replace':
      return damage.value
    case 'repeat':
      return Array.from({ length: damage.count }, () => value)
    case 'nest': {
      let nested = value
      for (let level = 0; level < damage.levels; level++) nested = [nested]
      return nested
    }
  }
}
