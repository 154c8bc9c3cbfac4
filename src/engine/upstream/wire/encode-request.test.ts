import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { OperationError } from '../../../errors.ts'
import { type CompletionRequest, emptyRequest } from '../../../key/completion-request.ts'
import { dialectOf, type UpstreamKind } from './dialect.ts'
import { encodeRequest, type SlotChoice } from './encode-request.ts'

function encode(
  fields: Partial<CompletionRequest>,
  kind: UpstreamKind = 'openai',
  origin = 'http://127.0.0.1:1',
): { [name: string]: unknown } {
  const request: CompletionRequest = {
    ...emptyRequest,
    kind: 'chat',
    model: 'alias',
    unknown: { api: 'openai', fields: {} },
    ...fields,
  }
  const dialect = dialectOf(kind, origin)
  return encodeRequest(request, { model: 'm', dialect, withStreamOptions: true }).body
}

const schema = { type: 'object' }

describe('encodeRequest()', () => {
  it('leaves slots to the client, unless this node has chosen one', () => {
    const fields = { id_slot: 3, cache_prompt: false, n_cache_reuse: 64 }
    const unknown = { api: 'openai', fields } as const
    const request: CompletionRequest = { ...emptyRequest, kind: 'chat', model: 'alias', unknown }
    const options = { model: 'm', dialect: dialectOf('llama-server', 'http://127.0.0.1:1') }
    const slotsOf = (slot?: SlotChoice): unknown[] => {
      const { body } = encodeRequest(request, { ...options, withStreamOptions: true, slot })
      return ['id_slot', 'cache_prompt', 'n_cache_reuse'].map(name => body[name])
    }
    assert.deepEqual(slotsOf(), [3, false, 64])
    assert.deepEqual(slotsOf(1), [1, true, undefined])
    assert.deepEqual(slotsOf('any'), [undefined, false, undefined])
  })

  it('writes every neutral field under its OpenAI name', () => {
    const body = encode({
      tools: [{ type: 'function', name: 'f', description: 'does', parameters: schema }],
      toolChoice: { type: 'function', name: 'f' },
      parallelToolCalls: false,
      responseFormat: { type: 'json_schema', schema, strict: true },
      sampling: {
        temperature: 0.5,
        topP: 0.9,
        topK: 40,
        minP: 0.1,
        frequencyPenalty: 1,
        presencePenalty: 2,
        repetitionPenalty: 1.1,
        logitBias: { '7': -100 },
      },
      seed: 3,
      stop: ['x'],
      maxTokens: 9,
      topLogprobs: 0,
      choiceCount: 2,
      reasoning: { effort: 'low' },
      templateArgs: { a: 1 },
    })
    assert.deepEqual(body, {
      model: 'm',
      stream: true,
      stream_options: { include_usage: true },
      messages: [],
      tools: [
        { type: 'function', function: { name: 'f', description: 'does', parameters: schema } },
      ],
      tool_choice: { type: 'function', function: { name: 'f' } },
      parallel_tool_calls: false,
      response_format: {
        type: 'json_schema',
        json_schema: { name: 'response', schema, strict: true },
      },
      temperature: 0.5,
      top_p: 0.9,
      top_k: 40,
      min_p: 0.1,
      frequency_penalty: 1,
      presence_penalty: 2,
      repetition_penalty: 1.1,
      logit_bias: { '7': -100 },
      seed: 3,
      stop: ['x'],
      max_tokens: 9,
      logprobs: true,
      top_logprobs: 0,
      n: 2,
      reasoning_effort: 'low',
      chat_template_kwargs: { a: 1 },
    })
  })

  it('writes messages of every role', () => {
    const call = { id: 'c', name: 'f', arguments: '{}' }
    const image = { type: 'image', url: 'data:,x', detail: 'low' } as const
    const body = encode(
      {
        messages: [
          { role: 'developer', content: [{ type: 'text', text: 'rules' }] },
          { role: 'user', content: [{ type: 'text', text: 'look' }, image] },
          { role: 'assistant', content: [], toolCalls: [call], reasoning: 'hm' },
          { role: 'tool', content: [{ type: 'text', text: '42' }], toolCallId: 'c' },
        ],
      },
      'llama-server',
    )
    assert.deepEqual(body['messages'], [
      { role: 'system', content: 'rules' },
      {
        role: 'user',
        content: [
          { type: 'text', text: 'look' },
          { type: 'image_url', image_url: { url: 'data:,x', detail: 'low' } },
        ],
      },
      {
        role: 'assistant',
        content: null,
        tool_calls: [{ id: 'c', type: 'function', function: { name: 'f', arguments: '{}' } }],
        reasoning_content: 'hm',
      },
      { role: 'tool', content: '42', tool_call_id: 'c' },
    ])
  })

  it('forwards unknown fields of OpenAI clients only, and never lets them replace ours', () => {
    const fields = { grammar: 'root ::= "x"', stream: false, model: 'other' }
    const body = encode({ unknown: { api: 'openai', fields } })
    assert.deepEqual([body['grammar'], body['stream'], body['model']], ['root ::= "x"', true, 'm'])
    assert.equal(encode({ unknown: { api: 'anthropic', fields } })['grammar'], undefined)
  })

  it('switches reasoning as each kind of server understands it', () => {
    const reasoning = { enabled: false }
    const switched = encode({ reasoning }, 'vllm')['chat_template_kwargs']
    assert.deepEqual(switched, { enable_thinking: false })
    assert.equal(encode({ reasoning }, 'ollama')['reasoning_effort'], 'none')
    assert.equal(encode({ reasoning })['chat_template_kwargs'], undefined)
  })

  it('speaks to OpenAI itself without what OpenAI refuses', () => {
    const body = encode({ maxTokens: 9 }, 'openai', 'https://api.openai.com')
    assert.deepEqual([body['max_tokens'], body['max_completion_tokens']], [undefined, 9])
  })

  it('refuses content that has no form in this API, naming it', () => {
    const value = { type: 'document' }
    const messages = [{ role: 'user', content: [{ type: 'other', value }] }] as const
    assert.deepEqual(encode({ messages })['messages'], [{ role: 'user', content: [value] }])
    assert.throws(
      () => encode({ messages, unknown: { api: 'anthropic', fields: {} } }),
      error => error instanceof OperationError && error.field === 'messages[0].content[0]',
    )
  })
})
