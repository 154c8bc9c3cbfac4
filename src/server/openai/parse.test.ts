import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { emptyRequest } from '../../key/completion-request.ts'
import type { JsonObject } from '../../std/json.ts'
import { chatCompletions } from './chat-completions.ts'
import { completions } from './completions.ts'
import { responses } from './responses.ts'

const user = { role: 'user', content: 'hi' }
const hello: JsonObject = { model: 'm', messages: [user] }
const ask: JsonObject = { model: 'm', input: 'hi' }
const once: JsonObject = { model: 'm', prompt: 'Once' }
const text = (said: string) => [{ type: 'text', text: said }]
const neutral = {
  ...emptyRequest,
  kind: 'chat',
  model: 'm',
  messages: [{ role: 'user', content: text('hi') }],
  unknown: { api: 'openai', fields: {} },
}

const weather = {
  name: 'weather',
  description: 'Tells it',
  parameters: { type: 'object', properties: { city: { type: 'string' } } },
}
const chatTool = { type: 'function', function: weather }
const flatTool = { type: 'function', ...weather, strict: false }

describe('chat/completions parse()', () => {
  it('takes a plain question', () => {
    assert.deepEqual(chatCompletions.parse(hello), {
      request: neutral,
      stream: false,
      variant: '',
      warnings: [],
    })
  })

  it('takes nulls as absent and leaves volatile fields out', () => {
    const nulls = ['temperature', 'top_p', 'n', 'stop', 'seed', 'tools', 'tool_choice', 'logprobs']
      .concat(['response_format', 'max_tokens', 'stream', 'stream_options', 'functions', 'extra'])
      .map(name => [name, null])
    const volatile = {
      user: 'u',
      safety_identifier: 's',
      metadata: { a: '1' },
      store: true,
      service_tier: 'auto',
      prompt_cache_key: 'k',
      prompt_cache_options: { mode: 'implicit' },
      prompt_cache_retention: '24h',
      cache_control: { type: 'ephemeral' },
      client_metadata: { session: 'x' },
      diagnostics: {},
      stream_options: { include_obfuscation: false },
    }
    const marked = {
      ...user,
      id: 'msg_1',
      content: [{ ...text('hi')[0], cache_control: { type: 'ephemeral' } }],
      prompt_cache_breakpoint: { mode: 'explicit' },
    }
    const body = { ...hello, ...Object.fromEntries(nulls), ...volatile, messages: [marked] }
    const parsed = chatCompletions.parse(body)
    const { cache: _, ...request } = parsed.request
    assert.deepEqual(request, neutral)
    assert.deepEqual(parsed.warnings, [])
  })

  it('takes every setting', () => {
    const { request } = chatCompletions.parse({
      ...hello,
      temperature: 0.5,
      top_p: 0.9,
      top_k: 40,
      min_p: 0.05,
      frequency_penalty: -1,
      presence_penalty: 1,
      repetition_penalty: 1.1,
      logit_bias: { '5': -100 },
      seed: 7,
      stop: 'END',
      max_tokens: 5,
      max_completion_tokens: 6,
      logprobs: true,
      n: 2,
      tools: [chatTool],
      tool_choice: { type: 'function', function: { name: 'weather' } },
      parallel_tool_calls: false,
      response_format: {
        type: 'json_schema',
        json_schema: { name: 'n', description: 'd', schema: { type: 'object' }, strict: true },
      },
      reasoning_effort: 'low',
      chat_template_kwargs: { enable_thinking: false },
      verbosity: 'low',
      modalities: ['text'],
      guided_regex: 'a+',
    })
    assert.deepEqual(request, {
      ...neutral,
      sampling: {
        temperature: 0.5,
        topP: 0.9,
        topK: 40,
        minP: 0.05,
        frequencyPenalty: -1,
        presencePenalty: 1,
        repetitionPenalty: 1.1,
        logitBias: { '5': -100 },
      },
      seed: 7,
      stop: ['END'],
      maxTokens: 6,
      topLogprobs: 0,
      choiceCount: 2,
      tools: [{ type: 'function', ...weather }],
      toolChoice: { type: 'function', name: 'weather' },
      parallelToolCalls: false,
      responseFormat: {
        type: 'json_schema',
        name: 'n',
        schema: { type: 'object', description: 'd' },
        strict: true,
      },
      reasoning: { effort: 'low' },
      templateArgs: { enable_thinking: false },
      unknown: { api: 'openai', fields: { verbosity: 'low', guided_regex: 'a+' } },
    })
  })

  it('maps legacy functions to tools', () => {
    const legacy = chatCompletions.parse({
      ...hello,
      messages: [
        user,
        { role: 'assistant', content: null, function_call: { name: 'weather', arguments: '{}' } },
        { role: 'function', name: 'weather', content: 'rain' },
      ],
      functions: [weather],
      function_call: { name: 'weather' },
    })
    assert.deepEqual(legacy.request, {
      ...neutral,
      messages: [
        ...neutral.messages,
        {
          role: 'assistant',
          content: [],
          toolCalls: [{ id: 'call_1', name: 'weather', arguments: '{}' }],
        },
        { role: 'tool', content: text('rain'), name: 'weather', toolCallId: 'call_1' },
      ],
      tools: [{ type: 'function', ...weather }],
      toolChoice: { type: 'function', name: 'weather' },
    })
    assert.equal(legacy.variant, 'functions')
  })

  it('shows the model only the allowed tools', () => {
    const other = { type: 'function', function: { name: 'other' } }
    const { request } = chatCompletions.parse({
      ...hello,
      tools: [other, chatTool],
      tool_choice: {
        type: 'allowed_tools',
        allowed_tools: {
          mode: 'required',
          tools: [{ type: 'function', function: { name: 'weather' } }],
        },
      },
    })
    assert.deepEqual(request.tools, [{ type: 'function', ...weather }])
    assert.deepEqual(request.toolChoice, { type: 'required' })
  })

  it('tells what it keeps unread and what it ignores, by name only', () => {
    const { request, warnings } = chatCompletions.parse({
      ...hello,
      messages: [{ ...user, thinking_blocks: ['secret'], 'a secret name': 1 }],
      tools: [{ type: 'custom', custom: { name: 'x' }, cache_control: {} }],
      web_search_options: {},
    })
    assert.deepEqual(request.tools, [
      { type: 'other', value: { type: 'custom', custom: { name: 'x' } } },
    ])
    assert.deepEqual(warnings, [
      'Tools of these types cannot run here, and local models do not see them: custom, web_search',
      'Ignored fields: messages[].thinking_blocks, (other)',
    ])
  })

  it('asks for usage in the stream only when it is a stream', () => {
    const options = { stream_options: { include_usage: true } }
    assert.equal(chatCompletions.parse({ ...hello, ...options, stream: true }).variant, 'usage')
    assert.equal(chatCompletions.parse({ ...hello, ...options }).variant, '')
  })

  it('takes -1 as no limit of tokens, as LM Studio does', () => {
    assert.deepEqual(chatCompletions.parse({ ...hello, max_tokens: -1 }).request, neutral)
  })
})

describe('completions parse()', () => {
  it('takes text, token ids and lists of one of them', () => {
    const prompts: readonly [unknown, unknown][] = [
      ['Once', 'Once'],
      [['Once'], 'Once'],
      [
        [1, 2],
        [1, 2],
      ],
      [[[1, 2]], [1, 2]],
      ['', ''],
    ]
    for (const [sent, prompt] of prompts) {
      const body = JSON.parse(JSON.stringify({ model: 'm', prompt: sent }))
      assert.deepEqual(completions.parse(body).request, {
        ...neutral,
        kind: 'text',
        messages: [],
        prompt,
      })
    }
  })

  it('takes its own settings', () => {
    const { request, variant } = completions.parse({
      ...once,
      suffix: 'end',
      n: 2,
      best_of: 2,
      logprobs: 3,
      max_tokens: 9,
      stop: ['\n', ''],
    })
    assert.deepEqual(request, {
      ...neutral,
      kind: 'text',
      messages: [],
      prompt: 'Once',
      suffix: 'end',
      choiceCount: 2,
      topLogprobs: 3,
      maxTokens: 9,
      stop: ['\n'],
    })
    assert.equal(variant, '')
    assert.equal(completions.parse({ ...once, echo: true }).variant, 'echo')
  })
})

describe('responses parse()', () => {
  it('gives the neutral request that chat/completions gives for the same question', () => {
    const chat = chatCompletions.parse({
      model: 'm',
      messages: [
        { role: 'system', content: 'Be brief' },
        { role: 'developer', content: 'Use tools' },
        {
          role: 'user',
          content: [
            { type: 'text', text: 'What is this?' },
            { type: 'image_url', image_url: { url: 'data:image/png;base64,AA==', detail: 'auto' } },
          ],
        },
        {
          role: 'assistant',
          content: 'Let me see',
          reasoning_content: 'A picture',
          tool_calls: [
            { id: 'a', type: 'function', function: { name: 'weather', arguments: '{"city":"X"}' } },
            { id: 'b', type: 'function', function: { name: 'weather', arguments: '{}' } },
          ],
        },
        { role: 'tool', tool_call_id: 'a', content: 'rain' },
        { role: 'tool', tool_call_id: 'b', content: [{ type: 'text', text: 'sun' }] },
        { role: 'assistant', content: null, refusal: 'I will not say' },
        { role: 'user', content: 'Why?' },
      ],
      temperature: 0.2,
      top_p: 0.5,
      max_completion_tokens: 100,
      logprobs: true,
      top_logprobs: 2,
      tools: [chatTool],
      tool_choice: 'required',
      parallel_tool_calls: false,
      response_format: { type: 'json_schema', json_schema: { name: 'n', schema: { a: 1 } } },
      reasoning_effort: 'high',
    })
    const response = responses.parse({
      model: 'm',
      instructions: 'Be brief',
      input: [
        { type: 'message', id: 'msg_1', role: 'developer', content: 'Use tools' },
        {
          role: 'user',
          content: [
            { type: 'input_text', text: 'What is this?' },
            { type: 'input_image', image_url: 'data:image/png;base64,AA==', detail: 'auto' },
          ],
        },
        {
          type: 'reasoning',
          id: 'rs_1',
          summary: [],
          content: [{ type: 'reasoning_text', text: 'A picture' }],
          encrypted_content: 'gAAA',
        },
        {
          type: 'message',
          id: 'msg_2',
          role: 'assistant',
          status: 'completed',
          content: [{ type: 'output_text', text: 'Let me see', annotations: [], logprobs: [] }],
        },
        {
          type: 'function_call',
          id: 'fc_1',
          call_id: 'a',
          name: 'weather',
          arguments: '{"city":"X"}',
        },
        { type: 'reasoning', id: 'rs_2', summary: [], encrypted_content: 'gAAB' },
        { type: 'custom_tool_call', call_id: 'b', name: 'weather', input: '{}' },
        { type: 'function_call_output', call_id: 'a', output: 'rain' },
        {
          type: 'custom_tool_call_output',
          call_id: 'b',
          output: [{ type: 'input_text', text: 'sun' }],
        },
        { role: 'assistant', content: [{ type: 'refusal', refusal: 'I will not say' }] },
        { role: 'user', content: 'Why?' },
      ],
      temperature: 0.2,
      top_p: 0.5,
      max_output_tokens: 100,
      include: ['message.output_text.logprobs', 'reasoning.encrypted_content'],
      top_logprobs: 2,
      tools: [flatTool],
      tool_choice: 'required',
      parallel_tool_calls: false,
      text: { format: { type: 'json_schema', name: 'n', schema: { a: 1 }, strict: null } },
      reasoning: { effort: 'high', summary: null },
      store: false,
      truncation: 'disabled',
    })
    assert.deepEqual(response.request, chat.request)
    assert.deepEqual(response.warnings, [])
    assert.deepEqual(chat.warnings, [])
    // Guards the test itself: all of it must have been read.
    assert.equal(chat.request.messages.length, 8)
  })

  it('begins another turn where the order of a turn begins again', () => {
    const { request } = responses.parse({
      ...ask,
      input: [
        { role: 'user', content: 'hi' },
        { type: 'function_call', call_id: 'a', name: 'f', arguments: '' },
        { role: 'assistant', content: 'one' },
        { role: 'assistant', content: 'two' },
        { type: 'reasoning', summary: [{ type: 'summary_text', text: 'why' }] },
      ],
    })
    assert.deepEqual(request.messages.slice(1), [
      { role: 'assistant', content: [], toolCalls: [{ id: 'a', name: 'f', arguments: '' }] },
      { role: 'assistant', content: text('one') },
      { role: 'assistant', content: text('two') },
      { role: 'assistant', content: [], reasoning: 'why' },
    ])
  })

  it('keeps what it does not know in the key, under its own name', () => {
    const { request } = responses.parse({
      ...ask,
      max_tool_calls: 3,
      text: { verbosity: 'low' },
      reasoning: { effort: 'low', summary: 'auto', mode: 'pro' },
      brand_new: 1,
    })
    assert.deepEqual(request.unknown, {
      api: 'responses',
      fields: { max_tool_calls: 3, brand_new: 1, text: { verbosity: 'low' } },
    })
    assert.deepEqual(request.reasoning, { effort: 'low', other: { mode: 'pro', summary: 'auto' } })
  })

  it('repeats the settings in its reply', () => {
    const body = { ...ask, instructions: 'Be brief', metadata: { a: 'b' }, max_output_tokens: 3 }
    const parsed = responses.parse({ ...body, tools: [flatTool] })
    const completion = {
      modelId: 'name:m' as never,
      created: 1,
      choices: [{ parts: [{ type: 'text' as const, text: 'Hel' }], finish: 'length' as const }],
      usage: { promptTokens: 4, cachedTokens: 0, completionTokens: 3, reasoningTokens: 0 },
    }
    const context = { id: 'ab', created: 5, parsed, isHit: false }
    const reply = JSON.parse(responses.encodeReply(completion, context))
    assert.equal(reply.id, 'resp_ab')
    assert.equal(reply.status, 'incomplete')
    assert.deepEqual(reply.incomplete_details, { reason: 'max_output_tokens' })
    assert.equal(reply.output[0].status, 'incomplete')
    assert.equal(reply.instructions, 'Be brief')
    assert.deepEqual(reply.metadata, { a: 'b' })
    assert.equal(reply.max_output_tokens, 3)
    assert.deepEqual(reply.tools, [flatTool])
  })
})
